"""Recipes: each one loads, survives YAML, and trains at toy size with the real pretrain()."""

import json
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml

from quire import recipe
from quire.core.config import parse, write_yaml
from quire.core.errors import BadInput, Stopped
from quire.core.example import Vocab, World
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.pretrain import pretrain
from quire.recipe import Recipe
from quire.train.loop import planned
from quire.train.signals import StopRequest
from quire.train.weights import read_model
from quire.tuning.full import Full

LEAST = {"cite": "me 2026", "survey": "x", "backbone": {}, "train": {"steps": 5}}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences that count round a ring of words: a hidden word follows from its neighbours, not from frequencies."""
    ring = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    texts = [". ".join(" ".join(ring[(i + s + k) % 12] for k in range(8)) for s in range(4)) + "." for i in range(60)]
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    path.write_text("\n\n".join(texts), encoding="utf-8")
    return path


def corpora(wanted: Recipe, corpus: Path, folder: Path) -> list[str | Path]:
    """The corpus as the recipe wants it: by language, or in a table whose rows say one word over and over."""
    languages = wanted.data.languages
    if wanted.data.shape == "streams":
        return [f"{language}={corpus}" for language in languages]
    if languages:
        words = corpus.read_text(encoding="utf-8").replace(".", "").split()
        rows = ["\t".join(languages), *("\t".join([" ".join([word] * 12)] * len(languages)) for word in words)]
        (folder / "table.tsv").write_text("\n".join(rows), encoding="utf-8")
        return [folder / "table.tsv"]
    return [corpus]


def tasks(wanted: Recipe, folder: Path) -> dict[str, str | Path]:
    """A file for each further task: of two kinds of text, and what each is called or turned into."""
    files: dict[str, str | Path] = {}
    for name, plan in wanted.tasks.items():
        source, target = list(plan.model_dump(include={"source_column", "target_column"}).values())
        rows = [f"{source},{target}", *["one two three,odd", "two four six,even"] * 20]
        (folder / f"{name}.csv").write_text("\n".join(rows), encoding="utf-8")
        files[name] = folder / f"{name}.csv"
    return files


@pytest.mark.parametrize("name", recipe.names())
def test_a_recipe_survives_yaml_and_says_where_it_comes_from(name: str) -> None:
    found = recipe.load(name)
    assert parse(Recipe, yaml.safe_load(write_yaml(found)), where=name) == found
    assert found.title
    assert found.cite
    assert found.survey
    assert len(recipe.text(name).splitlines()) <= 20, "a published system is at most 20 lines"


@pytest.mark.parametrize("name", recipe.names())
def test_a_recipe_trains_at_toy_size_and_its_loss_falls(name: str, corpus: Path, tmp_path: Path) -> None:
    full = recipe.load(name)
    small = full.shrunk()
    assert small.objectives == full.objectives
    assert small.strategy == full.strategy
    assert small.data.shape == full.data.shape
    assert small.data.tokenizer.kind == full.data.tokenizer.kind
    assert parse(Recipe, yaml.safe_load(write_yaml(small)), where="shrunk") == small
    folder = pretrain(
        small, corpus=corpora(small, corpus, tmp_path), tasks=tasks(small, tmp_path), out=tmp_path / "run"
    )
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in log]
    assert len(losses) == small.train.steps
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])  # the start is the unigram entropy already
    files = read_model(folder)
    heads = {getattr(objective, "head", objective.slot) for objective in small.objectives}
    assert files.heads.keys() >= heads - {"dim"}  # states alone answer it
    assert parse(Recipe, yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text()), where="x") == small


@pytest.mark.parametrize("name", recipe.names())
def test_a_recipe_that_is_stopped_and_goes_on_gives_the_same_weights(name: str, corpus: Path, tmp_path: Path) -> None:
    small = recipe.load(name).shrunk()
    small = small.model_copy(update={"train": small.train.model_copy(update={"steps": 3, "checkpoint_every": 2})})
    texts, stop = corpora(small, corpus, tmp_path), StopRequest()
    files = tasks(small, tmp_path)
    whole = pretrain(small, corpus=texts, tasks=files, out=tmp_path / "whole")
    stop.note(15, None)
    with pytest.raises(Stopped, match="after step 1;"):
        pretrain(small, corpus=texts, tasks=files, out=tmp_path / "parts", stop=stop)
    parts = pretrain(small, corpus=texts, tasks=files, out=tmp_path / "parts")
    assert (parts / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_recipes_hold_the_published_numbers() -> None:
    bert, roberta = recipe.load("bert-base"), recipe.load("roberta-base")
    assert bert.backbone is not None
    assert (bert.backbone.depth, bert.backbone.width, bert.backbone.heads, bert.backbone.ffn) == (12, 768, 12, 3072)
    assert (bert.train.steps, bert.train.batch, bert.train.lr, bert.train.warmup) == (1_000_000, 256, 1e-4, 10_000)
    assert [objective.slot for objective in bert.objectives] == ["pair", "mlm"]
    assert [objective.slot for objective in roberta.objectives] == ["mlm"]
    assert (roberta.train.batch, roberta.train.betas, roberta.train.eps) == (2048, (0.9, 0.98), 1e-6)
    span, struct = recipe.load("spanbert-base"), recipe.load("structbert-base")
    assert [(objective.slot, objective.weight) for objective in span.objectives] == [("mlm", 1.0), ("boundary", 1.0)]
    assert span.objectives[0].model_dump(mode="json")["mlm"]["select"]["spans"] == {
        "rate": 0.15,
        "p": 0.2,
        "longest": 10,
    }
    assert [objective.slot for objective in struct.objectives] == ["pair", "mlm", "order"]
    ulmfit = recipe.load("ulmfit")
    assert ulmfit.finetune is not None
    how = ulmfit.finetune.strategy
    assert isinstance(how, Full)
    assert how.layer_decay == pytest.approx(1 / 2.6, abs=1e-3)
    assert (how.thaw_at, how.thaw_every) == (-(-25_000 // 64), 391)
    assert (ulmfit.finetune.pool, ulmfit.finetune.train.lr, ulmfit.finetune.train.schedule) == (
        "last+max+mean",
        0.01,
        "slanted",
    )
    cove, elmo, translator = (recipe.load(name).backbone for name in ("cove", "elmo", "transformer-base"))
    assert cove is not None
    assert (cove.depth, cove.width, cove.embedding) == (2, 2 * 300, 300)
    assert elmo is not None
    assert (elmo.depth, elmo.width, elmo.embedding) == (2, 2 * 512, 512)
    assert translator is not None
    assert (translator.depth, translator.decoder, translator.width, translator.ffn) == (6, 6, 512, 2048)
    assert (translator.activation, translator.position, translator.scale_embedding) == ("relu", "sinusoidal", True)


def test_ulmfit_on_a_transformer_has_its_rates_and_its_pace() -> None:
    """The head, then each layer of six at a rate 2.6 times smaller, and one more of them each 100 updates."""
    found = recipe.load("minilm-ulmfit")
    assert found.base == "minilm"
    assert found.finetune is not None
    assert (found.finetune.pool, found.finetune.train.schedule, found.train.schedule) == (
        "first+max+mean",
        "slanted",
        "slanted",
    )
    how = found.finetune.strategy
    assert isinstance(how, Full)
    spec = Backbone(vocab=9, depth=6, width=4, heads=1, ffn=4, positions=4)
    task, vocab = found.finetune.classify(("no", "yes")), Vocab(9, 0, 1, 2, 3, 4, frozenset())
    model = how.prepare(Model(spec, task.parts(spec, World(vocab))))
    rates = {name: group.scale for group in how.groups(model) for name in group.parameters}
    below = ["heads.", *(f"backbone.blocks.{k}." for k in range(5, -1, -1)), "backbone.embeddings."]
    for place, part in enumerate(below):
        own = [rate for name, rate in rates.items() if name.startswith(part)]
        assert own == pytest.approx([2.6 / 2.6**place] * len(own), rel=1e-2), part
    for t in (0, 99, 100, 199, 200, 699, 700, 999):
        how.before_step(model, t)
        learning = {name for name, p in model.named_parameters() if p.requires_grad}
        assert {part for part in below if any(name.startswith(part) for name in learning)} == {*below[: t // 100 + 1]}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("bert-base", 110_106_428),
        ("albert-base", 11_813_810),
        ("modernbert-base", 149_655_232),
        ("gpt", 116_534_784),
        ("gpt2", 124_439_808),
        ("t5", 222_903_552),
        ("bart-base", 139_420_416 - 4 * 768),
    ],
)
def test_a_recipe_at_full_size_has_as_many_parameters_as_published(name: str, parameters: int) -> None:
    """Those of transformers' BertForPreTraining and the like; BART's has two rows more in each table of positions."""
    found, vocab = (
        recipe.load(name),
        Vocab(size=9, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(), sentinels=(8, 7)),
    )
    assert isinstance(found.backbone, Backbone)
    heads = planned(found.objectives, found.backbone, World(vocab, documents=2))
    with patch("quire.nn.model.initialise"):  # nothing is drawn, and memory that nobody touches costs nothing
        assert Model(found.backbone, heads).parameter_count() == parameters


def test_elmo_at_full_size_has_the_parameters_of_its_parts() -> None:
    """bilm-tf's, but for a second bias in each gate, which torch has."""
    found, vocab = recipe.load("elmo"), Vocab(size=9, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset())
    assert found.backbone
    spans = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))
    filters, highway = sum(n * (16 * k + 1) for k, n in spans), 2 * (2048 * 2048 + 2048)
    characters = 261 * 16 + filters + 2 * highway + 2048 * 512 + 512
    layer = 4 * 4096 * (512 + 512 + 2) + 4096 * 512  # of one direction: gates, and the projection without a bias
    softmax = 793_471 * (512 + 1)
    heads = planned(found.objectives, found.backbone, World(vocab))
    with patch("quire.nn.model.initialise"):
        assert Model(found.backbone, heads).parameter_count() == characters + 4 * layer + softmax


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"no recipe named 'bert-bas'; did you mean 'bert-base'\?"):
        recipe.load("bert-bas")
    with pytest.raises(BadInput, match=r"nowhere\.yaml: no such file"):
        recipe.load("nowhere.yaml")


