"""Dropout (Srivastava et al. 2014): y = x * kept / P(kept), and attention whose weights are dropped.

On a CPU torch draws a coin in 11 to 15 ns, which is 7 % of a training step; here four coins are 16 bits each of one
random number, 1 ns each. So P(kept) is a multiple of 1/65,536. A GPU draws and multiplies in one kernel: there it is
torch's.

Legend: R sequences, H heads, Q queries, L keys, D width of a head.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

COIN = 1 << 16
COINS = 4
"""Of an int64."""
LOWEST = -1e30


class Dropout(nn.Dropout):
    """Each number is zero with probability `p` while training, and the others grow, so that the mean stays."""

    def forward(self, input: Tensor) -> Tensor:
        return dropped(input, self.p) if self.training else input


def dropped(x: Tensor, p: float) -> Tensor:
    """x as in training; drawn from torch's generator."""
    if not 0 < p < 1 or x.device.type != "cpu":
        return F.dropout(x, p)
    count = round((1 - p) * COIN)
    found: Tensor = _Dropped.apply(x, _kept(x.shape, count), COIN / count)  # type: ignore[no-untyped-call]
    return found


def _kept(shape: torch.Size, count: int) -> Tensor:
    """Which are kept: `count` coins in `COIN`, each by itself."""
    size = math.prod(shape)
    drawn = torch.empty(-(-size // COINS), dtype=torch.int64).random_(-(1 << 63), None)
    return (drawn.view(torch.int16)[:size] < count - COIN // 2).view(shape)


class _Dropped(torch.autograd.Function):
    """Keeps a byte of each coin for its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return x * kept.to(x.dtype).mul_(scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (kept,) = ctx.saved_tensors
        return grad * kept.to(grad.dtype).mul_(ctx.scale), None, None


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(scale q k^T + mask), of which `dropout` is dropped, times v: torch's own, but for dropout on a CPU.

    [R, H, Q, D], [R, H, L, D] twice and an additive mask -> [R, H, Q, D]. Who sees nobody gets zeros.
    """
    if mask is not None:
        mask = mask.to(q.dtype)  # cuDNN reads any mask as if it were of this type (pytorch 191612)
    if not dropout or q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal, scale=scale)
    scores_RHQL = (q * (scale or q.shape[-1] ** -0.5)) @ k.transpose(-2, -1)
    if causal:
        mask = torch.full(scores_RHQL.shape[-2:], -torch.inf, dtype=q.dtype).triu_(1)
    return dropped(_softmax(scores_RHQL, mask), dropout) @ v


def _softmax(scores_RHQL: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return scores_RHQL.softmax(dim=-1)
    blind = mask.detach().amax(dim=-1, keepdim=True) == -torch.inf
    if not blind.any():
        return (scores_RHQL + mask).softmax(dim=-1)
    return (scores_RHQL + mask.clamp(min=LOWEST)).softmax(dim=-1).masked_fill(blind, 0.0)
