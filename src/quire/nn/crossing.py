"""A decoder looks at its source: cross attention on packed batches (Vaswani et al. 2017, section 3.2.3).

Legend: N positions of all sources, T of all targets, W width, H heads, D width of a head, I = H * D, R pairs of one
run, Q length of their targets, L of their sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import torch
from torch import Tensor, nn

from quire.core.spec import Backbone
from quire.nn.dropout import attention
from quire.nn.grid import Grid, worth_it


class Crossing:
    """Which target looks at which source, from the lengths of each pair, and what of the sources is hidden.

    Neighbouring pairs of equal lengths are taken together; where pairs are short and unequal, all of them are.
    """

    def __init__(
        self,
        targets: Sequence[int],
        sources: Sequence[int],
        hidden_N: Tensor | None = None,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.targets, self.sources, self.hidden_N, self.device = targets, sources, hidden_N, device
        together = groupby(zip(targets, sources, strict=True))
        self.pairs = [(len(list(members)), q, length) for (q, length), members in together]  # R, Q, L of each run
        self._grids: dict[tuple[int, bool], tuple[Grid, Grid, Tensor] | None] = {}

    @cached_property
    def masks(self) -> list[Tensor | None]:
        """[R, 1, 1, L] for each run, additive: what the decoder may not look at."""
        if self.hidden_N is None:
            return [None] * len(self.pairs)
        cut = torch.split(_additive(self.hidden_N), [r * length for r, _, length in self.pairs])
        return [part.view(r, 1, 1, length) for part, (r, _, length) in zip(cut, self.pairs, strict=True)]

    def grids(self, inner: int, *, learning: bool) -> tuple[Grid, Grid, Tensor] | None:
        """Those of targets and sources, and the mask [S, 1, 1, L], where one call for all is worth its blanks."""
        if (inner, learning) not in self._grids:
            costs = {"calls": len(self.pairs), "inner": inner}
            worth = worth_it(self.targets, self.sources, **costs, learning=learning, device=self.device)
            self._grids[inner, learning] = self._gridded() if worth else None
        return self._grids[inner, learning]

    def _gridded(self) -> tuple[Grid, Grid, Tensor]:
        targets, sources = (Grid.of(lengths, self.device) for lengths in (self.targets, self.sources))
        mask = sources.blank(self.sources)
        if self.hidden_N is not None:
            mask = mask + _additive(self.hidden_N)[sources.index_SL][:, None, None]
        return targets, sources, mask


def _additive(hidden: Tensor) -> Tensor:
    return torch.zeros(hidden.shape, device=hidden.device).masked_fill_(hidden, float("-inf"))


@dataclass(frozen=True, eq=False)
class Source:
    """What a decoder looks at: states [N, W], and which of its sequences sees which of them."""

    states_NW: Tensor
    crossing: Crossing


class CrossAttention(nn.Module):
    """Queries of the targets, keys and values of the sources; keys and values are one matrix. Nobody has positions."""

    def __init__(self, spec: Backbone) -> None:
        super().__init__()
        self.heads, self.dropout = spec.heads, spec.attention_dropout
        self.scale = None if spec.score == "scaled_dot" else 1.0
        self.query = nn.Linear(spec.width, spec.inner, bias=spec.bias)
        self.kv = nn.Linear(spec.width, 2 * spec.inner, bias=spec.bias)
        self.out = nn.Linear(spec.inner, spec.width, bias=spec.bias)

    def forward(self, x_TW: Tensor, source: Source) -> Tensor:
        """[T, W] -> [T, W]"""
        crossing = source.crossing
        if (found := crossing.grids(self.out.in_features, learning=self.training)) is not None:
            theirs, ours, mask = found
            q, k, v = (
                grid.laid(x_NHD).transpose(1, 2)
                for grid, x_NHD in ((theirs, self.queries(x_TW)), *((ours, x) for x in self.project(source.states_NW)))
            )
            together: Tensor = self.out(theirs.taken(self.mix(q, k, v, mask=mask).transpose(1, 2).flatten(2)))
            return together
        asking = torch.split(self.queries(x_TW), [r * q for r, q, _ in crossing.pairs])
        seen = [torch.split(t, [r * n for r, _, n in crossing.pairs]) for t in self.project(source.states_NW)]
        mixed = []
        for (r, q, n), mask, q_nHD, k_nHD, v_nHD in zip(crossing.pairs, crossing.masks, asking, *seen, strict=True):
            sides = ((q_nHD, q), (k_nHD, n), (v_nHD, n))
            ours, keys, values = (x.view(r, length, *x.shape[1:]).transpose(1, 2) for x, length in sides)
            mixed.append(self.mix(ours, keys, values, mask=mask).transpose(1, 2).flatten(2).flatten(0, 1))
        joined: Tensor = self.out(torch.cat(mixed))
        return joined

    def queries(self, x_TW: Tensor) -> Tensor:
        """[T, H, D]"""
        return self.query(x_TW).view(len(x_TW), self.heads, -1)  # type: ignore[no-any-return]

    def project(self, states_NW: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [N, H, D] of the sources."""
        k, v = self.kv(states_NW).view(len(states_NW), 2, self.heads, -1).unbind(dim=1)
        return k, v

    def mix(self, q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None) -> Tensor:
        """Queries [R, H, Q, D], keys and values [R, H, L, D] -> [R, H, Q, D]."""
        dropout = self.dropout if self.training else 0.0
        return attention(q, k, v, mask=mask, scale=self.scale, dropout=dropout)
