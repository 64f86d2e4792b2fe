"""Many short sequences of unequal lengths, attended to at once: a border of blanks costs less than a call for each.

Linear layers never see the blanks: a grid is laid for one product of queries and keys, and taken up again.

Legend: N positions of all sequences, S sequences, L the longest of them, X any width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

CALL = 16e6
"""FLOPs that take as long as a call of attention, forward and backward, with all that leads to it; on a CPU."""
READING = 1e5
"""The same where nothing is learnt, less what laying a grid costs."""
LAUNCH = 1e9
"""Of a call on a GPU, which computes a thousand times as fast and begins no sooner."""
MASK = 0.15
"""What a mask adds to the cost of a query and a key."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where each position of a packed array stands in [S, L]."""

    index_SL: Tensor  # the position that stands there, or any where none does
    place_N: Tensor  # where a position stands in the grid, read row by row

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device | str) -> Grid:
        """For sequences of these lengths, one after the other."""
        lengths_S1 = torch.tensor(lengths, device=device).unsqueeze(1)
        place_L = torch.arange(max(lengths), device=device)
        index_SL = (lengths_S1.cumsum(0) - lengths_S1 + place_L).clamp(max=sum(lengths) - 1)
        return cls(index_SL, torch.nonzero((place_L < lengths_S1).flatten()).squeeze(1))

    def laid(self, x_NX: Tensor) -> Tensor:
        """[N, ...] -> [S, L, ...], 0 where nobody stands."""
        shape, x_NX = (*self.index_SL.shape, *x_NX.shape[1:]), x_NX.reshape(len(x_NX), math.prod(x_NX.shape[1:]))
        # Gathering rows instead would add up the gradients of all blanks in one row: on a GPU, one after the other.
        blank = x_NX.new_zeros(self.index_SL.numel(), x_NX.shape[1])
        return blank.index_copy(0, self.place_N, x_NX).view(shape)

    def taken(self, x_SLX: Tensor) -> Tensor:
        """[S, L, X] -> [N, X]"""
        return x_SLX.flatten(0, 1).index_select(0, self.place_N)

    def blank(self, lengths: Sequence[int]) -> Tensor:
        """[S, 1, 1, L], additive: -inf where nobody stands."""
        device, longest = self.index_SL.device, self.index_SL.shape[1]
        none_SL = torch.arange(longest, device=device) >= torch.tensor(lengths, device=device).unsqueeze(1)
        return torch.zeros(none_SL.shape, device=device).masked_fill_(none_SL, float("-inf"))[:, None, None]


def worth_it(
    queries: Sequence[int],
    keys: Sequence[int],
    *,
    calls: int,
    inner: int,
    learning: bool,
    device: torch.device | str = "cpu",
) -> bool:
    """Whether what the blanks cost, in heads of `inner` numbers together, is less than `calls` calls."""
    square = len(queries) * max(queries, default=0) * max(keys, default=0)
    blanks = square - sum(q * k for q, k in zip(queries, keys, strict=True))
    return _pair(inner) * blanks < _call(device, learning) * (calls - 1)


@dataclass(frozen=True)
class Size:
    """Of a run: its sequences, and whether they are masked even in a call of their own."""

    length: int
    sequences: int
    masked: bool

    @property
    def pairs(self) -> int:
        """Of queries and keys."""
        return self.sequences * self.length**2


def together(sizes: Sequence[Size], *, inner: int, learning: bool, device: torch.device | str = "cpu") -> list[int]:
    """How many neighbouring runs each call takes, so that calls, blanks and masks cost least.

    A group that costs more than a call for each of its runs is not made larger.
    """
    call, pair = _call(device, learning), _pair(inner)
    best, taken = [0.0], [0]  # for the first runs: what they cost, and how many the last call of them takes
    for last, size in enumerate(sizes):
        found = [(best[last] + call, 1)]
        longest, rows, free, pairs = size.length, size.sequences, 0 if size.masked else size.sequences, size.pairs
        for first in range(last - 1, -1, -1):
            more = sizes[first]
            longest, rows, pairs = max(longest, more.length), rows + more.sequences, pairs + more.pairs
            free += 0 if more.masked else more.sequences
            extra = pair * ((rows + MASK * free) * longest**2 - pairs)
            found.append((best[first] + call + extra, last - first + 1))
            if extra > call * (last - first):
                break
        cost, count = min(found)
        best.append(cost)
        taken.append(count)
    counts, end = list[int](), len(sizes)
    while end:
        counts.append(taken[end])
        end -= taken[end]
    return counts[::-1]


def _call(device: torch.device | str, learning: bool) -> float:
    if torch.device(device).type != "cpu":
        return LAUNCH
    return CALL if learning else READING


def _pair(inner: int) -> float:
    """FLOPs of a query and a key: two products, forward and twice backward."""
    return 12.0 * inner
