"""XLNet from text to a classifier: rows with a memory, a stopped run, fine-tuning of the content stream."""

from pathlib import Path

import numpy as np
import pytest
import torch

from quire import recipe
from quire.core.answers import Item
from quire.core.errors import BadInput, Stopped
from quire.core.example import Passage, World
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.core.visibility import Permuted
from quire.paradigms.classify import Classify
from quire.pretrain import Material, pretrain
from quire.recipe import Recipe
from quire.train.feed import Fixed
from quire.train.loop import Job, fit, planned
from quire.train.optim import TrainPlan
from quire.train.signals import StopRequest
from quire.train.start import started
from quire.train.weights import read_model
from quire.tuning.full import Full


@pytest.fixture
def corpus(texts: list[str], tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n\n".join(texts), encoding="utf-8")
    return path


def small(**changes: object) -> Recipe:
    found = recipe.load("xlnet-base").shrunk()
    train = found.train.model_copy(update={"steps": 4, "checkpoint_every": 2})
    return found.model_copy(update={"train": train, **changes})


def test_published_numbers() -> None:
    found = recipe.load("plm")
    assert found.backbone is not None
    assert (found.backbone.depth, found.backbone.width, found.backbone.position) == (12, 768, "relative")
    assert (found.train.steps, found.train.batch, found.train.lr, found.train.warmup) == (500_000, 8192, 4e-4, 40_000)
    assert (found.data.context.reuse * 512, found.data.context.memory * 512) == (256, 384)


def test_a_stopped_run_goes_on_and_gives_the_same(corpus: Path, tmp_path: Path) -> None:
    stop = StopRequest()
    stop.note(15, None)
    for step in (1, 2):
        with pytest.raises(Stopped, match=f"after step {step};"):
            pretrain(small(), corpus=[corpus], out=tmp_path / "a", stop=stop)
    one, two = (pretrain(small(), corpus=[corpus], out=tmp_path / name) for name in "ab")
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()


def test_half_of_the_rows_are_reversed_and_most_have_a_memory(corpus: Path, tmp_path: Path) -> None:
    material = Material(small(), tmp_path / "m", lambda: corpus.read_text(encoding="utf-8").split("\n\n"))
    examples = material.job(seed=0).examples
    made = [examples.example(i, epoch=0) for i in range(len(examples))]
    assert sum(example.positions is not None for example in made) * 2 == len(made)
    memories = [example.sees.memory for example in made if isinstance(example.sees, Permuted)]
    assert len(memories) == len(made)
    assert max(memories) == 24
    assert sum(size == 24 for size in memories) == len(made) - 4  # two rows of either direction have less behind them


def test_what_was_pretrained_learns_to_classify(corpus: Path, tmp_path: Path, world: World) -> None:
    files = read_model(pretrain(small(), corpus=[corpus], out=tmp_path / "a"))
    assert {"plm", "query"} <= files.heads.keys()
    paradigm = Classify(labels=("good", "bad"))
    draw = rng("xlnet")
    whole = np.ones(9, dtype=bool)
    texts = [Passage(draw.integers(5, 20, size=9) + 20 * (i % 2), whole) for i in range(24)]
    examples = [paradigm.format(Item((text,)), ("good", "bad")[i % 2], world)[0] for i, text in enumerate(texts)]
    plan = TrainPlan(steps=30, batch=12, lr=3e-3)
    job = Job(Fixed(examples, "x"), (paradigm,), world, plan, Full(), 0)
    model = started(files, planned([paradigm], files.backbone, world), seed=0)
    kept = model.state_dict()["backbone.blocks.0.attention.distance.weight"]
    assert torch.equal(kept.cpu(), files.state["backbone.blocks.0.attention.distance.weight"])
    losses = [record["loss"] for record in fit(model, job)]
    assert losses[-1] < 0.2 < losses[0]


def test_what_cannot_be_is_refused_before_the_corpus_is_written(corpus: Path, tmp_path: Path) -> None:
    learned = small(backbone=Backbone(depth=1, width=16, heads=2, ffn=16, positions=64))
    with pytest.raises(
        BadInput, match=r"data\.shape context-pairs: .* the model's are learned; take backbone\.position"
    ):
        pretrain(learned, corpus=[corpus], out=tmp_path / "a")
    assert not (tmp_path / "a" / "corpus").exists()
    with pytest.raises(BadInput, match="context needs the shape context-pairs, not blocks"):
        recipe.load("xlnet-base", changes=["data.shape=blocks", "data.context.memory=0.5"])
