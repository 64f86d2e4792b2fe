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
from quire.nn.positions import Rotation


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

    def __init__(
        self,
        runs: Sequence[Run],
        positions_N: Tensor,
        *,
        radius: int | None = None,
        rotations: dict[tuple[float, int], Rotation] | None = None,
    ) -> None:
        self.runs, self.positions, self.radius = list(runs), positions_N, radius
        self.sizes = [run.sequences * run.length for run in self.runs]
        self._local: dict[int, Layout] = {}
        self._rotations = {} if rotations is None else rotations

    @classmethod
    def of(
        cls,
        lengths: Sequence[int],
        sees: Sequence[Visibility],
        *,
        positions: Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> Layout:
        """Cut a packed batch of these lengths and visibilities into runs; `positions` [N] count from 0 if not given."""
        found: list[Run] = []
        first = start = 0
        for s in range(1, len(lengths) + 1):
            if s == len(lengths) or lengths[s] != lengths[first] or sees[s] != sees[first]:
                found.append(Run(start, s - first, lengths[first], sees[first], device))
                start += (s - first) * lengths[first]
                first = s
        if positions is None:
            positions = torch.cat([torch.arange(length, device=device) for length in lengths])
        return cls(found, positions)

    def within(self, radius: int) -> Layout:
        """The same, where a position sees `radius` neighbours on either side at most; made once."""
        if radius not in self._local:
            runs = [
                Run(r.start, r.sequences, r.length, r.sees & Window(radius), r.device) if r.length > radius + 1 else r
                for r in self.runs
            ]
            self._local[radius] = Layout(runs, self.positions, radius=radius, rotations=self._rotations)
        return self._local[radius]

    def rotation(self, *, base: float, width: int) -> Rotation:
        """The rotation of heads of `width` at all positions; made once for all layers."""
        if (base, width) not in self._rotations:
            self._rotations[base, width] = Rotation.of(self.positions, base=base, width=width)
        return self._rotations[base, width]


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2); QKV is one matrix.

    softmax(q k^T / sqrt(D) + mask) v for each head, heads joined, then a linear layer. Queries and keys are turned
    where the backbone has rotary positions; local layers may have a base of their own.
    """

    def __init__(self, spec: Backbone) -> None:
        super().__init__()
        self.heads, self.dropout = spec.heads, spec.attention_dropout
        self.base = spec.rotary_base if spec.position == "rotary" else None
        self.base_local = spec.rotary_base_local or spec.rotary_base
        self.qkv = nn.Linear(spec.width, 3 * spec.width, bias=spec.bias)
        self.out = nn.Linear(spec.width, spec.width, bias=spec.bias)

    def forward(self, x_NW: Tensor, layout: Layout, at_M: Tensor | None = None) -> Tensor:
        """x [N, W] -> [N, W], or [M, W] for the positions `at_M` alone."""
        q, k, v = self.qkv(x_NW).view(len(x_NW), 3, self.heads, -1).unbind(dim=1)  # [N, H, D]
        if self.base is not None:
            base = self.base if layout.radius is None else self.base_local
            turn = layout.rotation(base=base, width=q.shape[-1])
            q, k = turn(q), turn(k)
        # Split, not sliced: the gradient of slices is as many arrays of N as there are runs.
        pieces = zip(layout.runs, *(t.split(layout.sizes) for t in (q, k, v)), strict=True)
        mixed = [self._attend(run, *(_by_head(x, run) for x in qkv)) for run, *qkv in pieces]
        mixed_NW = mixed[0] if len(mixed) == 1 else torch.cat(mixed)
        joined: Tensor = self.out(mixed_NW if at_M is None else mixed_NW[at_M])
        return joined

    def _attend(self, run: Run, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mixed_RHLD = F.scaled_dot_product_attention(
            q, k, v, attn_mask=run.mask, dropout_p=self.dropout if self.training else 0.0, is_causal=run.causal
        )
        return mixed_RHLD.transpose(1, 2).flatten(2).flatten(0, 1)  # [R * L, W]


def _by_head(x_nHD: Tensor, run: Run) -> Tensor:
    """[R * L, H, D] -> [R, H, L, D], a view."""
    return x_nHD.view(run.sequences, run.length, *x_nHD.shape[1:]).transpose(1, 2)
