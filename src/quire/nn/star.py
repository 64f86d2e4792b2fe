"""The Star-Transformer, packed (Guo et al. 2019, sections 3.1 and 3.2; survey: Star-Transformer): linear in length.

Satellites h_i begin as the embedded tokens e_i, the relay s as their mean. A layer does, with its own weights,
    h_i = leaky_relu(MultiHead(LN(h_i), [LN(h_{i-1}); LN(h_i); LN(h_{i+1}); e_i; s]))     the ring
    s   = leaky_relu(MultiHead(s, [s; h_1; ...; h_L]))                                    the star
There are no residuals, no norm on the relay, no dropout in attention. This follows the authors' code (fastNLP), which
norms the satellites' queries and ring keys alone and has an open chain where the paper has a ring. It deviates from
that code where batches changed its results: there the relay's mean counts the padding, and a neighbour beyond either
end is a zero vector that takes its share of the softmax. Here neither is there.

Legend: N positions of all sequences, M some of them, S sequences, R sequences of one run, L length of each,
W width, E width of the embeddings, H heads, D width of a head (W = H * D).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.bodies import Star
from quire.nn.attention import Layout, Run
from quire.nn.body import Body
from quire.nn.norms import norm


@dataclass(frozen=True, eq=False)
class Topology:
    """Which satellite has which neighbours and which relay."""

    runs: list[Run]
    sequence_N: Tensor  # the sequence that a position is of
    first_S: Tensor  # its first and its last position
    last_S: Tensor
    ring: bool
    ends_N15: Tensor | None  # -inf where an open chain has no left (0) or right (2) neighbour, else 0

    @classmethod
    def of(cls, layout: Layout, device: torch.device, *, ring: bool) -> Topology:
        """Of the sequences of a batch."""
        sizes = layout.lengths
        lengths_S = torch.tensor(sizes, device=device)
        last_S = lengths_S.cumsum(0) - 1
        sequence_N = torch.arange(len(sizes), device=device).repeat_interleave(lengths_S, output_size=sum(sizes))
        first_S = last_S - lengths_S + 1
        if ring:
            return cls(layout.runs, sequence_N, first_S, last_S, ring, None)
        ends_N15 = torch.zeros(len(sequence_N), 1, 5, device=device)
        ends_N15[first_S, :, 0] = ends_N15[last_S, :, 2] = float("-inf")
        return cls(layout.runs, sequence_N, first_S, last_S, ring, ends_N15)

    def left(self, x_NW: Tensor) -> Tensor:
        """x[i - 1] at i; round the ring, or anything at the first position."""
        moved_NW = x_NW.roll(1, 0)
        return moved_NW.index_copy(0, self.first_S, x_NW[self.last_S]) if self.ring else moved_NW

    def right(self, x_NW: Tensor) -> Tensor:
        """x[i + 1] at i; round the ring, or anything at the last position."""
        moved_NW = x_NW.roll(-1, 0)
        return moved_NW.index_copy(0, self.last_S, x_NW[self.first_S]) if self.ring else moved_NW

    def spread(self, x_SW: Tensor) -> Tensor:
        """What each sequence has, at each of its positions [N, W]."""
        return F.embedding(self.sequence_N, x_SW)  # its backward pass is quicker than that of indexing

    def mean(self, x_NW: Tensor) -> Tensor:
        """The mean of each sequence [S, W]."""
        return torch.cat([x_NW[r.here].view(r.sequences, r.length, -1).mean(dim=1) for r in self.runs])


class RingAttention(nn.Module):
    """Each satellite looks at its neighbours, itself, its token and the relay."""

    def __init__(self, spec: Star) -> None:
        super().__init__()
        self.heads = spec.heads
        self.query = nn.Linear(spec.width, spec.width, bias=spec.bias)
        self.keyvalue = nn.Linear(spec.width, 2 * spec.width, bias=spec.bias)
        self.out = nn.Linear(spec.width, spec.width, bias=spec.bias)

    def forward(self, x_NW: Tensor, e_NW: Tensor, s_SW: Tensor, topology: Topology) -> Tensor:
        """Normed satellites, tokens and relays -> [N, W]."""
        q_NHD = self.query(x_NW).view(len(x_NW), self.heads, -1)
        own, token, relay = self.keyvalue(x_NW), self.keyvalue(e_NW), topology.spread(self.keyvalue(s_SW))
        seen = [topology.left(own), own, topology.right(own), token, relay]
        k_NHD, v_NHD = zip(*(both.view(len(both), 2, self.heads, -1).unbind(1) for both in seen), strict=True)
        scores_NH5 = torch.stack([(q_NHD * k).sum(-1) for k in k_NHD], dim=-1) / q_NHD.shape[-1] ** 0.5
        if topology.ends_N15 is not None:
            scores_NH5 = scores_NH5 + topology.ends_N15
        mixed_NHD = torch.zeros_like(q_NHD)
        for w_NH, v in zip(scores_NH5.softmax(dim=-1).unbind(-1), v_NHD, strict=True):
            mixed_NHD = mixed_NHD.addcmul(w_NH[..., None], v)
        joined: Tensor = self.out(mixed_NHD.flatten(1))
        return joined


class StarAttention(nn.Module):
    """The relay looks at itself and all satellites of its sequence."""

    def __init__(self, spec: Star) -> None:
        super().__init__()
        self.heads = spec.heads
        self.query = nn.Linear(spec.width, spec.width, bias=spec.bias)
        self.keyvalue = nn.Linear(spec.width, 2 * spec.width, bias=spec.bias)
        self.out = nn.Linear(spec.width, spec.width, bias=spec.bias)

    def forward(self, s_SW: Tensor, h_NW: Tensor, topology: Topology) -> Tensor:
        """Relays and satellites -> [S, W]."""
        q_SHD = self.query(s_SW).view(len(s_SW), self.heads, -1)
        own, satellites = self.keyvalue(s_SW), self.keyvalue(h_NW)
        mixed, first = [], 0
        for run in topology.runs:
            here = slice(first, first := first + run.sequences)
            both = torch.cat([own[here, None], satellites[run.here].view(run.sequences, run.length, -1)], dim=1)
            k, v = both.view(*both.shape[:2], 2, self.heads, -1).permute(2, 0, 3, 1, 4)  # [R, H, 1 + L, D]
            mixed.append(F.scaled_dot_product_attention(q_SHD[here, :, None], k, v).flatten(1))
        joined: Tensor = self.out(torch.cat(mixed))
        return joined


class StarBlock(nn.Module):
    """One layer: the ring, then the star."""

    def __init__(self, spec: Star) -> None:
        super().__init__()
        self.norm = norm(spec, spec.width)
        self.ring = RingAttention(spec)
        self.star = StarAttention(spec)

    def forward(self, h_NW: Tensor, s_SW: Tensor, e_NW: Tensor, topology: Topology) -> tuple[Tensor, Tensor]:
        """Satellites and relays, and the tokens they began as -> satellites and relays."""
        h_NW = F.leaky_relu(self.ring(self.norm(h_NW), e_NW, s_SW, topology))
        return h_NW, F.leaky_relu(self.star(s_SW, h_NW, topology))


class StarEncoder(Body):
    """`depth` layers over embeddings: its own, or those of another body whose tables it shares.

    The relay stands in the end at the first position, where sequence heads read; the satellite of [CLS] is dropped.
    """

    def __init__(self, spec: Star, *, shares_embeddings: bool = False) -> None:
        super().__init__(spec, shares_embeddings=shares_embeddings)
        self.ring = spec.ring
        self.blocks = nn.ModuleList(StarBlock(spec) for _ in range(spec.depth))

    def layers(self, x_NE: Tensor, layout: Layout) -> Iterator[Tensor]:
        e_NW = self.projected(x_NE)
        yield e_NW
        topology = Topology.of(layout, e_NW.device, ring=self.ring)
        h_NW, s_SW = e_NW, topology.mean(e_NW)
        for block in self.blocks:
            h_NW, s_SW = block(h_NW, s_SW, e_NW, topology)
            yield h_NW.index_copy(0, topology.first_S, s_SW)
