"""LoRA folders: what peft computes over the base is what ours does, both ways; nothing but plain LoRA is read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from quire.cli import app
from quire.core.errors import BadInput
from quire.core.example import Batch, World
from quire.core.visibility import Causal
from quire.export import export_lora
from quire.nn.attention import Layout
from quire.nn.model import Model, Packed, Step
from quire.paradigms.classify import Classify
from quire.predict import load
from quire.predict.encode import encode
from quire.predict.network import Network
from quire.text.tokenizers import Tokenizer
from quire.train.embedded import EMBEDDED, HUB
from quire.train.feed import Fixed
from quire.train.loop import Job, fit
from quire.train.optim import TrainPlan
from quire.train.start import Base, started
from quire.train.weights import read_model
from quire.tuning.lora import Lora

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

TEXTS = ["a good and lovely film", "bad bad bad", "it is fine", "good", "a film is a film and it is bad"]
LABELS = ("good", "bad", "so so")
ALL = Lora(rank=2, alpha=3, on=("query", "key", "value", "out", "up", "down"))
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def based(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a base without a head: `bert`, `roberta` or `other`, which is another BERT."""
    home = tmp_path_factory.mktemp("bases")
    tokenizer = Tokenizer.train(TEXTS * 3, kind="wordpiece", size=60)

    def folder(name: str) -> Path:
        if not (home / name).is_dir():
            config: dict[str, Any] = {
                "vocab_size": 60,
                "hidden_size": 12,
                "num_hidden_layers": 2,
                "num_attention_heads": 3,
            }
            config |= {"intermediate_size": 20, "max_position_embeddings": 25, "initializer_range": 0.3}
            kind = transformers.RobertaModel if name == "roberta" else transformers.BertModel
            torch.manual_seed(len(name))
            kind(kind.config_class(**config)).save_pretrained(home / name)
            tokenizer.save(home / name)
        return home / name

    return folder


def learnt(base: Path, out: Path, strategy: Lora) -> Network:
    """A network that has learnt a little, saved in `out`."""
    found, ask = Base.load(str(base)), Classify(labels=LABELS)
    model = started(found.files, ask.parts(found.files.backbone, World(found.tokenizer.vocab)), seed=0)
    examples = encode(
        ask, found.tokenizer, TEXTS, length=20, how="head", labels=["good", "bad", "so so", "good", "bad"]
    )
    plan = TrainPlan(steps=6, batch=4, lr=3e-2, warmup=0)
    network = Network(model, ask, found.tokenizer, length=20, how="head")
    fit(model, Job(Fixed(examples, "x"), (ask,), World(found.tokenizer.vocab), plan, strategy, 0))
    network.save(out)
    return network


def ours(network: Network) -> Tensor:
    examples = encode(network.task, network.tokenizer, TEXTS, length=20, how="head")
    steps = [Step(network.model.eval(), Packed(Batch.pack([e]))) for e in examples]
    return torch.cat([step.scores("classify", step.batch.first) for step in steps]).detach()


def theirs(base: Path, folder: Path, tokenizer: Tokenizer) -> Tensor:
    """By transformers and peft."""
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    model = peft.PeftModel.from_pretrained(plain, folder).eval()
    return by(model, tokenizer)


@torch.no_grad()
def by(model: Any, tokenizer: Tokenizer) -> Tensor:
    examples = encode(Classify(labels=()), tokenizer, TEXTS, length=20, how="head")
    rows = [model(input_ids=torch.as_tensor(e.tokens)[None].long()).logits for e in examples]
    return torch.cat(rows)


@pytest.mark.parametrize("name", ["bert", "roberta"])
@pytest.mark.parametrize("strategy", [Lora(), ALL], ids=["published", "all"])
def test_peft_says_what_ours_says(based: Callable[[str], Path], name: str, strategy: Lora, tmp_path: Path) -> None:
    base = based(name)
    network = learnt(base, tmp_path / "model", strategy)
    assert export_lora(tmp_path / "model", out=tmp_path / "lora", base=str(base)) == str(base.resolve())
    expected = ours(network)
    torch.testing.assert_close(theirs(base, tmp_path / "lora", network.tokenizer), expected, rtol=1e-5, atol=1e-5)
    again = load(tmp_path / "lora")
    assert isinstance(again, Network)
    assert (again.labels, again.length, again.how) == (LABELS, 20, "head")
    torch.testing.assert_close(ours(again), expected, rtol=1e-5, atol=1e-5)
    names = {file.name for file in (tmp_path / "lora").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= names
    assert "model.safetensors" not in names


def adapted(base: Path, folder: Path, **settings: Any) -> Any:
    """A model of transformers with an adapter of peft's that has learnt something, saved in `folder`."""
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    config = peft.LoraConfig(task_type="SEQ_CLS", **{"r": 3, "lora_alpha": 4, **settings})
    model = peft.get_peft_model(plain, config).eval()
    draw = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(generator=draw, std=0.3)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True, "target_modules": ["key", "attention.output.dense"]},
        {"modules_to_save": ["pooler"], "target_modules": "all-linear"},
    ],
    ids=["published", "rslora", "all"],
)
def test_an_adapter_of_peft_is_what_it_is_there(
    based: Callable[[str], Path], settings: dict[str, Any], tmp_path: Path
) -> None:
    model = adapted(based("bert"), tmp_path / "lora", **settings)
    assert not (tmp_path / "lora" / "tokenizer.json").exists()  # its base has it
    found = load(tmp_path / "lora")
    assert isinstance(found, Network)
    assert found.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    torch.testing.assert_close(ours(found), by(model, found.tokenizer), rtol=1e-5, atol=1e-5)
    start = Base.load(str(tmp_path / "lora"))  # to go on from
    assert torch.equal(
        start.files.state["heads.classify.out.weight"], found.model.state_dict()["heads.classify.out.weight"]
    )


