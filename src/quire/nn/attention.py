"""One attention for every visibility, on packed sequences.

Legend: N positions of all sequences, M some of them, H heads, D width of a head, W = H * D, L length of one sequence,
R sequences of one run.

Sequences stand in the batch by length, so that a run of equal length and equal visibility is a view [R, H, L, D] of
the packed array: no padding, no copy. Full and causal visibilities never build a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.spec import Backbone
from quire.core.visibility import Causal, Full, Visibility, Window


@dataclass(frozen=True, eq=False)
class Run:
    """Neighbouring sequences of equal length and visibility."""

    start: int  # first position
    sequences: int
    length: int
    sees: Visibility
    device: torch.device | str = "cpu"

    @property
    def here(self) -> slice:
        """Its positions in the batch."""
        return slice(self.start, self.start + self.sequences * self.length)

    @property
    def causal(self) -> bool:
        return isinstance(self.sees, Causal)

    @cached_property
    def mask(self) -> Tensor | None:
        """[L, L], additive, 0 or -inf; None for full and causal, which attention knows without."""
        if isinstance(self.sees, Full | Causal):
            return None
        seen = torch.from_numpy(self.sees.mask(self.length).copy()).to(self.device)
        return torch.zeros(self.length, self.length, device=self.device).masked_fill_(~seen, float("-inf"))


class Layout:
    """Who stands where in a packed batch: its runs, in order, covering all N positions."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)
        self._local: dict[int, Layout] = {}

    @classmethod
    def of(cls, lengths: Sequence[int], sees: Sequence[Visibility], *, device: torch.device | str = "cpu") -> Layout:
        """Cut a packed batch of these lengths and visibilities into runs."""
        found: list[Run] = []
        first = start = 0
        for s in range(1, len(lengths) + 1):
            if s == len(lengths) or lengths[s] != lengths[first] or sees[s] != sees[first]:
                found.append(Run(start, s - first, lengths[first], sees[first], device))
                start += (s - first) * lengths[first]
                first = s
        return cls(found)

    def within(self, radius: int) -> Layout:
        """The same, where a position sees `radius` neighbours on either side at most; made once."""
        if radius not in self._local:
            runs = [
                Run(r.start, r.sequences, r.length, r.sees & Window(radius), r.device) if r.length > radius + 1 else r
                for r in self.runs
            ]
            self._local[radius] = Layout(runs)
        return self._local[radius]


class Attention(nn.Module):
    """Multi-head scaled dot-product self-attention (Vaswani et al. 2017, section 3.2); QKV is one matrix.

    softmax(q k^T / sqrt(D) + mask) v for each head, heads joined, then a linear layer.
    """

    def __init__(self, spec: Backbone) -> None:
        super().__init__()
        self.heads, self.dropout = spec.heads, spec.attention_dropout
        self.qkv = nn.Linear(spec.width, 3 * spec.width, bias=spec.bias)
        self.out = nn.Linear(spec.width, spec.width, bias=spec.bias)

    def forward(self, x_NW: Tensor, layout: Layout, at_M: Tensor | None = None) -> Tensor:
        """x [N, W] -> [N, W], or [M, W] for the positions `at_M` alone."""
        qkv_N3HD = self.qkv(x_NW).view(len(x_NW), 3, self.heads, -1)
        mixed = [self._attend(qkv_N3HD[run.here], run) for run in layout.runs]
        mixed_NW = mixed[0] if len(mixed) == 1 else torch.cat(mixed)
        joined: Tensor = self.out(mixed_NW if at_M is None else mixed_NW[at_M])
        return joined

    def _attend(self, qkv_n3HD: Tensor, run: Run) -> Tensor:
        q, k, v = qkv_n3HD.view(run.sequences, run.length, *qkv_n3HD.shape[1:]).permute(2, 0, 3, 1, 4)  # [R, H, L, D]
        mixed_RHLD = F.scaled_dot_product_attention(
            q, k, v, attn_mask=run.mask, dropout_p=self.dropout if self.training else 0.0, is_causal=run.causal
        )
        return mixed_RHLD.transpose(1, 2).flatten(2).flatten(0, 1)  # [R * L, W]
