"""Pre-training from text to a model folder, in one process; tests/test_kill.py disturbs real ones."""

from pathlib import Path

import numpy as np
import pytest

from quire.core.errors import BadInput, Stopped
from quire.core.spec import Backbone
from quire.pretrain import Material, pretrain
from quire.recipe import DataPlan, Recipe
from quire.text.shards import Shards
from quire.text.tokenizers import Tokenizer
from quire.train.optim import TrainPlan
from quire.train.progress import Silent
from quire.train.signals import StopRequest
from quire.train.start import Base
from quire.train.weights import read_model


def tiny_recipe(**changes: object) -> Recipe:
    return Recipe.model_validate(
        {
            "cite": "none",
            "survey": "none",
            "backbone": {"depth": 1, "width": 16, "heads": 2, "ffn": 16, "positions": 40},
            "data": {"length": 24, "tokenizer": {"size": 200}},
            "train": {"steps": 4, "batch": 4, "checkpoint_every": 2},
            **changes,
        }
    )


@pytest.fixture
def corpus(texts: list[str], tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n\n".join(texts), encoding="utf-8")
    return path


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("shape", ["documents", "blocks", "sentence-pairs"])
def test_a_model_folder_comes_out_that_others_read(corpus: Path, tmp_path: Path, shape: str) -> None:
    objectives = ["pair", "mlm"] if shape == "sentence-pairs" else ["mlm"]
    recipe = tiny_recipe(data={"length": 24, "shape": shape, "tokenizer": {"size": 200}}, objectives=objectives)
    folder = pretrain(recipe, corpus=[corpus], out=tmp_path / "run")
    files, tokenizer = read_model(folder), Tokenizer.load(folder)
    assert files.backbone.vocab == tokenizer.vocab.size <= 200
    assert sorted(files.heads) == sorted(objectives)
    shards = Shards.open(tmp_path / "run" / "corpus", tokenizer=tokenizer.fingerprint)
    assert len(shards.documents) == 60
    assert not any((tmp_path / "run").rglob("*.tmp"))


def test_a_generator_is_left_beside_the_model_and_each_is_a_start(corpus: Path, tmp_path: Path) -> None:
    folder = pretrain(tiny_recipe(objectives=["rtd"]), corpus=[corpus], out=tmp_path / "run")
    for made, kind in ((folder, "detection"), (folder.with_name("generator"), "token")):
        files = Base.load(str(made)).files
        assert [spec.kind for spec in files.heads.values()] == [kind]
        going_on = tiny_recipe(base=str(made), backbone=None, data={"length": 24})
        assert read_model(pretrain(going_on, corpus=[corpus], out=tmp_path / kind)).backbone == files.backbone


def test_the_same_command_twice_gives_the_same_and_another_seed_another(corpus: Path, tmp_path: Path) -> None:
    one = weights(pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "a"))
    assert weights(pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "b")) == one
    assert weights(pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "a")) == one  # a finished run
    assert weights(pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "c", seed=1)) != one


def test_a_stopped_run_goes_on_and_gives_the_same(corpus: Path, tmp_path: Path) -> None:
    stop = StopRequest()
    stop.note(15, None)
    for step in (1, 2):
        with pytest.raises(Stopped, match=f"after step {step};"):
            pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "a", stop=stop)
    assert not (tmp_path / "a" / "model").exists()
    finished = weights(pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "a"))
    assert finished == weights(pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "b"))


def test_a_folder_of_another_run_is_refused(corpus: Path, tmp_path: Path) -> None:
    pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "a")
    for change, says in (
        (lambda: pretrain(tiny_recipe(title="b"), corpus=[corpus], out=tmp_path / "a"), "recipe"),
        (lambda: pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "a", seed=1), "seed"),
        (
            lambda: (corpus.write_text("other " * 500), pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "a")),
            "corpus",
        ),
    ):
        with pytest.raises(BadInput, match=rf"a run with other settings \({says}\)"):
            change()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").write_text("x")
    with pytest.raises(BadInput, match="exists and is no run of Quire"):
        pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.doc"]
    with pytest.raises(BadInput, match=r"thesis.doc: is a file; give another --out$"):
        pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "mine" / "thesis.doc")


def test_a_killed_tokenizer_training_leaves_nothing_that_is_taken_for_a_tokenizer(corpus: Path, tmp_path: Path) -> None:
    expected = weights(pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "a"))
    stop = StopRequest()
    stop.note(15, None)
    with pytest.raises(Stopped):
        pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "b", stop=stop)
    (tmp_path / "b" / "tokenizer" / "tokenizer_config.json").unlink()  # killed between the two files
    folder = pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "b")
    assert weights(folder) == expected
    assert Tokenizer.load(folder).longest == 40


@pytest.mark.parametrize(
    ("content", "recipe", "says"),
    [
        ("some words only", tiny_recipe(), "200"),
        (None, tiny_recipe(), "cannot be read"),
        ("words " * 500, tiny_recipe(data={"length": 41}), "data.length 41: the model has 40 positions"),
    ],
)
def test_what_cannot_be_trained_on_is_one_line(tmp_path: Path, content: str | None, recipe: Recipe, says: str) -> None:
    path = tmp_path / "c.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadInput, match=says) as caught:
        pretrain(recipe, corpus=[path], out=tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "model").exists()


def test_a_model_of_ours_is_a_base_to_go_on_from(corpus: Path, tmp_path: Path) -> None:
    first = pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "a")
    further = tiny_recipe(backbone=None, base=str(first), train={"steps": 1, "lr": 1e-9, "batch": 2})
    second = pretrain(further, corpus=[corpus], out=tmp_path / "b")
    one, two = read_model(first).state, read_model(second).state
    assert one.keys() == two.keys()
    assert all(np.allclose(one[name], two[name], atol=1e-6) for name in one)


