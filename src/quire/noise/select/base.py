"""What a select is, and what several of them count with.

Legend: L positions of one sequence, W words, K spans. `free` [L] are the positions that may be chosen (neither special
nor already asked), `starts` [L] is True where a token begins a word.
"""

from abc import abstractmethod
from functools import cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from quire.core.catalogue import Component
from quire.core.example import Bools, Ints
from quire.core.random import Rng
from quire.noise.spans import runs_of


class Select(Component):
    """Chooses positions: (free, starts, rng) -> where [L]."""

    home: ClassVar[str] = "quire.noise.select"

    @property
    def longest_run(self) -> int:
        """Tokens, at the least, of the longest thing that it means to choose: a text must have as many."""
        return 1

    @abstractmethod
    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        """The chosen positions, a subset of `free`."""

    def spans(self, free: Bools, starts: Bools, rng: Rng) -> Ints:
        """[K, 2] the same as spans (begin, end), ascending: by default the runs of what is chosen.

        Spans do not overlap. Two may touch, and an empty one is a place where something is to be put in.
        """
        return runs_of(self.choose(free, starts, rng))


def word_bounds(starts: Bools) -> Ints:
    """[W + 1] where each word begins, and the length; a piece of a word at the beginning counts as one."""
    found = np.ones(len(starts) + 1, dtype=bool)
    found[1:-1] = starts[1:]
    return np.flatnonzero(found)


def run_ends(kept_W: Bools) -> Ints:
    """[W] for each kept word the first word after it that is not kept, or W."""
    n = len(kept_W)
    ends: Ints = np.minimum.accumulate(np.where(kept_W, n, np.arange(n))[::-1])[::-1]
    return ends


@cache
def _upto(shares: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Which part of the draws from [0, 1) is below each length but the first."""
    upto: npt.NDArray[np.float64] = np.cumsum(shares) / np.sum(shares)
    return upto[:-1]


def drawn_lengths(shares: tuple[float, ...], n: int, rng: Rng) -> Ints:
    """n draws of 1, 2, ... with these shares."""
    return _upto(shares).searchsorted(rng.random(n), side="right") + 1


def tokens_due(rate: float, length: int, rounding: str, rng: Rng) -> int:
    return int(rate * length + rng.random()) if rounding == "random" else max(1, round(rate * length))
