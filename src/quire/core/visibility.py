"""Who sees whom: comparable values, joined by `&`, that attention turns into masks.

Legend: L positions of one sequence. `mask(L)[i, j]` is True where position i may look at position j.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


class Visibility(ABC):
    """A rule over the positions of one sequence; equal rules share one attention call."""

    @abstractmethod
    def mask(self, length: int) -> npt.NDArray[np.bool_]:
        """The rule as booleans [L, L]; every row has at least one True (its own position)."""

    def __and__(self, other: Visibility) -> Visibility:
        if self == other or isinstance(other, Full):
            return self
        return other if isinstance(self, Full) else Both(self, other)


@dataclass(frozen=True)
class Full(Visibility):
    """Everyone sees everyone: BERT. Never built as a mask."""

    def mask(self, length: int) -> npt.NDArray[np.bool_]:
        return np.ones((length, length), dtype=bool)


@dataclass(frozen=True)
class Causal(Visibility):
    """A position sees itself and what came before: GPT. Never built as a mask."""

    def mask(self, length: int) -> npt.NDArray[np.bool_]:
        return np.tri(length, dtype=bool)


@dataclass(frozen=True)
class Backward(Visibility):
    """A position sees itself and what comes after: right-to-left language models, UniLM."""

    def mask(self, length: int) -> npt.NDArray[np.bool_]:
        return np.tri(length, dtype=bool).T


@dataclass(frozen=True)
class Prefix(Visibility):
    """The first `size` positions see each other, the rest is causal: prefix LM, UniLM. Prefix(0) is Causal."""

    size: int

    def mask(self, length: int) -> npt.NDArray[np.bool_]:
        seen = np.tri(length, dtype=bool)
        seen[:, : self.size] = True
        return seen


@dataclass(frozen=True)
class Window(Visibility):
    """A position sees `radius` neighbours on either side: local attention."""

    radius: int

    def mask(self, length: int) -> npt.NDArray[np.bool_]:
        place = np.arange(length)
        seen: npt.NDArray[np.bool_] = np.abs(place[:, None] - place[None, :]) <= self.radius
        return seen


@dataclass(frozen=True)
class Apart(Visibility):
    """Blocks of these sizes, of which none sees another: two texts that meet in their vectors alone, windows of one.

    Never built as a mask: to a body the blocks are sequences (`quire.nn.attention.Layout`).
    """

    sizes: tuple[int, ...]

    def mask(self, length: int) -> npt.NDArray[np.bool_]:
        block = np.repeat(np.arange(len(self.sizes)), self.sizes)
        if len(block) != length:
            raise ValueError(f"blocks of {len(block)} positions cannot rule {length}")
        seen: npt.NDArray[np.bool_] = block[:, None] == block
        return seen


@dataclass(frozen=True)
class Permuted(Visibility):
    """A factorisation order: a position sees those of its own rank and of lower ones (Yang et al. 2019, section 2.2).

    Positions that share a rank see each other. A second stream that must not know what stands at its own place sees
    lower ranks alone: `query`. The first `memory` positions are the past of the sequence, which no gradient enters.
    """

    order: bytes  # [L] ranks, as int32: bytes hash and compare fast
    memory: int = 0

    @classmethod
    def of(cls, ranks: npt.NDArray[np.integer], *, memory: int = 0) -> Permuted:
        """The order with these ranks [L], any whole numbers."""
        return cls(ranks.astype(np.int32).tobytes(), memory)

    @property
    def ranks(self) -> npt.NDArray[np.int32]:
        """[L] when each position is revealed."""
        return np.frombuffer(self.order, dtype=np.int32)

    def mask(self, length: int) -> npt.NDArray[np.bool_]:
        if length != len(self.ranks):
            raise ValueError(f"an order of {len(self.ranks)} positions cannot rule {length}")
        return self.ranks[:, None] >= self.ranks

    def query(self, at: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        """[P, L]: what queries at the positions `at` [P] see, lower ranks only; a row may be empty."""
        return self.ranks[at, None] > self.ranks


@dataclass(frozen=True)
class Both(Visibility):
    """Where two rules agree."""

    one: Visibility
    other: Visibility

    def mask(self, length: int) -> npt.NDArray[np.bool_]:
        return self.one.mask(length) & self.other.mask(length)
