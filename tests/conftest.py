"""What many tests share: small sizes, one thread, and a setting for every component that has no default.

Processes that tests start take OMP_NUM_THREADS from here, so that their sums are added in the same order.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import torch

from quire.core.bodies import Lstm
from quire.core.catalogue import Component, find
from quire.core.example import Example, Passage, Vocab, World
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.model import Step
from quire.noise.select import Spans
from quire.objectives import Objective
from quire.objectives.mlm import Mlm

torch.set_num_threads(1)
settings.register_profile("quire", deadline=None, database=None, print_blob=False)
settings.load_profile("quire")

REQUIRED: dict[str, dict[str, Any]] = {
    "classify": {"labels": ["bad", "good", "好"]},
    "classify-attention": {"labels": ["bad", "good", "好"], "pool": "attention"},
    "classify-private": {"labels": ["bad", "good", "好"], "private": 9},
}
"""Example settings of the components that have a field without a default; the others need no line here. What stands
behind a hyphen is another way to set one up that contract tests try too."""
SUITED: dict[str, dict[str, Any]] = {
    "denoise": {"decoder": 2},
    "translate": {"decoder": 1},
    "plm": {"position": "relative", "embedding_norm": False},
    "simcse": {"dropout": 0.1},
}
"""What the backbone must have for an objective; for the others any will do."""
BODIES: dict[str, Backbone] = {
    "bilm": Lstm(vocab=60, width=192, embedding=96, positions=64, dropout=0.0, directions="apart"),
}
"""Those that stand on another kind of body."""


class Beside(Objective):
    """Asks nothing: lays beside each text its tokens from behind, for a decoder to write."""

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        written = Example.written("", np.append(example.truth[-2:0:-1], world.vocab.sep), start=world.vocab.sep)
        return replace(example, target=replace(written, answers={}))

    def loss(self, step: Step) -> torch.Tensor:
        return step.encode().sum() * 0


@pytest.fixture(scope="session")
def member() -> Callable[[type[Component], str], Component]:
    """(kind, name) -> the component called so, with its defaults or the settings above."""

    def build(kind: type[Component], name: str) -> Component:
        return find(kind, name.partition("-")[0]).model_validate(REQUIRED.get(name, {}))

    return build


@pytest.fixture(scope="session")
def earlier() -> Callable[[str], tuple[Objective, ...]]:
    """name -> what must have asked before an objective that asks about the answers of others."""
    before: dict[str, tuple[Objective, ...]] = {"boundary": (Mlm(select=Spans(rate=0.3)),), "translate": (Beside(),)}
    return lambda name: before.get(name, ())


@pytest.fixture(scope="session")
def vocab() -> Vocab:
    return Vocab(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)))


@pytest.fixture(scope="session")
def passage() -> Callable[[int, Rng], Passage]:
    """(tokens, rng) -> as many ordinary tokens from document 99, words of one to three tokens."""

    def draw(length: int, rng: Rng) -> Passage:
        starts = rng.random(length) < 0.5
        starts[:1] = True
        return Passage(rng.integers(5, 60, size=length), starts, document=99)

    return draw


@pytest.fixture(scope="session")
def world(vocab: Vocab, passage: Callable[[int, Rng], Passage]) -> World:
    return World(vocab, passage, length=32, documents=100)


@pytest.fixture(scope="session")
def tiny() -> Backbone:
    return Backbone(vocab=60, depth=2, width=24, heads=3, ffn=20, positions=64, dropout=0.0, attention_dropout=0.0)


@pytest.fixture(scope="session")
def suited(tiny: Backbone) -> Callable[[str], Backbone]:
    """The name of an objective -> the tiny backbone, changed where that objective needs it."""
    return lambda name: BODIES.get(name, tiny.model_copy(update=SUITED.get(name, {})))


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """Documents with something to learn: in each, every sentence is about the document's own few words."""
    draw = rng(0, "texts")
    syllables = np.array(["ka", "mo", "ri", "tu", "se", "lo", "ni", "pa"])
    words = np.array(["".join(syllables[draw.integers(8, size=draw.integers(1, 4))]) for _ in range(60)])

    def document() -> str:
        own = words[draw.integers(60, size=6)]
        return "\n".join(" ".join(own[draw.integers(6, size=draw.integers(3, 8))]) + "." for _ in range(5))

    return [document() for _ in range(60)]