def test_changes_are_applied_before_the_check() -> None:
    changed = recipe.load(
        "bert-base", changes=["train.lr=1e-3", "objectives.1.mlm.select={bernoulli: 0.2}", "expect={}"]
    )
    assert changed.train.lr == 1e-3
    assert changed.objectives[1].model_dump(mode="json")["mlm"]["select"] == {"bernoulli": {"rate": 0.2}}
    with pytest.raises(BadInput, match=r"bert-base.yaml.train: unknown field 'stepz'; did you mean 'steps'?"):
        recipe.load("bert-base", changes=["train.stepz=3"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("steps=20", r"--set steps=20: a recipe has no field 'steps'; did you mean 'train.steps'\?"),
        ("length=9", r"--set length=9: a recipe has no field 'length'; did you mean 'data.length'\?"),
        ("trian.steps=2", r"--set trian.steps=2: a recipe has no field 'trian'; did you mean 'train'\?"),
    ],
)
def test_a_change_of_no_field_is_told_with_the_path_that_it_lacks(change: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        recipe.load("minilm-adapt", changes=["data.length=64", change])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"backbone": None}, "give exactly one of base .* and backbone"),
        ({"base": "minilm"}, "give exactly one of base .* and backbone"),
        ({"objectives": []}, "needs at least one"),
        ({"objectives": ["mml"]}, r"x.objectives.0: no objective named 'mml'; did you mean 'mlm'\?"),
        ({"train": {"steps": 0}}, r"x.train.steps: .* greater than 0, got '0'"),
        ({"train": {"steps": 5, "lr": -1}}, r"x.train.lr: .* greater than 0"),
        ({"backbone": {"heads": 5}}, "width 768 is not a multiple of heads 5"),
        ({"data": {"length": 4}}, "x.data.length: .* greater than or equal to 8"),
        ({"strategy": {"full": {"layer_decay": 2}}}, "layer_decay: .* less than or equal to 1"),
        ({"sead": 1}, "unknown field 'sead'"),
    ],
)
def test_mistakes_are_one_line_with_their_path(change: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        parse(Recipe, {**LEAST, **change}, where="x")
    assert "\n" not in str(caught.value)
