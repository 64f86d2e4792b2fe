"""Two streams over one encoder: XLNet's (Yang et al. 2019, section 2.3, and `two_stream_rel_attn` in their code).

content  h_i: what stands at i and all that i sees, itself included
query    g_i: that i is asked, where it stands, and what lower ranks hold; it begins as one learned vector

Both have the same weights, and keys and values come from h alone. Only asked positions have a g, and the last layer
computes no h, since nobody looks at it. No gradient passes through the h of a sequence's memory.

Legend: N positions of all sequences, M asked ones, P those of one sequence, L its length, W width, H heads, D width
of a head, E width of the embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from quire.core.visibility import Permuted, Visibility
from quire.nn.attention import Layout
from quire.nn.relative import RelativeAttention
from quire.nn.transformer import Block, Encoder


@dataclass(frozen=True, eq=False)
class Asked:
    """The asked positions of all sequences, each in its own."""

    sizes: list[int]  # [S] L of each
    counts: list[int]  # [S] P of each
    masks: list[Tensor]  # [S] of [P, L], additive, lower ranks only
    past_N1: Tensor | None  # True in a memory; None when there is none

    @classmethod
    def of(cls, at_M: Tensor, layout: Layout) -> Asked:
        """ValueError for a position in a sequence that has no order (`Permuted`)."""
        runs = [run for run in layout.runs for _ in range(run.sequences)]
        sizes = [run.length for run in runs]
        ends = torch.tensor(list(accumulate(sizes)), device=at_M.device)
        bounds = [0, *torch.searchsorted(at_M, ends).tolist()]
        counts = [last - first for first, last in pairwise(bounds)]
        starts = [0, *ends[:-1].tolist()]
        places = zip(torch.split(at_M, counts), starts, runs, strict=True)
        masks = [_mask(at_P - start, run.sees, run.length) for at_P, start, run in places]
        pasts = [run.sees.memory if isinstance(run.sees, Permuted) else 0 for run in runs]
        past = [torch.arange(size) < m for size, m in zip(sizes, pasts, strict=True)]
        return cls(sizes, counts, masks, torch.cat(past).unsqueeze(1).to(at_M.device) if any(pasts) else None)


def query_states(encoder: Encoder, x_NE: Tensor, query_W: Tensor, at_M: Tensor, layout: Layout) -> Tensor:
    """g [M, W] at the ascending positions `at_M`, from embedded tokens [N, E] and the vector that g begins as.

    The encoder has relative attention; ValueError for a position in a sequence without an order.
    """
    asked = Asked.of(at_M, layout)
    h = x_NE if encoder.project is None else encoder.project(x_NE)
    g = encoder.embeddings.dropout(query_W.expand(len(at_M), -1))
    for i in range(encoder.spec.depth):
        block = encoder.block(i)
        assert isinstance(block, Block)
        attention = block.attention
        assert isinstance(attention, RelativeAttention)
        if asked.past_N1 is not None:
            h = torch.where(asked.past_N1, h.detach(), h)
        q, k, v = attention.project(block.before(h))
        r_HKD = attention.distances(layout)
        rows = [torch.split(stream, asked.counts) for stream in (attention.queries(block.before(g)), at_M)]
        seen = [torch.split(stream, asked.sizes) for stream in (k, v, layout.positions, layout.segments)]
        mixed = []
        for mask, q_g, at_P, k_LHD, v_LHD, places_L, segments_L in zip(asked.masks, *rows, *seen, strict=True):
            if len(at_P):
                far_PL = layout.positions[at_P, None] - places_L
                differs_PL = layout.segments[at_P, None] != segments_L
                one = (t.unsqueeze(0) for t in (q_g, k_LHD, v_LHD, far_PL, differs_PL))
                mixed.append(attention.attend(*one, r_HKD=r_HKD, mask_QL=mask)[0])
        g = block.after(g, attention.out(torch.cat(mixed) if mixed else g))
        if i < encoder.spec.depth - 1:
            h = block.after(h, attention.out(attention.mix(q, k, v, layout, r_HKD)))
    states: Tensor = encoder.norm(g)
    return states


def _mask(at_P: Tensor, sees: Visibility, length: int) -> Tensor:
    if not len(at_P):
        return torch.zeros(0, length, device=at_P.device)
    if not isinstance(sees, Permuted):
        raise ValueError(f"a query stream needs an order of its sequence, not {sees}")
    seen_PL = torch.from_numpy(sees.query(at_P.cpu().numpy())).to(at_P.device)
    return torch.zeros(seen_PL.shape, device=at_P.device).masked_fill_(~seen_PL, float("-inf"))
