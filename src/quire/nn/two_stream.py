"""Two streams over one encoder: XLNet's (Yang et al. 2019, section 2.3, and `two_stream_rel_attn` in their code).

content  h_i: what stands at i and all that i sees, itself included
query    g_i: that i is asked, where it stands, and what lower ranks hold; it begins as one learned vector

Both have the same weights, and keys and values come from h alone. Only asked positions have a g, and the last layer
computes no h, since nobody looks at it. No gradient passes through the h of a sequence's memory.

Legend: N positions of all sequences, M asked ones, P most of one sequence, R sequences of one length L, W width,
H heads, D width of a head, E width of the embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
import torch
from torch import Tensor

from quire.core.example import Ints
from quire.core.visibility import Permuted, Visibility
from quire.nn.attention import Layout
from quire.nn.grid import Grid
from quire.nn.relative import RelativeAttention
from quire.nn.transformer import Block, Encoder


@dataclass(frozen=True, eq=False)
class Asked:
    """The asked positions of neighbouring sequences of equal length, M of them, laid as [R, P] with blanks."""

    sequences: int  # R
    length: int  # L
    grid: Grid
    mask_R1PL: Tensor  # additive, lower ranks only; a blank sees everyone, and nobody looks at it
    far_RPL: Tensor
    differs_RPL: Tensor

    @property
    def count(self) -> int:
        """M"""
        return len(self.grid.place_N)

    @property
    def size(self) -> int:
        """Positions of all sequences."""
        return self.sequences * self.length


def asked(at_M: Tensor, layout: Layout) -> list[Asked]:
    """Those at the ascending positions `at_M`; ValueError for one in a sequence that has no order (`Permuted`)."""
    found, start, at = [], 0, at_M.cpu().numpy()
    for length, group in groupby(layout.runs, key=lambda run: run.length):
        rules = [run.sees for run in group for _ in range(run.sequences)]
        bounds = np.searchsorted(at, start + length * np.arange(len(rules) + 1))
        here_M = at_M[bounds[0] : bounds[-1]]
        places = [at[a:b] - start - length * i for i, (a, b) in enumerate(pairwise(bounds))]
        grid = Grid.of(np.diff(bounds).tolist(), at_M.device)
        stands = slice(start, start + len(rules) * length)
        apart = [
            grid.laid(told_N[here_M]).unsqueeze(2) - told_N[stands].view(len(rules), 1, length)
            for told_N in (layout.positions, layout.segments)
        ]
        mask = _mask(places, rules, length).to(at_M.device)
        found.append(Asked(len(rules), length, grid, mask, apart[0], apart[1] != 0))
        start = stands.stop
    return found


def _mask(places: Sequence[Ints], rules: Sequence[Visibility], length: int) -> Tensor:
    seen_RPL = np.ones((len(rules), max(map(len, places)), length), dtype=bool)
    for seen_PL, place_P, sees in zip(seen_RPL, places, rules, strict=True):
        if len(place_P):
            if not isinstance(sees, Permuted):
                raise ValueError(f"a query stream needs an order of its sequence, not {sees}")
            seen_PL[: len(place_P)] = sees.query(place_P)
    mask = torch.zeros(seen_RPL.shape).masked_fill_(torch.from_numpy(~seen_RPL), float("-inf"))
    return mask.unsqueeze(1)


def _past(layout: Layout) -> Tensor | None:
    """[N, 1] True in a memory; None when there is none."""
    runs = [run for run in layout.runs for _ in range(run.sequences)]
    pasts = [run.sees.memory if isinstance(run.sees, Permuted) else 0 for run in runs]
    if not any(pasts):
        return None
    past = [torch.arange(run.length) < memory for run, memory in zip(runs, pasts, strict=True)]
    return torch.cat(past).unsqueeze(1).to(layout.positions.device)


def query_states(encoder: Encoder, x_NE: Tensor, query_W: Tensor, at_M: Tensor, layout: Layout) -> Tensor:
    """g [M, W] at the ascending positions `at_M`, from embedded tokens [N, E] and the vector that g begins as.

    The encoder has relative attention; ValueError for a position in a sequence without an order.
    """
    groups, past_N1 = asked(at_M, layout), _past(layout)
    counts, sizes = [group.count for group in groups], [group.size for group in groups]
    h = x_NE if encoder.project is None else encoder.project(x_NE)
    g = encoder.embeddings.dropout(query_W.expand(len(at_M), -1))
    for i in range(encoder.spec.depth):
        block = encoder.block(i)
        assert isinstance(block, Block)
        attention = block.attention
        assert isinstance(attention, RelativeAttention)
        if past_N1 is not None:
            h = torch.where(past_N1, h.detach(), h)
        q, k, v = attention.project(block.before(h))
        r_HKD = attention.distances(layout)
        queries = torch.split(attention.queries(block.before(g)), counts)
        seen = (torch.split(stream, sizes) for stream in (k, v))
        mixed = [_mixed(attention, *streams, r_HKD=r_HKD) for streams in zip(groups, queries, *seen, strict=True)]
        g = block.after(g, attention.out(torch.cat(mixed)))
        if i < encoder.spec.depth - 1:
            h = block.after(h, attention.out(attention.mix(q, k, v, layout, r_HKD)))
    states: Tensor = encoder.norm(g)
    return states


def _mixed(attention: RelativeAttention, group: Asked, q_MHD: Tensor, *kv: Tensor, r_HKD: Tensor) -> Tensor:
    """[M, W] of a group's queries, from the keys and values [R * L, H, D] of its sequences."""
    k, v = (x.view(group.sequences, group.length, *x.shape[1:]) for x in kv)
    whole_RPW = attention.attend(
        group.grid.laid(q_MHD), k, v, group.far_RPL, group.differs_RPL, r_HKD=r_HKD, mask=group.mask_R1PL
    )
    return group.grid.taken(whole_RPW)
