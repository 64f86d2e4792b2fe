"""A packed batch as the rectangle that models of transformers take, and their answers packed again.

Legend: S sequences, L columns, N positions of all sequences.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quire.core.visibility import Visibility
from quire.nn.attention import Run
from quire.nn.model import Packed


@dataclass(frozen=True, eq=False)
class Rectangle:
    """Where each position of a packed batch stands in [S, L]: a row a sequence."""

    row_N: Tensor
    column_N: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, batch: Packed, *, placed: bool = False) -> Rectangle:
        """From column 0 on, or with `placed` each position in the column of its own number."""
        sequences = len(batch.lengths)
        row_N = torch.arange(sequences, device=batch.lengths.device).repeat_interleave(batch.lengths)
        column_N = batch.positions if placed else counted(batch)
        return cls(row_N, column_N, (sequences, int(column_N.max()) + 1))

    def laid(self, values_N: Tensor, *, blank: int = 0) -> Tensor:
        """[N] -> [S, L]"""
        laid_SL = values_N.new_full(self.shape, blank)
        laid_SL[self.row_N, self.column_N] = values_N
        return laid_SL

    def there(self) -> Tensor:
        """[S, L] 1 where a position stands, else 0."""
        return self.laid(torch.ones_like(self.column_N))

    def taken(self, x_SLX: Tensor) -> Tensor:
        """[S, L, ...] -> [N, ...]"""
        return x_SLX[self.row_N, self.column_N]

    def seen(self, runs: list[Run]) -> Tensor:
        """[S, 1, L, L] who sees whom; a blank sees itself alone, and nobody sees it."""
        sequences, longest = self.shape
        seen_SLL = torch.eye(longest, dtype=torch.bool).repeat(sequences, 1, 1)
        at = 0
        for run in runs:
            seen_SLL[at : at + run.sequences, : run.length, : run.length] = mask(run.sees, run.length)
            at += run.sequences
        return seen_SLL[:, None].to(self.row_N.device)


def mask(sees: Visibility, length: int) -> Tensor:
    """A visibility as booleans [L, L]."""
    return torch.from_numpy(sees.mask(length).copy())


def additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where something is seen, else the lowest number: what every kind of attention in transformers can add."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, torch.finfo(dtype).min)


def counted(batch: Packed) -> Tensor:
    """[N] 0, 1, 2, ... in each sequence."""
    every_N = torch.arange(len(batch.tokens), device=batch.tokens.device)
    return every_N - batch.first.repeat_interleave(batch.lengths)
