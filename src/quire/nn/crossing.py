"""A decoder looks at its source: cross attention on packed batches (Vaswani et al. 2017, section 3.2.3).

Legend: N positions of all sources, T of all targets, W width, H heads, D width of a head, I = H * D, R pairs of one
run, Q length of their targets, L of their sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.spec import Backbone


@dataclass(frozen=True, eq=False)
class Crossing:
    """Which target looks at which source: neighbouring pairs of equal lengths are taken together."""

    pairs: list[tuple[int, int, int]]  # R, Q, L of each run, in order
    masks: list[Tensor | None]  # [R, 1, 1, L], additive: what the decoder may not look at

    @classmethod
    def of(cls, targets: Sequence[int], sources: Sequence[int], hidden_N: Tensor | None = None) -> Crossing:
        """From the lengths of each pair, and what of the sources is hidden."""
        together = groupby(zip(targets, sources, strict=True))
        pairs = [(len(list(members)), q, length) for (q, length), members in together]
        if hidden_N is None:
            return cls(pairs, [None] * len(pairs))
        whole_N = torch.zeros(hidden_N.shape, device=hidden_N.device).masked_fill_(hidden_N, float("-inf"))
        cut = torch.split(whole_N, [r * length for r, _, length in pairs])
        return cls(pairs, [part.view(r, 1, 1, length) for part, (r, _, length) in zip(cut, pairs, strict=True)])


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
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=self.scale)
