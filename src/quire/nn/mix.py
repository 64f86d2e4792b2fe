"""A mix of all layers as features: ELMo's (Peters et al. 2018, section 3.2, equation 1; survey: ELMo).

ELMo = gamma * sum_j softmax(w)_j h_j

w begins at 0, so that the mix begins as the mean, and gamma at 1. With `norm` each layer is first brought to mean 0
and variance 1 over all its values in the batch, as in AllenNLP's ScalarMix; what a text gets then depends on its batch.
AllenNLP adds 1 / layers inside the softmax, which changes nothing.

Legend: N positions of all sequences, J layers, W width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Mix(nn.Module):
    """A weight for each of `layers`, and a factor for all."""

    def __init__(self, layers: int, *, norm: bool = False) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))
        self.gamma = nn.Parameter(torch.ones(()))
        self.norm = norm

    def begin(self) -> None:
        """All layers alike."""
        self.weights.zero_()
        self.gamma.fill_(1.0)

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """J states [N, W] -> [N, W]."""
        if self.norm:
            layers = [(x - x.mean()) / (x.var(correction=0) + 1e-12).sqrt() for x in layers]
        shares_J = self.weights.softmax(dim=0)
        return self.gamma * torch.stack([share * x for share, x in zip(shares_J, layers, strict=True)]).sum(dim=0)