def test_a_causal_model_with_transposed_matrices_too(tmp_path: Path) -> None:
    config = transformers.GPT2Config(
        vocab_size=60, n_embd=12, n_layer=2, n_head=3, n_positions=20, initializer_range=0.3
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "base")
    plain = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "base")
    with pytest.warns(UserWarning, match="fan_in_fan_out"):
        model = peft.get_peft_model(plain, peft.LoraConfig(task_type="CAUSAL_LM", r=2)).eval()
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(tmp_path / "lora")
    files = read_model(tmp_path / "lora")
    body = Model(files.backbone, files.heads).eval()
    body.load_state_dict(dict(files.state))
    tokens = torch.arange(7, 16)
    ids = torch.arange(9)
    layout = Layout.of([9], [Causal()])
    with torch.no_grad():
        states = body.backbone(body.backbone.embeddings(tokens, ids, torch.zeros_like(ids), None), layout)
        scores = body.heads["lm"](states, body.table)
        torch.testing.assert_close(scores, model(input_ids=tokens[None]).logits[0], rtol=1e-4, atol=1e-4)


def mended(folder: Path, **fields: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"use_dora": True}, "use_dora True is not plain LoRA"),
    ({"rank_pattern": {"query": 9}}, "rank_pattern"),
    ({"bias": "all"}, "bias 'all' is not plain LoRA"),
    ({"something_new": 3}, "something_new 3 is not plain LoRA"),
    ({"peft_type": "IA3"}, "peft_type"),
    ({"init_lora_weights": "pissa"}, "init_lora_weights"),
    ({"r": 4}, "has the shape"),
    ({"base_model_name_or_path": "bert-base-uncased"}, "is no folder here; put the base"),
    ({"base_model_name_or_path": None}, "base_model_name_or_path"),
    ({"modules_to_save": None}, "is in no module that adapter_config.json saves"),
]


@pytest.mark.parametrize(("fields", "says"), WRONG, ids=[says[:20] for _, says in WRONG])
def test_what_is_no_plain_lora_is_refused_in_one_line(
    based: Callable[[str], Path], fields: dict[str, Any], says: str, tmp_path: Path
) -> None:
    adapted(based("bert"), tmp_path)
    mended(tmp_path, **fields)
    with pytest.raises(BadInput, match=says) as refused:
        load(tmp_path)
    assert "\n" not in str(refused.value)


