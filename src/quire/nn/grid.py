"""Many short sequences of unequal lengths, attended to at once: a border of blanks costs less than a call for each.

Linear layers never see the blanks: a grid is laid for one product of queries and keys, and taken up again.

Legend: N positions of all sequences, S sequences, L the longest of them, X any width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

CALL = 4e6
"""FLOPs that take as long as a call of attention, forward and backward, with all that leads to it; on a CPU."""
LAUNCH = 1e9
"""The same on a GPU, which computes a thousand times as fast and begins no sooner."""


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
        shape, x_NX = (*self.index_SL.shape, *x_NX.shape[1:]), x_NX.flatten(1)
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
    queries: Sequence[int], keys: Sequence[int], *, calls: int, inner: int, device: torch.device | str = "cpu"
) -> bool:
    """Whether what the blanks cost, in heads of `inner` numbers together, is less than `calls` calls."""
    square = len(queries) * max(queries, default=0) * max(keys, default=0)
    blanks = square - sum(q * k for q, k in zip(queries, keys, strict=True))
    call = CALL if torch.device(device).type == "cpu" else LAUNCH
    return 12.0 * inner * blanks < call * (calls - 1)  # two products, forward and twice backward
