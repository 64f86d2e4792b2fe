"""What many tests share: small sizes, one thread, and a setting for every component that has no default.

Processes that tests start take OMP_NUM_THREADS from here, so that their sums are added in the same order.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import torch

from quire import data
from quire.core.answers import Answer, Inexpressible, Item, Span, Tree
from quire.core.bodies import Lstm
from quire.core.catalogue import Component, find
from quire.core.example import Example, Passage, Vocab, World
from quire.core.opinions import POLARITIES, Opinion
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.core.subtasks import Question
from quire.nn.model import Model, Step
from quire.noise.select import Spans
from quire.objectives import Objective
from quire.objectives.mlm import Mlm
from quire.objectives.point import Point
from quire.paradigms import Paradigm
from quire.text.tokenizers import Tokenizer
from quire.train.weights import save_model

torch.set_num_threads(1)
settings.register_profile("quire", deadline=None, database=None, print_blob=False)
settings.load_profile("quire")

REQUIRED: dict[str, dict[str, Any]] = {
    "classify": {"labels": ["bad", "good", "好"]},
    "classify-attention": {"labels": ["bad", "good", "好"], "pool": "attention"},
    "classify-concat": {"labels": ["bad", "good", "好"], "pool": "last+max+mean"},
    "classify-private": {"labels": ["bad", "good", "好"], "private": 9},
    "classify-windows": {"labels": ["bad", "good", "好"], "pool": "mean", "windows": "transformer"},
    "extract-shown": {"absent": False},
    "extract_spans": {"labels": ["PER", "LOC"]},
    "extract_spans-asked": {"labels": ["PER", "LOC"], "questions": {"LOC": "which place is it"}},
    "extract_label": {"labels": ["bad", "good", "好"], "descriptions": {"bad": "it is bad"}},
    "label": {"labels": ["bad", "good", "好"]},
    "write_label": {
        "labels": ["bad", "good", "好"],
        "names": {"bad": "not good", "good": "good", "好": "very good"},
    },
    "write_spans": {"labels": ["PER", "LOC"]},
    "write_spans-named": {"labels": ["PER", "LOC"], "names": {"PER": "a person", "LOC": "place"}, "longest": 1.2},
    "label-crf": {"labels": ["bad", "good", "好"], "scheme": "bioes", "crf": True, "valid": True},
    "parse": {"labels": ["root", "obj", "好"]},
    "nest": {"labels": ["LOC", "PER", "好"]},
    "prompt": {"labels": ["bad", "good", "好"], "template": "so {mask} : {text}"},
    "regress-scaled": {"low": -0.5, "high": 2.0, "pool": "mean", "dropout": 0.0},
    "match": {"labels": ["bad", "good", "好"], "negatives": 1, "pool": "mean", "dropout": 0.0},
    "match-bi": {"labels": ["a", "b", "c"], "descriptions": {"a": "b c", "b": "g", "c": "h"}, "by": "bi"},
    "siamese": {"labels": ["bad", "good", "好"]},
}
"""Example settings of the components that have a field without a default; the others need no line here. What stands
behind a hyphen is another way to set one up that contract tests try too."""
SUITED: dict[str, dict[str, Any]] = {
    "denoise": {"decoder": 2},
    "translate": {"decoder": 1},
    "point": {"decoder": 2},
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


class Reviewed(Objective):
    """Asks nothing: makes of each text a review that says something about its first and its last word."""

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        text = Passage(example.truth[1:-1], example.starts[1:-1])
        item = Item((text,), np.flatnonzero(text.starts & example.free[1:-1])[: world.length // 3])
        first, last = (0, 1), (len(item.words) - 1, len(item.words))
        polarity = POLARITIES[rng.integers(3)]
        return Point().format(item, Question("triplet"), [Opinion(first, last, polarity)], world)

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
    before: dict[str, tuple[Objective, ...]] = {
        "boundary": (Mlm(select=Spans(rate=0.3)),),
        "translate": (Beside(),),
        "point": (Reviewed(),),
    }
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
    return World(vocab, passage, length=32, documents=100, spell=_spelled)


def _spelled(text: str) -> Passage:
    """A token for each word, which is another for another word of those that tests use."""
    tokens = np.array([5 + sum(word.encode()) % 55 for word in text.split()], dtype=np.int64)
    return Passage(tokens, np.ones(len(tokens), dtype=bool))


Pose = Callable[[Paradigm, Sequence[Passage], World, Rng], tuple[Item, Answer, Sequence[Example]]]


@pytest.fixture(scope="session")
def pose() -> Pose:
    """(paradigm, passages, world, rng) -> an item, an answer that the paradigm can hold, and the examples of both."""

    def made(
        paradigm: Paradigm, passages: Sequence[Passage], world: World, rng: Rng
    ) -> tuple[Item, Answer, Sequence[Example]]:
        if paradigm.name() == "siamese":  # asks about pairs alone
            passages = (passages[0], passages[-1])
        item = Item(tuple(passages), np.flatnonzero(passages[-1].starts))
        for _ in range(100):
            answer = drawn(paradigm, len(item.words), rng)
            try:
                return item, answer, paradigm.format(item, answer, world)
            except Inexpressible:
                continue
        raise AssertionError(f"{paradigm.name()} can express nothing")

    return made


def drawn(paradigm: Paradigm, words: int, rng: Rng) -> Answer:
    """An answer to something of so many words."""
    labels = paradigm.labels
    match paradigm.answers:
        case "label":
            return labels[rng.integers(len(labels))]
        case "number":
            return float(np.float32(rng.random()))
        case "spans":
            places = sorted(
                rng.choice(words + 1, size=2 * min(int(rng.integers(0, 4)), (words + 1) // 2), replace=False)
            )
            spans = {Span(a, b, str(rng.choice(labels))) for a, b in np.reshape(places, (-1, 2)).tolist()}
            if rng.random() < 0.5:  # one in each, or another of the same words
                spans |= {Span(span.start, int(rng.integers(span.start, span.end)) + 1, labels[0]) for span in spans}
            return frozenset(spans)
        case "tree":
            heads = [0] * words
            _attach(heads, 0, words, rng)
            return Tree(tuple(heads), tuple(labels[rng.integers(len(labels))] for _ in heads))


def _attach(heads: list[int], start: int, end: int, rng: Rng, head: int = 0) -> None:
    """Make words `start` to `end` - 1 one subtree below `head`: no arcs cross."""
    top = int(rng.integers(start, end))
    heads[top] = head
    for left, right in ((start, top), (top + 1, end)):
        while left < right:
            cut = int(rng.integers(left, right)) + 1
            _attach(heads, left, cut, rng, top + 1)
            left = cut


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


@pytest.fixture(scope="session")
def small_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder for studies at toy size: two layers, and a tokenizer that has seen a little of $QUIRE_DATA."""
    folder = tmp_path_factory.mktemp("base")
    texts = [record.text for record in data.load("sst2-sentences", "dev")]
    words = "short description thing person place number terrible great it was a an or the what is means reason group"
    tokenizer = Tokenizer.train([*texts, *[words] * 200], kind="wordpiece", size=900, longest=64)
    spec = Backbone(vocab=tokenizer.vocab.size, depth=2, width=24, heads=2, ffn=24, positions=128, dropout=0.0)
    state = Model(spec, {}, seed=1).state_dict()
    save_model(
        folder,
        backbone=spec,
        heads={},
        state=state,
        labels=None,
        tokenizer_saver=tokenizer.save,
        card="",
        extra={},
        vocab=tokenizer.vocab,
    )
    return folder
