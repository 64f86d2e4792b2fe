"""Small networks between the layers of a trained body, which learn in its place (Houlsby et al. 2019, section 2.1).

y + up(activation(down(y)))                          y what attention or the feed-forward layer brings, before the sum
y + up(activation(down(norm(x + y))))                the same reading what the norm makes of the sum (`normed`: Pfeiffer
                                                     et al. 2021, "AdapterFusion", figure 3, as their library has it)

Legend: N positions, W width, A width of an adapter.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from quire.core.spec import Adapters, Backbone
from quire.nn.activations import activate

FIRST_STD = 1e-3
"""Of first weights, so that all begins close to the body as it was (the release; the paper has 1e-2)."""


class Adapter(nn.Module):
    """One of them."""

    def __init__(self, plan: Adapters, width: int) -> None:
        super().__init__()
        self.normed, self.activation = plan.normed, plan.activation
        self.down = nn.Linear(width, plan.width)
        self.up = nn.Linear(plan.width, width)

    def begin(self) -> None:
        """See `FIRST_STD`."""
        for linear in (self.down, self.up):
            linear.weight.mul_(FIRST_STD / linear.weight.std().clamp(min=torch.finfo(linear.weight.dtype).tiny))

    def forward(self, y_NW: Tensor, x_NW: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
        read_NW = norm(x_NW + y_NW) if self.normed else y_NW
        changed: Tensor = y_NW + self.up(activate(self.activation, self.down(read_NW)))
        return changed


class Nothing(nn.Module):
    """No adapter."""

    def forward(self, y_NW: Tensor, x_NW: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
        return y_NW


def build_adapter(spec: Backbone, *, after: str) -> nn.Module:
    """That of a backbone after `attention` or `ffn`."""
    plan = spec.adapters
    return Adapter(plan, spec.width) if plan and after in plan.after else Nothing()
