"""One attention for every visibility, on packed sequences.

Legend: N positions of all sequences, H heads, D width of a head, L length of one sequence, R sequences of one run.

Sequences stand in the batch by length, so that a run of equal length and equal visibility is a view [R, H, L, D] of
the packed array: no padding, no copy. Full and causal visibilities never build a mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.visibility import Causal, Full, Visibility


@dataclass(frozen=True)
class Run:
    """Neighbouring sequences of equal length and visibility."""

    start: int  # first position
    sequences: int
    length: int
    causal: bool
    mask_LL: Tensor | None  # additive; None for full and causal


def runs(lengths: Sequence[int], sees: Sequence[Visibility], *, device: torch.device | str = "cpu") -> list[Run]:
    """Cut a packed batch into runs; an additive float mask is built once per run where a rule needs one."""
    found: list[Run] = []
    first = start = 0
    for s in range(1, len(lengths) + 1):
        if s == len(lengths) or lengths[s] != lengths[first] or sees[s] != sees[first]:
            length, rule = lengths[first], sees[first]
            plain = isinstance(rule, Full | Causal)
            mask = None if plain else _additive(rule, length, device)
            found.append(Run(start, s - first, length, isinstance(rule, Causal), mask))
            start += (s - first) * length
            first = s
    return found


def _additive(rule: Visibility, length: int, device: torch.device | str) -> Tensor:
    seen = torch.from_numpy(rule.mask(length)).to(device)
    return torch.zeros(length, length, device=device).masked_fill_(~seen, float("-inf"))


class Attention(nn.Module):
    """Multi-head scaled dot-product self-attention (Vaswani et al. 2017, section 3.2); QKV is one matrix.

    softmax(q k^T / sqrt(D) + mask) v for each head, heads joined, then a linear layer.
    """

    def __init__(self, width: int, heads: int, *, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_NW: Tensor, layout: Sequence[Run], at_M: Tensor | None = None) -> Tensor:
        """x [N, W] -> [N, W], or [M, W] for the positions `at_M` alone; `layout` covers all N positions in order."""
        qkv_N3HD = self.qkv(x_NW).view(len(x_NW), 3, self.heads, -1)
        mixed = [self._attend(qkv_N3HD[run.start : run.start + run.sequences * run.length], run) for run in layout]
        mixed_NW = mixed[0] if len(mixed) == 1 else torch.cat(mixed)
        joined: Tensor = self.out(mixed_NW if at_M is None else mixed_NW[at_M])
        return joined

    def _attend(self, qkv_n3HD: Tensor, run: Run) -> Tensor:
        q, k, v = qkv_n3HD.view(run.sequences, run.length, *qkv_n3HD.shape[1:]).permute(2, 0, 3, 1, 4)  # [R, H, L, D]
        mixed_RHLD = F.scaled_dot_product_attention(
            q, k, v, attn_mask=run.mask_LL, dropout_p=self.dropout if self.training else 0.0, is_causal=run.causal
        )
        return mixed_RHLD.transpose(1, 2).flatten(2).flatten(0, 1)  # [R * L, W]
