"""The norm that a backbone asks for."""

from torch import nn

from quire.core.spec import Backbone


def norm(spec: Backbone, width: int) -> nn.Module:
    """LayerNorm (Ba et al. 2016) or RMSNorm (Zhang and Sennrich 2019) over `width`, with the backbone's epsilon."""
    if spec.norm == "rms":
        return nn.RMSNorm(width, eps=spec.norm_eps)
    return nn.LayerNorm(width, eps=spec.norm_eps, bias=spec.bias)
