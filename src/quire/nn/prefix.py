"""Learned keys and values that stand before every layer's own (Li and Liang 2021, section 4; Liu et al. 2022, P-tuning
v2, figure 2): every position of every sequence sees them, whatever else it may see, and none has a place.

A packed batch has no room for them and needs none: they come to the keys and values where these are mixed, so that a
run, a grid, a window, a padded batch and a text told token by token have them alike.

Legend: R sequences, H heads, D width of a head, I = H * D, L keys, P length of the prefix, A width of a network.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.spec import Backbone


class PrefixTable(nn.Module):
    """That of one layer."""

    def __init__(self, spec: Backbone) -> None:
        super().__init__()
        self.heads = spec.heads
        self.weight = nn.Parameter(torch.empty(2, spec.prefix or 0, spec.inner))  # keys, values

    def table(self) -> Tensor:
        """[2, P, I]"""
        return self.weight

    def before(
        self, k_RHLD: Tensor, v_RHLD: Tensor, mask: Tensor | None, *, causal: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keys and values [R, H, P + L, D], and the additive mask over them."""
        own_HPD = self.table().reshape(2, -1, self.heads, k_RHLD.shape[3]).transpose(1, 2).to(k_RHLD.dtype).unbind(0)
        k, v = (
            torch.cat([own.expand(given.shape[0], -1, -1, -1), given], dim=2)
            for own, given in zip(own_HPD, (k_RHLD, v_RHLD), strict=True)
        )
        if causal:
            mask = torch.full((k_RHLD.shape[2],) * 2, float("-inf"), device=k.device, dtype=k.dtype).triu(1)
        return k, v, None if mask is None else F.pad(mask, (self.weight.shape[1], 0))


class Trunk(nn.Module):
    """tanh(W e + b) [P, A]: what the prefixes of all layers are made from while they learn."""

    def __init__(self, spec: Backbone, *, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(spec.prefix or 0, spec.width))
        self.dense = nn.Linear(spec.width, width)

    def forward(self) -> Tensor:
        return torch.tanh(self.dense(self.weight))


class Reparametrised(PrefixTable):
    """A prefix that a network makes (Li and Liang 2021, section 4.3); in the end its table alone is kept."""

    def __init__(self, spec: Backbone, trunk: Trunk) -> None:
        super().__init__(spec)
        self.trunk = trunk  # the same one in every layer
        self.out = nn.Linear(trunk.dense.out_features, 2 * spec.inner)
        self.weight.requires_grad_(False)

    @torch.no_grad()
    def plain(self, spec: Backbone) -> PrefixTable:
        """The same without the network."""
        found = PrefixTable(spec).to(self.weight.device)
        found.weight.copy_(self.table())
        return found

    def table(self) -> Tensor:
        return self.out(self.trunk()).unflatten(1, (2, -1)).transpose(0, 1)  # type: ignore[no-any-return]
