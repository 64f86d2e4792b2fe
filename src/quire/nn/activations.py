"""Activations by name."""

import torch.nn.functional as F
from torch import Tensor


def activate(name: str, x: Tensor) -> Tensor:
    """GELU with erf (Hendrycks and Gimpel 2016), its tanh form (Google's BERT, GPT), ReLU, or SiLU."""
    match name:
        case "relu":
            return F.relu(x)
        case "silu":
            return F.silu(x)
        case _:
            return F.gelu(x, approximate="tanh" if name == "gelu_tanh" else "none")
