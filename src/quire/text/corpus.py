"""Documents to sentences, and several corpora to one stream by rate."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from quire.core.errors import BadInput
from quire.core.random import rng

_CLOSERS = r"[\"'”’」』）)\]]*"
_END = re.compile(
    rf"[。！？]+{_CLOSERS}"  # Chinese: nothing need follow
    rf"|[.!?]+{_CLOSERS}(?=\s)"  # English: a space must
    r"|[!?]+(?=[\u3400-\u9fff])"  # an English mark in Chinese
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'])(?:[A-Za-z]|(?:[A-Za-z]\.)+[A-Za-z]|[Mm]rs?|Ms|Drs?|Profs?|St|Jr|Sr|vs|etc|[Ff]igs?|[Nn]os?|pp?|"
    r"al|cf|ca|approx|Gen|Col|Capt|Lt|Sen|Rep|Gov|Inc|Ltd|Co|Corp|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.$"
)


def sentences(text: str) -> list[str]:
    """The sentences of a Chinese or English text, stripped; all characters but white space are kept.

    A line break always ends a sentence. An English full stop does not after an abbreviation or an initial,
    nor before a small letter: rules, not a model, so that the same text is always cut the same way.
    """
    cut = (piece.strip() for line in text.splitlines() for piece in _of_line(line))
    return [piece for piece in cut if piece]


def _of_line(line: str) -> Iterator[str]:
    begin = 0
    for match in _END.finditer(line):
        if match[0][0] == "." and _goes_on(line, begin, match):
            continue
        yield line[begin : match.end()]
        begin = match.end()
    yield line[begin:]


def _goes_on(line: str, begin: int, stop: re.Match[str]) -> bool:
    following = line[stop.end() : stop.end() + 9].lstrip()[:1]
    before = line[max(begin, stop.start() - 20) : stop.start() + 1]
    return following.islower() or (stop[0] == "." and bool(_ABBREVIATION.search(before)))


@dataclass(frozen=True)
class Mixture:
    """Several sources in one endless stream: each block of `block` places holds every source exactly at its rate."""

    rates: Mapping[str, float]  # source -> weight; only ratios count
    seed: int = 0
    block: int = 1000

    def __post_init__(self) -> None:
        if not self.rates or not all(0 < rate < float("inf") for rate in self.rates.values()):
            raise BadInput(f"mixture: rates must be positive numbers, got {dict(self.rates)}")
        if few := [name for name, count in zip(self.rates, self._counts, strict=True) if count == 0]:
            raise BadInput(f"mixture: the rate of {few[0]!r} is below one in {self.block}: leave it out or raise it")

    @cached_property
    def _counts(self) -> list[int]:
        """Places of each source in a block, by largest remainder."""
        exact = np.array(list(self.rates.values()), dtype=np.float64)
        exact *= self.block / exact.sum()
        counts = np.floor(exact).astype(np.int64)
        last = np.argsort(counts - exact, kind="stable")[: self.block - counts.sum()]
        counts[last] += 1
        found: list[int] = counts.tolist()
        return found

    def at(self, place: int) -> tuple[str, int]:
        """The source at a place of the stream and the index within that source: a pure function of (seed, place)."""
        block, within = divmod(place, self.block)
        order = np.repeat(np.arange(len(self._counts)), self._counts)
        rng(self.seed, "mixture", block).shuffle(order)
        source = int(order[within])
        earlier = int((order[:within] == source).sum())
        return list(self.rates)[source], block * self._counts[source] + earlier
