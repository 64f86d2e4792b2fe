"""Two sides measured in turn: first that they compute the same, then pairs A B A B, then ratios of neighbours.

Only ratios within one run mean anything: a machine that others share is fast in one minute and slow in the next. So a
ratio is taken between two neighbouring turns, and a matrix product just before each says what the machine gave then.
Where the two products are not alike, the pair is taken again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from quire.core.errors import QuireError
from quire.core.spec import Backbone
from quire.train.machine import matrix_peak

ALLOWED = 1e-4
"""How far the two sides may be apart before they count as different computations."""
ALIKE = 1.1
"""How many times the lower one the higher of a pair's two products may be."""
TRIES = 4
"""How often a pair is taken at most: the last one counts, whatever its products."""


class Disagreement(QuireError):
    """The two sides do not compute the same: nothing is timed."""


@dataclass(frozen=True)
class Scale:
    """How much is measured. A turn is what a side does between two readings of the clock."""

    pairs: int  # turns of each side, against each peer
    batch: int
    length: int  # tokens of a block in pre-training
    steps: int  # timed updates of a turn in pre-training
    skip: int  # updates before them, not timed
    backbones: dict[str, Backbone]  # pre-trained sizes by name
    samples: int  # sentences of an epoch of fine-tuning, examples that are corrupted: a turn
    sentences: int  # sentences embedded in a turn
    longest: int = 256  # tokens of a sentence that are read, in fine-tuning and inference
    lengths: tuple[int, ...] = (128, 256, 512, 1024, 2048, 4096, 8192)  # tokens of a sequence, in star
    writers: tuple[int, ...] = (1, 8)  # texts that are written together
    written: int = 64  # tokens of each
    vocabulary: int = 50_257  # of what writes: GPT-2's
    lessons: int = 400  # updates of what shows what int8 costs in writing
    reviews: int = 6_920  # of SST-2, learnt from before int8 is judged
    words: int = 1_500_000  # of a text that word vectors are learnt from
    reaches: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)  # tokens of a sequence, in growth
    widths: tuple[int, ...] = (128, 256, 384, 512, 768)
    vocabularies: tuple[int, ...] = (8_000, 30_522, 65_536, 131_072, 250_000)
    corpora: tuple[int, ...] = (10_000_000, 100_000_000, 1_000_000_000)  # bytes of shards


@dataclass(frozen=True)
class Side:
    """`run` does the work of a turn and returns its seconds."""

    name: str
    run: Callable[[], float]


@dataclass(frozen=True)
class Pair:
    """Two neighbouring turns, in seconds, and the FLOP/s of an fp32 matrix product just before each."""

    ours: float
    peer: float
    peaks: tuple[float, float]
    again: int = 0  # times it was taken before, to be thrown away

    @property
    def alike(self) -> bool:
        """Whether the machine gave both sides about the same."""
        return max(self.peaks) <= ALIKE * min(self.peaks)


@dataclass(frozen=True)
class Spread:
    """Quartiles."""

    lower: float
    median: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(*(float(q) for q in np.percentile(values, [25, 50, 75])))


@dataclass(frozen=True)
class Row:
    """Ours against one peer. `work` units and `flops` necessary FLOPs are done by either side in a turn."""

    benchmark: str
    peer: str
    unit: str
    work: int
    flops: int
    pairs: tuple[Pair, ...]

    @property
    def ratio(self) -> Spread:
        """How many times the peer's speed ours is."""
        return Spread.of([pair.peer / pair.ours for pair in self.pairs])

    @property
    def speeds(self) -> tuple[Spread, Spread]:
        """Units per second: ours, the peer's."""
        ours, peer = ([self.work / seconds for seconds in side] for side in self._seconds())
        return Spread.of(ours), Spread.of(peer)

    @property
    def shares(self) -> tuple[Spread, Spread]:
        """Necessary FLOP/s as shares of the matrix peak: ours, the peer's."""
        peaks = zip(*(pair.peaks for pair in self.pairs), strict=True)
        ours, peer = (
            [self.flops / seconds / peak for seconds, peak in zip(*side, strict=True)]
            for side in zip(self._seconds(), peaks, strict=True)
        )
        return Spread.of(ours), Spread.of(peer)

    @property
    def again(self) -> int:
        """Pairs that were thrown away."""
        return sum(pair.again for pair in self.pairs)

    @property
    def unlike(self) -> int:
        """Pairs that count though the machine did not give both sides the same."""
        return sum(not pair.alike for pair in self.pairs)

    def _seconds(self) -> tuple[list[float], list[float]]:
        return [pair.ours for pair in self.pairs], [pair.peer for pair in self.pairs]


