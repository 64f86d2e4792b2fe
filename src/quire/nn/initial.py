"""How weights are drawn before training.

bert  everything from N(0, std) (google-research/bert)
gpt2  the same, but positions from N(0, std / 2), and what is added to the residual stream from N(0, std / sqrt(2 L)),
      L the layers (openai/gpt-2 and Radford et al. 2019, section 2.3)
t5    embeddings from N(0, 1), every other matrix from N(0, 1 / inputs), queries smaller by sqrt(D) in place of the
      scaled score (Raffel et al. 2020, and mesh-tensorflow's initialisers as transformers has them)

fan_in  every matrix, filter and table from N(0, 1 / inputs), a table's being its width, and vectors from N(0, std): for
      bodies in which no norm makes up for small weights (LeCun et al. 1998, section 4.6)

Biases are 0, gains 1, but for those of modules that say otherwise: see `Begins`.
"""

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from quire.core.spec import Backbone

_TO_RESIDUAL = ("attention.out.weight", "cross.out.weight", "ffn.down.weight")


@runtime_checkable
class Begins(Protocol):
    """A module with weights or buffers that do not begin like the others."""

    def begin(self) -> None:
        """Set them, once all are drawn."""


def initialise(module: nn.Module, spec: Backbone, *, seed: int | None) -> None:
    """Draw all parameters from `seed`, independent of torch's global state; without one all that is drawn is 0."""
    generator = torch.Generator().manual_seed(seed or 0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if seed is None or "bias" in name.rpartition(".")[2]:  # of LSTMs: bias_ih_l0
                parameter.zero_()
            elif "norm" in name:
                parameter.fill_(1.0)
            else:
                parameter.normal_(std=_std(name, parameter, spec), generator=generator)
                if spec.init == "t5" and name.endswith(("attention.qkv.weight", "cross.query.weight")):
                    parameter[: spec.inner] *= spec.head**-0.5
        for part in module.modules():
            if isinstance(part, Begins):
                part.begin()


def _std(name: str, parameter: Tensor, spec: Backbone) -> float:
    match spec.init:
        case "bert":
            return spec.init_std
        case "fan_in":
            return spec.init_std if parameter.ndim < 2 else math.sqrt(len(parameter) / parameter.numel())
        case "gpt2":
            if name.endswith("embeddings.positions.weight"):
                return spec.init_std / 2
            return spec.init_std / math.sqrt(2 * spec.depth) if name.endswith(_TO_RESIDUAL) else spec.init_std
        case "t5":
            if name.endswith("embeddings.tokens.weight"):
                return 1.0
            fan_in = spec.width if "distances" in name or parameter.ndim < 2 else parameter.shape[1]
            return 1 / math.sqrt(fan_in)
