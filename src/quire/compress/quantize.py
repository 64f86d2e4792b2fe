"""Dynamic int8 (survey: Weight Quantization; Zafrir et al. 2019, Q8BERT, without quantisation-aware training).

Weights of linear layers are int8 with one scale per output row, w = scale * q, q in [-127, 127]; inputs are quantised
on the way, with a scale from their range in the batch. The token table is int8 with one scale per row.

Legend: V vocabulary, O outputs, I inputs.
"""

import copy
import warnings
from typing import Any

import torch
from pydantic import ConfigDict
from torch import Tensor, nn

from quire.compress.base import Compressor
from quire.core.config import Settings
from quire.nn.model import Model


class Int8Plan(Settings):
    """The modules that will hold int8, and whether sums are kept from saturating."""

    linears: tuple[str, ...]
    tables: tuple[str, ...]
    reduce_range: bool
    """7-bit inputs: needed where the processor adds pairs of products in 16 bits (x86 without VNNI)."""


class DynamicInt8(Compressor[Int8Plan]):
    """All linear layers of the backbone and the token table; heads stay fp32, they are small."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def plan(self, model: Model) -> Int8Plan:
        named = dict(model.backbone.named_modules(prefix="backbone"))
        return Int8Plan(
            linears=tuple(name for name, module in named.items() if isinstance(module, nn.Linear)),
            tables=tuple(name for name in ("backbone.embeddings.tokens",) if isinstance(named[name], nn.Embedding)),
            reduce_range=not torch.cpu._is_vnni_supported(),
        )

    def can(self, model: Model, plan: Int8Plan) -> bool:
        """Whether the model has what the plan names."""
        whole = self.plan(model)
        return set(plan.linears) <= set(whole.linears) and set(plan.tables) <= set(whole.tables)

    def apply(self, model: Model, plan: Int8Plan) -> Model:
        small = copy.deepcopy(model).cpu().eval()
        for name in plan.linears:
            small.set_submodule(name, Int8Linear(small.get_submodule(name), reduce_range=plan.reduce_range))
        for name in plan.tables:
            small.set_submodule(name, Int8Embedding(small.get_submodule(name)))
        for parameter in small.parameters():
            parameter.requires_grad_(False)
        return small


def quantise_rows(weight_OI: Tensor) -> tuple[Tensor, Tensor]:
    """(q int8 [O, I], scale [O]) with weight ~ scale * q, rounded to nearest; a row of zeros has scale 1."""
    scale_O = weight_OI.abs().amax(dim=1) / 127
    scale_O = torch.where(scale_O > 0, scale_O, torch.ones_like(scale_O))
    return (weight_OI / scale_O[:, None]).round().clamp(-127, 127).to(torch.int8), scale_O


class Int8Linear(nn.Module):
    """y = x W^T + b with int8 W; the packed form of W is made at first use and is not part of the state."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Module, *, reduce_range: bool) -> None:
        super().__init__()
        assert isinstance(linear, nn.Linear)
        weight, scale = quantise_rows(linear.weight.detach())
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone())
        self.reduce_range = reduce_range
        self._packed: Any = None

    def forward(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        if self._packed is None:
            self._packed = self._pack()
        y: Tensor = torch.ops.quantized.linear_dynamic(x, self._packed, self.reduce_range)
        return y

    def _pack(self) -> Any:
        zeros = torch.zeros(len(self.scale), dtype=torch.long)
        with warnings.catch_warnings():  # torch 2.13 announces the end of quantised tensors; below 2.14 they work
            warnings.filterwarnings("ignore", message=".*quantized tensor creation functions.*")
            rows = torch._make_per_channel_quantized_tensor(self.weight, self.scale.double(), zeros, 0)
        return torch.ops.quantized.linear_prepack(rows, self.bias)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._packed = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Int8Linear":
        twin = Int8Linear.__new__(Int8Linear)
        nn.Module.__init__(twin)
        for name, buffer in self._buffers.items():
            twin.register_buffer(name, None if buffer is None else buffer.clone())
        twin.reduce_range, twin._packed = self.reduce_range, None
        return twin


class Int8Embedding(nn.Module):
    """A table of int8 rows; a row is scaled when it is looked up."""

    rows: Tensor
    scale: Tensor

    def __init__(self, table: nn.Module) -> None:
        super().__init__()
        assert isinstance(table, nn.Embedding)
        rows, scale = quantise_rows(table.weight.detach())
        self.register_buffer("rows", rows)
        self.register_buffer("scale", scale)

    @property
    def weight(self) -> Tensor:
        """The whole table in fp32 [V, W], for tied heads."""
        return self.rows.float() * self.scale[:, None]

    def forward(self, indices: Tensor) -> Tensor:
        return self.rows[indices].float() * self.scale[indices][..., None]
