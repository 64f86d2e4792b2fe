"""The norm that a backbone asks for. Legend: N positions, W width."""

import torch
from torch import Tensor, nn

from quire.core.spec import Backbone


class Affine(nn.Module):
    """gain * x + bias, which needs no mean and no variance (Sun et al. 2020, MobileBERT, section 3.3)."""

    def __init__(self, width: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x_NW: Tensor) -> Tensor:
        scaled_NW = x_NW * self.weight
        return scaled_NW if self.bias is None else scaled_NW + self.bias


def norm(spec: Backbone, width: int) -> nn.Module:
    """LayerNorm (Ba et al. 2016) or RMSNorm (Zhang and Sennrich 2019) over `width`, with the backbone's epsilon; or a
    gain and a bias in their place."""
    match spec.norm:
        case "rms":
            return nn.RMSNorm(width, eps=spec.norm_eps)
        case "affine":
            return Affine(width, bias=spec.bias)
        case _:
            return nn.LayerNorm(width, eps=spec.norm_eps, bias=spec.bias)
