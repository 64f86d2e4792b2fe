"""(k) How cost grows: the speed of training over length, width and vocabulary, and its memory over the vocabulary.

Quire alone: no peer. What a corpus costs over its size: `corpora`.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks import harness, memory, peers, pretraining
from benchmarks.harness import Curve, Result, Scale, Side
from benchmarks.text import Labelled
from quire.core.example import Example, Passage, Vocab, World
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.train.feed import Fixed
from quire.train.loop import Job, planned
from quire.train.start import Base

SPECIAL = 5
FEWER = 4
"""Times fewer sequences in the smaller batch whose memory is measured."""
REMARKS = (
    "Growth: masked language modelling as in pre-training, on random tokens; the first size of the scale, of which one "
    "thing is changed; over the length, updates of as many tokens. Every size has its turn in each round. The share of "
    "the peak is of the matrix product just before the turn. Memory: the rise of resident memory, as in `memory`, a "
    "run for each size.",
)


@dataclass(frozen=True)
class Training:
    """Some updates of a body of this size, on random tokens."""

    spec: Backbone
    batch: int
    length: int
    scale: Scale

    @property
    def world(self) -> World:
        special = frozenset(range(SPECIAL))
        return World(
            Vocab(size=self.spec.vocab, pad=0, unk=1, cls=2, sep=3, mask=4, special=special), length=self.length
        )

    @cached_property
    def examples(self) -> list[Example]:
        """A batch of them."""
        room, draw = self.length - 2, rng("growth", self.length)
        texts = draw.integers(SPECIAL, self.spec.vocab, size=(self.batch, room))
        return [Example.of(self.world.vocab, Passage(text, np.ones(room, dtype=bool))) for text in texts]

    @property
    def job(self) -> Job:
        plan = pretraining.plan(self.scale).model_copy(update={"batch": self.batch})
        return Job(Fixed(self.examples, "growth"), (pretraining.masked(),), self.world, plan)

    @property
    def model(self) -> Model:
        return Model(self.spec, planned(self.job.objectives, self.spec, self.world))

    @cached_property
    def side(self) -> Side:
        """A turn: the timed updates."""
        return peers.our_training(self.model, self.job, skip=self.scale.skip)

    @cached_property
    def flops(self) -> int:
        """Necessary ones of a turn."""
        (objective,) = self.job.objectives
        damaged = [objective.corrupt(example, self.world, rng(i)) for i, example in enumerate(self.examples)]
        return self.scale.steps * peers.necessary_flops(self.model, objective, damaged)

    @property
    def tokens(self) -> int:
        """Of a turn."""
        return self.scale.steps * self.batch * self.length

    def taken(self) -> int:
        """Bytes that resident memory rises by."""
        return memory.of(self.model, self.job)


def measure(text: list[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """All curves."""
    body = next(iter(scale.backbones.values()))
    curves: list[Curve] = []
    for over, trainings in _axes(body, scale).items():
        curves += _speeds(over, trainings, rounds=scale.pairs)
    curves += _memory(body, scale)
    return Result((), (), REMARKS, curves=tuple(curves))


def _axes(body: Backbone, scale: Scale) -> Mapping[str, Mapping[int, Training]]:
    """What is trained at each size, by what is changed."""
    whole = scale.batch * scale.length
    longer = body.model_copy(update={"positions": max(scale.reaches)})
    return {
        "length": {n: Training(longer, max(whole // n, 1), n, scale) for n in scale.reaches},
        "width": {n: Training(_wide(body, n), scale.batch, scale.length, scale) for n in scale.widths},
        "vocabulary": {n: Training(_known(body, n), scale.batch, scale.length, scale) for n in scale.vocabularies},
    }


def _wide(body: Backbone, width: int) -> Backbone:
    """Heads as wide as they were, and a feed-forward layer four times as wide."""
    return body.model_copy(update={"width": width, "heads": width // body.head, "ffn": 4 * width})


def _known(body: Backbone, vocabulary: int) -> Backbone:
    return body.model_copy(update={"vocab": vocabulary})


def _speeds(over: str, trainings: Mapping[int, Training], *, rounds: int) -> tuple[Curve, Curve]:
    speeds: dict[int, list[float]] = defaultdict(list)
    shares: dict[int, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for size, training in trainings.items():
            peak, seconds = harness.product(), training.side.run()
            speeds[size].append(training.tokens / seconds)
            shares[size].append(training.flops / seconds / peak)
    return Curve.of("training, tokens/s", over, speeds), Curve.of("training, share of peak", over, shares)


def _memory(body: Backbone, scale: Scale) -> list[Curve]:
    """Megabytes over the vocabulary, for two batches: what lies between them is what the batch costs."""
    found = []
    for batch in (max(scale.batch // FEWER, 1), scale.batch):
        trainings = {n: Training(_known(body, n), batch, scale.length, scale) for n in scale.vocabularies}
        taken = {n: [memory.alone(training.taken) / 1e6] for n, training in trainings.items()}
        found.append(Curve.of(f"a step's memory, batch {batch}, MB", "vocabulary", taken))
    return found