@dataclass(frozen=True)
class Memory:
    """Bytes that ours and the peer's same work took, run by run."""

    benchmark: str
    peer: str
    ours: tuple[int, ...]
    theirs: tuple[int, ...]

    @property
    def ratio(self) -> Spread:
        """How many times the peer's memory ours is."""
        return Spread.of([ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)])


@dataclass(frozen=True)
class Curve:
    """What was measured at one size of something after the other, each a few times."""

    title: str
    over: str
    points: Mapping[int, tuple[float, ...]]  # by size

    @classmethod
    def of(cls, title: str, over: str, points: Mapping[int, Sequence[float]]) -> "Curve":
        return cls(title, over, {size: tuple(figures) for size, figures in points.items()})

    @property
    def spreads(self) -> dict[int, Spread]:
        """By size."""
        return {size: Spread.of(figures) for size, figures in self.points.items()}


@dataclass(frozen=True)
class Agreement:
    """What was compared before timing, and the largest difference found."""

    what: str
    difference: float


@dataclass(frozen=True)
class Result:
    """What one benchmark found; `remarks` say what each side includes and where the sides differ."""

    rows: tuple[Row, ...]
    agreements: tuple[Agreement, ...]
    remarks: tuple[str, ...] = ()
    memory: tuple[Memory, ...] = ()
    curves: tuple[Curve, ...] = ()


def agree(what: str, ours: object, theirs: object, *, relative: bool = False) -> Agreement:
    """The largest difference of two arrays (or numbers); Disagreement when it is above ALLOWED or not a number."""
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    difference = float(np.abs(a - b).max() / (np.abs(b).max() if relative else 1.0))
    if not difference <= ALLOWED:
        raise Disagreement(f"{what}: the two sides differ by {difference:.2g} (allowed {ALLOWED}); nothing was timed")
    return Agreement(what, difference)


def versus(
    benchmark: str, ours: Side, peers: Sequence[Side], *, pairs: int, unit: str, work: int, flops: int
) -> tuple[Row, ...]:
    """Measure ours and each peer in turn, `pairs` times: ours, peer 1, ours, peer 2, ours, peer 1, ..."""
    found: dict[str, list[Pair]] = {peer.name: [] for peer in peers}
    for _ in range(pairs):
        for peer in peers:
            found[peer.name].append(_pair(ours, peer))
    return tuple(Row(benchmark, name, unit, work, flops, tuple(taken)) for name, taken in found.items())


def _pair(ours: Side, peer: Side) -> Pair:
    """Both turns, and again where the machine did not give both the same."""
    for again in range(TRIES):
        before, mine, between, theirs = product(), ours.run(), product(), peer.run()
        pair = Pair(mine, theirs, (before, between), again)
        if pair.alike:
            break
    return pair


def product() -> float:
    """FLOP/s of a matrix product now; the library keeps the first it has measured."""
    return matrix_peak.__wrapped__(torch.get_num_threads())


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """`work` as a turn: its wall time in seconds."""

    def run() -> float:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    return run


class Clock:
    """Reads the time when training begins and after each update: the progress that the loop reports to."""

    def __init__(self) -> None:
        self.ticks: list[float] = []

    def start(self, title: str = "", total: int = 0, done: int = 0) -> None:
        self.ticks = [time.perf_counter()]

    def update(self, step: int, figures: str = "") -> None:
        self.ticks.append(time.perf_counter())

    def say(self, line: str) -> None:
        pass

    def seconds(self, skip: int) -> float:
        """From the end of update `skip` (0: from the beginning) to the end of the last."""
        return self.ticks[-1] - self.ticks[skip]