@pytest.mark.parametrize(("words", "text", "segments"), [
    ("auto", "我来到北京清华大学参观", True),
    ("auto", "plain english text", False),
    ("chinese", "plain english text", True),
    ("tokenizer", "我来到北京清华大学参观", False),
])  # fmt: skip
def test_words_come_from_the_segmenter_where_the_text_is_chinese(
    tmp_path: Path, words: str, text: str, segments: bool
) -> None:
    recipe = tiny_recipe(data=DataPlan.model_validate({"length": 24, "words": words}))
    material = Material(recipe, tmp_path, lambda: [text])
    assert (material.segment is not None) == segments


def test_chinese_text_is_masked_by_words(tmp_path: Path) -> None:
    path = tmp_path / "zh.txt"
    path.write_text("我来到北京清华大学参观图书馆和实验室。\n" * 40, encoding="utf-8")
    pretrain(tiny_recipe(), corpus=[path], out=tmp_path / "run")
    passage = Shards.open(tmp_path / "run" / "corpus").slice(0, 19)
    assert len(passage) == 19
    assert 5 < passage.starts.sum() < 15  # one word a character, or one a sentence, would be 19 or 1


def test_settings_that_need_no_repeat(tmp_path: Path, corpus: Path) -> None:
    pytest.importorskip("tensorboard")
    pretrain(tiny_recipe(train=TrainPlan(steps=1, batch=2)), corpus=[corpus], out=tmp_path / "run", track=True)
    assert any((tmp_path / "run" / "events").iterdir())


def test_backbones_without_segments_work(corpus: Path, tmp_path: Path) -> None:
    spec = Backbone(depth=1, width=16, heads=2, ffn=16, positions=40, segments=0)
    folder = pretrain(tiny_recipe(backbone=spec), corpus=[corpus], out=tmp_path / "run")
    assert read_model(folder).backbone.segments == 0


def test_start_takes_weights_and_tokenizer_from_a_folder_and_the_rest_from_the_recipe(
    corpus: Path, tmp_path: Path
) -> None:
    first = pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "first")
    other = tiny_recipe(backbone={"depth": 3}, train={"steps": 1, "batch": 4, "lr": 1e-9, "warmup": 0})
    second = pretrain(other, corpus=[corpus], out=tmp_path / "second", start=str(first))
    assert read_model(second).backbone == read_model(first).backbone, "the folder's architecture, not the recipe's"
    for name, tensor in read_model(second).state.items():
        np.testing.assert_allclose(tensor, read_model(first).state[name], atol=1e-6, err_msg=name)
    assert Tokenizer.load(second).fingerprint == Tokenizer.load(first).fingerprint
    with pytest.raises(BadInput, match="no such folder"):
        pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "third", start=str(tmp_path / "nowhere"))


class Told(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_what_a_base_lacks_is_said(corpus: Path, tmp_path: Path) -> None:
    first = pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "first")
    told = Told()
    pretrain(tiny_recipe(), corpus=[corpus], out=tmp_path / "second", start=str(first), progress=told)
    assert [line for line in told.lines if line.startswith("Base")] == [f"Base {first}: no pooler in this folder"]


def test_a_base_gets_the_sentinels_that_it_lacks_and_it_is_said(corpus: Path, tmp_path: Path) -> None:
    body = {"depth": 1, "decoder": 1, "width": 16, "heads": 2, "ffn": 16, "positions": 40}
    first = pretrain(tiny_recipe(backbone=body, objectives=["denoise"]), corpus=[corpus], out=tmp_path / "first")
    spans = tiny_recipe(
        objectives=[{"denoise": {"select": "random_spans", "rewrite": "sentinels", "write": "sentinels"}}],
        data={"length": 24, "tokenizer": {"sentinels": 6}},
        train={"steps": 1, "batch": 4, "lr": 1e-9},
    )
    told = Told()
    second = pretrain(spans, corpus=[corpus], out=tmp_path / "second", start=str(first), progress=told)
    assert f"6 sentinels added to the vocabulary of base {first}" in told.lines
    before, after = read_model(first), read_model(second)
    assert after.backbone.vocab == before.backbone.vocab + 6
    vocab = Tokenizer.load(second).vocab
    assert vocab.sentinels == tuple(range(after.backbone.vocab - 1, before.backbone.vocab - 1, -1))
    table = after.state["backbone.embeddings.tokens.weight"]
    np.testing.assert_allclose(table[[*vocab.sentinels]], table[[vocab.mask] * 6], atol=1e-6)
    again = Told()
    pretrain(spans, corpus=[corpus], out=tmp_path / "third", start=str(second), progress=again)
    assert not [line for line in again.lines if "sentinels added" in line]


def test_spans_without_sentinels_are_refused_before_training(corpus: Path, tmp_path: Path) -> None:
    body = {"depth": 1, "decoder": 1, "width": 16, "heads": 2, "ffn": 16, "positions": 40}
    wrong = tiny_recipe(backbone=body, objectives=[{"denoise": {"rewrite": "sentinels"}}])
    with pytest.raises(BadInput, match=r"objectives.0.denoise: the tokenizer has no sentinels: set data.tokenizer"):
        pretrain(wrong, corpus=[corpus], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_objectives_in_a_wrong_order_are_refused_before_training(corpus: Path, tmp_path: Path) -> None:
    wrong = tiny_recipe(data={"shape": "sentence-pairs", "length": 24}, objectives=["mlm", "pair"])
    with pytest.raises(BadInput, match="list it before"):
        pretrain(wrong, corpus=[corpus], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