def changed(tensors: dict[str, Tensor], how: str) -> dict[str, Tensor]:
    [a, b, *_] = sorted(name for name in tensors if ".0." in name and "query" in name)
    match how:
        case "fellow":
            del tensors[b]
        case "wide":
            tensors[a] = tensors[a][:, :-1].contiguous()
        case "nan":
            tensors[b][0, 0] = float("nan")
        case "elsewhere":
            tensors[a.replace("query", "nowhere")] = tensors.pop(a)
        case "magnitude":
            tensors[a.replace("lora_A.weight", "lora_magnitude_vector")] = torch.ones(12)
        case "unprefixed":
            tensors[a.removeprefix("base_model.model.")] = tensors.pop(a)
        case "more":
            tensors["base_model.model.classifier.again.weight"] = torch.ones(3, 12)
    return tensors


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("fellow", "has no fellow"),
        ("wide", "has the shape"),
        ("nan", "NaN"),
        ("elsewhere", "has no fellow, or the base no"),
        ("magnitude", "only plain LoRA"),
        ("unprefixed", "is no name of peft's"),
        ("more", "nothing of ours holds 'classifier.again.weight'"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(based: Callable[[str], Path], how: str, says: str, tmp_path: Path) -> None:
    adapted(based("bert"), tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    save_file(changed(load_file(path), how), path)
    with pytest.raises(BadInput, match=says):
        load(tmp_path)


def test_no_pickle_is_opened_and_no_chain_of_bases(based: Callable[[str], Path], tmp_path: Path) -> None:
    adapted(based("bert"), tmp_path / "one")
    adapted(based("bert"), tmp_path / "two")
    mended(tmp_path / "two", base_model_name_or_path=str(tmp_path / "one"))
    with pytest.raises(BadInput, match="is a LoRA folder itself"):
        load(tmp_path / "two")
    (tmp_path / "one" / "adapter_model.safetensors").rename(tmp_path / "one" / "adapter_model.bin")
    with pytest.raises(BadInput, match="is a pickle"):
        load(tmp_path / "one")


def test_updates_go_with_their_base_alone(based: Callable[[str], Path], tmp_path: Path) -> None:
    learnt(based("bert"), tmp_path / "run" / "model", Lora())
    with pytest.raises(BadInput, match="its weights are not those of"):
        export_lora(tmp_path / "run", out=tmp_path / "lora", base=str(based("other")))
    with pytest.raises(BadInput, match="does not say what it was learnt over"):
        export_lora(tmp_path / "run", out=tmp_path / "lora")
    (tmp_path / "run" / "recipe.yaml").write_text(json.dumps({"recipe": {"base": str(based("bert"))}}))
    assert export_lora(tmp_path / "run", out=tmp_path / "lora") == str(based("bert"))
    with pytest.raises(BadInput, match="bert: holds no low-rank updates; learn them with quire finetune"):
        export_lora(based("bert"), out=tmp_path / "no", base=str(based("bert")))
    assert not (tmp_path / "no").exists()
    (tmp_path / "run" / "recipe.yaml").write_text(json.dumps({"recipe": {"base": str(tmp_path / "moved")}}))
    with pytest.raises(BadInput, match="moved, which is no folder here; give the base that this was learnt over with"):
        export_lora(tmp_path / "run", out=tmp_path / "lora")


def test_the_embedded_base_is_called_as_others_know_it(
    based: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert HUB.keys() == EMBEDDED.keys()
    monkeypatch.setattr("quire.train.embedded.embedded", lambda name: based("bert"))
    network = learnt(based("bert"), tmp_path / "run", Lora())
    hub = "sentence-transformers/all-MiniLM-L6-v2"
    assert export_lora(tmp_path / "run", out=tmp_path / "lora", base="minilm") == hub
    assert json.loads((tmp_path / "lora" / "adapter_config.json").read_text())["base_model_name_or_path"] == hub
    for name in (hub, "minilm"):  # as folders of before have it
        mended(tmp_path / "lora", base_model_name_or_path=name)
        again = load(tmp_path / "lora")
        assert isinstance(again, Network)
        torch.testing.assert_close(ours(again), ours(network), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("inner", ["config.json", "predictor.json"])
def test_a_comparison_that_deployed_another_arm_says_so(
    based: Callable[[str], Path], inner: str, tmp_path: Path
) -> None:
    shutil.copytree(based("bert"), tmp_path / "run" / "model")
    (tmp_path / "run/model/config.json").rename(tmp_path / "run/model" / inner)
    (tmp_path / "run" / "results.json").write_text(json.dumps({"selected": "full"}))
    with pytest.raises(BadInput, match="run: this run deployed full, which holds no low-rank updates; learn them with"):
        export_lora(tmp_path / "run", out=tmp_path / "no")


def test_the_command(based: Callable[[str], Path], tmp_path: Path) -> None:
    learnt(based("bert"), tmp_path / "run" / "model", Lora())

    def said(*options: str) -> Any:
        return CliRunner().invoke(app, ["export", str(tmp_path / "run"), *options])

    where, base = ("--out", str(tmp_path / "lora")), ("--base", str(based("bert")))
    assert "say where to" in str(said("--lora", *base).exception)
    assert "--base: is for --lora" in str(said("--onnx", *base).exception)
    assert "--pool: is for --sentence-transformers" in str(said("--lora", "--pool", "mean").exception)
    assert "open it with peft" in said("--lora", *where, *base).stdout
    assert load(tmp_path / "lora").labels == LABELS


def test_a_saved_network_keeps_its_updates(based: Callable[[str], Path], tmp_path: Path) -> None:
    """As a comparison does, which opens the best run and saves it again."""
    learnt(based("bert"), tmp_path / "model", Lora())
    load(tmp_path / "model").save(tmp_path / "again")
    first, second = (load_file(tmp_path / name / "lora.safetensors") for name in ("model", "again"))
    assert first.keys() == second.keys()
    assert len(first) == 1 + 2 * 2 * 2  # alpha; two factors of two matrices in two layers
    assert all(torch.equal(t, second[name]) for name, t in first.items())
    save_file({"alpha": torch.ones(())}, tmp_path / "again" / "lora.safetensors")
    with pytest.raises(BadInput, match="its sha256 is not"):
        load(tmp_path / "again")
