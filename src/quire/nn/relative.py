"""Relative attention: Transformer-XL's (Dai et al. 2019, section 3.3), with XLNet's segments (Yang et al. 2019, 2.5).

score(i, j) = [(q_i + u) k_j + (q_i + v) r_{i-j} + (q_i + s) e_{same or different segment}] / sqrt(D)
r_d         = W_r [sin(d / 10000^(2 k / W)), cos(d / 10000^(2 k / W))]

u, v, s belong to each layer (`untie_r` in zihangdai/xlnet), no matrix has a bias, and d is the difference of the
positions a batch tells. Reversed text has falling positions, which negates d as the release's `bi_data` does.

Legend: N positions of all sequences, M and P some of them, W width, H heads, D width of a head, R sequences of one
run, L length of each, Q rows that ask (L, or P), K distances.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.spec import Backbone
from quire.nn.attention import Layout, Run
from quire.nn.dropout import attention, dropped
from quire.nn.positions import angles


class RelativeAttention(nn.Module):
    """Multi-head attention by content, distance and segment; without `segments` in the backbone the last is left out.

    The release drops the sinusoids out once for all layers, here each layer draws.
    """

    def __init__(self, spec: Backbone) -> None:
        super().__init__()
        self.heads, self.dropout, self.distance_dropout = spec.heads, spec.attention_dropout, spec.dropout
        self.qkv = nn.Linear(spec.width, 3 * spec.width, bias=False)
        self.distance = nn.Linear(spec.width, spec.width, bias=False)
        self.out = nn.Linear(spec.width, spec.width, bias=False)
        # Vectors, not [H, D]: like the release's `..._bias` they do not decay.
        self.u, self.v = (nn.Parameter(torch.empty(spec.width)) for _ in range(2))
        self.s = nn.Parameter(torch.empty(spec.width)) if spec.segments else None
        self.segments = nn.Parameter(torch.empty(2, spec.width)) if spec.segments else None  # same, different

    def forward(self, x_NW: Tensor, layout: Layout, at_M: Tensor | None = None) -> Tensor:
        """x [N, W] -> [N, W], or [M, W] for the positions `at_M` alone."""
        mixed_NW = self.mix(*self.project(x_NW), layout, self.distances(layout))
        joined: Tensor = self.out(mixed_NW if at_M is None else mixed_NW.index_select(0, at_M))
        return joined

    def project(self, x_NW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each [N, H, D]."""
        q, k, v = self.qkv(x_NW).unflatten(1, (3, self.heads, -1)).unbind(dim=1)
        return q, k, v

    def queries(self, g_MW: Tensor) -> Tensor:
        """Queries [M, H, D] of another stream."""
        q_MW = F.linear(g_MW, self.qkv.weight[: self.out.in_features])
        return q_MW.view(len(q_MW), self.heads, self.out.in_features // self.heads)

    def distances(self, layout: Layout) -> Tensor:
        """r [H, K, D] for the distances 1 - L to L - 1 of the longest sequence."""
        longest = max((run.length for run in layout.runs), default=1)
        far = torch.arange(1 - longest, longest, device=self.u.device)
        turn = angles(far, base=10_000.0, width=self.distance.in_features)
        table_KW = torch.cat([turn.sin(), turn.cos()], dim=-1)
        if self.training:
            table_KW = dropped(table_KW, self.distance_dropout)
        r_KHD: Tensor = self.distance(table_KW).unflatten(1, (self.heads, -1))
        return r_KHD.transpose(0, 1)

    def mix(self, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, layout: Layout, r_HKD: Tensor) -> Tensor:
        """Every position attends to those that its run lets it see: [N, W]."""
        streams = (q_NHD, k_NHD, v_NHD, layout.positions, layout.segments)
        mixed = []
        calls = layout.calls(q_NHD[0].numel(), learning=self.training)
        sizes = [run.size for run in calls]
        for run, *pieces in zip(calls, *(torch.split(stream, sizes) for stream in streams), strict=True):
            q, k, v, places_RL, segments_RL = (run.laid(x) for x in pieces)
            far_RLL = places_RL.unsqueeze(2) - places_RL.unsqueeze(1)
            differs_RLL = segments_RL.unsqueeze(2) != segments_RL.unsqueeze(1)
            whole = self.attend(q, k, v, far_RLL, differs_RLL, r_HKD=r_HKD, mask=_mask(run))
            mixed.append(run.taken(whole))
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)

    def attend(
        self,
        q_RQHD: Tensor,
        k_RLHD: Tensor,
        v_RLHD: Tensor,
        far_RQL: Tensor,
        differs_RQL: Tensor,
        *,
        r_HKD: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        """Mixed values [R, Q, W], from the distance of each key to each query and whether their segments differ.

        `mask`, [Q, L] or [R, 1, Q, L], is additive; a query that sees nobody gets zeros. Distances of L or more count
        as L - 1.
        """
        q, k, v = (x.transpose(1, 2) for x in (q_RQHD, k_RLHD, v_RLHD))  # [R, H, Q or L, D]
        u, v_bias = (bias.view(self.heads, 1, -1) for bias in (self.u, self.v))
        reach = k.shape[2] - 1  # r of distance d stands at middle + d
        middle = r_HKD.shape[1] // 2
        r_HKD = r_HKD[:, middle - reach : middle + reach + 1]
        row_RQL = far_RQL.clamp(-reach, reach) + reach
        by_distance_RHQK = (q + v_bias) @ r_HKD.transpose(1, 2)
        bias_RHQL = by_distance_RHQK.gather(3, row_RQL.unsqueeze(1).expand(-1, self.heads, -1, -1))
        if self.s is not None and self.segments is not None:
            kinds_HD2 = self.segments.view(2, self.heads, -1).permute(1, 2, 0)
            same, other = torch.split((q + self.s.view(self.heads, 1, -1)) @ kinds_HD2, 1, dim=3)
            bias_RHQL = bias_RHQL + torch.where(differs_RQL.unsqueeze(1), other, same)
        bias_RHQL = bias_RHQL * q.shape[-1] ** -0.5
        mask_RHQL = bias_RHQL if mask is None else bias_RHQL + mask
        mixed_RHQD = attention(q + u, k, v, mask=mask_RHQL, dropout=self.dropout if self.training else 0.0)
        return mixed_RHQD.transpose(1, 2).flatten(2)


def _mask(run: Run) -> Tensor | None:
    if run.causal:
        return torch.full((run.length, run.length), float("-inf"), device=run.device).triu(1)
    return run.mask
