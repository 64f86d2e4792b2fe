"""A labelled task that every strategy can be tried on."""

from collections.abc import Callable
from typing import TypeAlias

import pytest

from quire.core.answers import Item
from quire.core.example import Batch, Example, Passage, World
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed
from quire.paradigms.classify import Classify
from quire.train.feed import Fixed
from quire.train.loop import Job
from quire.train.optim import TrainPlan
from quire.tuning import Strategy

Labelled: TypeAlias = Callable[..., tuple[Model, Job]]
ASK = Classify(labels=("no", "yes"), slot="classify")


@pytest.fixture(scope="session")
def examples(passage: Callable[[int, Rng], Passage], world: World) -> list[Example]:
    """Texts of several lengths; the first token tells the label."""
    draw = rng(0, "labelled")
    texts = [passage(int(draw.integers(1, 12)), draw) for _ in range(24)]
    return [ASK.format(Item((text,)), ASK.labels[int(text.tokens[0] > 30)], world)[0] for text in texts]


@pytest.fixture
def labelled(tiny: Backbone, world: World, examples: list[Example]) -> Labelled:
    """(strategy, steps, dropout) -> a model and a job for it."""

    def build(strategy: Strategy, *, steps: int = 4, dropout: float = 0.1) -> tuple[Model, Job]:
        spec = tiny.model_copy(update={"dropout": dropout})
        plan = TrainPlan(steps=steps, batch=8, lr=1e-2, warmup=0, checkpoint_every=2)
        model = Model(spec, ASK.model_copy(update={"dropout": dropout}).parts(spec, world), seed=3)
        return model, Job(Fixed(examples, "drawn"), (ASK,), world, plan, strategy, 5)

    return build


@pytest.fixture
def batch(examples: list[Example]) -> Packed:
    return Packed(Batch.pack(examples[:6]))
