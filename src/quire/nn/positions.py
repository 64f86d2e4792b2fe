"""Positions without parameters: sinusoids that are added, and rotations of queries and keys.

Legend: N positions of all sequences, E embedding width, H heads, D width of a head, K = D / 2 pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_BASE = 10_000.0


def angles(positions: Tensor, *, base: float, width: int) -> Tensor:
    """Positions [...] -> angles [..., width / 2]: position / base^(2 i / width) for pair i (Vaswani et al. 2017)."""
    pair = torch.arange(0, width, 2, device=positions.device, dtype=torch.float32)
    return positions.unsqueeze(-1).float() / base ** (pair / width)


def sinusoids(positions_N: Tensor, *, width: int) -> Tensor:
    """PE [N, E] of Vaswani et al. 2017, section 3.5: sin(angle i) at 2 i and cos(angle i) at 2 i + 1.

    The sine and cosine of a pair turn by a fixed angle with each step, so that PE(p + k) is a rotation of PE(p) that
    depends on k alone. tensor2tensor lays all sines before all cosines; XLM follows the paper, as this does.
    """
    place_P, row_N = torch.unique(positions_N, return_inverse=True)
    turn_PK = angles(place_P, base=_BASE, width=width)
    return torch.stack((turn_PK.sin(), turn_PK.cos()), dim=-1).flatten(1)[:, :width][row_N]


@dataclass(frozen=True, eq=False)
class Rotation:
    """Turns each pair of a head's dimensions by an angle that grows with the position (Su et al. 2021, section 3.2.2).

    Turned queries and keys have the same norms as before, and their product depends on the distance alone. Pair i is
    dimensions i and i + D / 2, as transformers has it for ModernBERT and Llama; the paper pairs 2 i with 2 i + 1,
    which is the same model with the rows of its matrices in another order.
    """

    cos_N1K: Tensor
    sin_N1K: Tensor

    @classmethod
    def of(cls, positions_N: Tensor, *, base: float, width: int) -> Rotation:
        """The rotation of heads of an even `width` at these positions."""
        turn_N1K = angles(positions_N, base=base, width=width).unsqueeze(1)
        return cls(turn_N1K.cos(), turn_N1K.sin())

    def __call__(self, x_NHD: Tensor) -> Tensor:
        """[N, H, D] -> [N, H, D], in fp32 within and in the type of x without."""
        one, two = x_NHD.chunk(2, dim=-1)
        turned = (one * self.cos_N1K - two * self.sin_N1K, two * self.cos_N1K + one * self.sin_N1K)
        return torch.cat(turned, dim=-1).type_as(x_NHD)
