"""Dynamic int8 (survey: Weight Quantization; Zafrir et al. 2019, Q8BERT, without quantisation-aware training).

Weights of linear layers are int8 with one scale per output row, w = scale * q, q in [-127, 127]; inputs are quantised
on the way, with a scale from their range in the batch. The token table is int8 with one scale per row, and so is the
matrix that a head over the vocabulary has of its own; a product with either is one of int8.

Legend: V vocabulary, E width of the embeddings, M rows, O outputs, I inputs.
"""

import copy
import warnings
from typing import Any

import torch
from pydantic import ConfigDict
from torch import Tensor, nn

from quire.compress.base import Compressor
from quire.core.config import Settings
from quire.nn.heads import TokenScores
from quire.nn.model import Model


class Int8Plan(Settings):
    """The modules that will hold int8, and whether sums are kept from saturating."""

    linears: tuple[str, ...]
    tables: tuple[str, ...]
    matrices: tuple[str, ...] = ()
    """Parameters [V, E] of heads that are not tied to the table."""
    reduce_range: bool
    """7-bit inputs: needed where the processor adds pairs of products in 16 bits (x86 without VNNI)."""


class DynamicInt8(Compressor[Int8Plan]):
    """All linear layers of the backbone, the token table, and what heads over the vocabulary have in its place.

    The rest of the heads stays fp32, it is small.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def plan(self, model: Model) -> Int8Plan:
        named = dict(model.backbone.named_modules(prefix="backbone"))
        heads = model.heads.named_modules(prefix="heads")
        return Int8Plan(
            linears=tuple(name for name, module in named.items() if isinstance(module, nn.Linear)),
            tables=tuple(name for name in ("backbone.embeddings.tokens",) if isinstance(named[name], nn.Embedding)),
            matrices=tuple(
                f"{name}.weight" for name, head in heads if isinstance(head, TokenScores) and head.weight is not None
            ),
            reduce_range=not torch.cpu._is_vnni_supported(),
        )

    def can(self, model: Model, plan: Int8Plan) -> bool:
        """Whether the model has what the plan names."""
        whole = self.plan(model)
        asked, there = ({*some.linears, *some.tables, *some.matrices} for some in (plan, whole))
        return asked <= there

    def apply(self, model: Model, plan: Int8Plan) -> Model:
        small = copy.deepcopy(model).cpu().eval()
        for name in plan.linears:
            small.set_submodule(name, Int8Linear(small.get_submodule(name), reduce_range=plan.reduce_range))
        for name in plan.tables:
            table = small.get_submodule(name).get_parameter("weight")
            small.set_submodule(name, Int8Embedding(table, reduce_range=plan.reduce_range))
        for name in plan.matrices:
            head, own = small.get_submodule(name.rpartition(".")[0]), small.get_parameter(name)
            del head.weight
            head.add_module("weight", Int8Embedding(own, reduce_range=plan.reduce_range))
        for parameter in small.parameters():
            parameter.requires_grad_(False)
        return small


def quantise_rows(weight_OI: Tensor) -> tuple[Tensor, Tensor]:
    """(q int8 [O, I], scale [O]) with weight ~ scale * q, rounded to nearest; a row of zeros has scale 1."""
    scale_O = weight_OI.abs().amax(dim=1) / 127
    scale_O = torch.where(scale_O > 0, scale_O, torch.ones_like(scale_O))
    return (weight_OI / scale_O[:, None]).round().clamp(-127, 127).to(torch.int8), scale_O


class Product:
    """x times int8 rows; the packed form of these is made at first use, and a copy makes its own."""

    def __init__(self, *, reduce_range: bool) -> None:
        self.reduce_range = reduce_range
        self._packed: Any = None

    def __call__(self, x: Tensor, rows_OI: Tensor, scale_O: Tensor, bias_O: Tensor | None) -> Tensor:
        """[..., I] -> [..., O]."""
        if self._packed is None:
            zeros = torch.zeros(len(scale_O), dtype=torch.long)
            with warnings.catch_warnings():  # torch 2.13 announces the end of quantised tensors; below 2.14 they work
                warnings.filterwarnings("ignore", message=".*quantized tensor creation functions.*")
                rows = torch._make_per_channel_quantized_tensor(rows_OI, scale_O.double(), zeros, 0)
            self._packed = torch.ops.quantized.linear_prepack(rows, bias_O)
        y: Tensor = torch.ops.quantized.linear_dynamic(x, self._packed, self.reduce_range)
        return y

    def __deepcopy__(self, memo: dict[int, Any]) -> "Product":
        return Product(reduce_range=self.reduce_range)


class Int8Linear(nn.Module):
    """y = x W^T + b with int8 W."""

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
        self.product = Product(reduce_range=reduce_range)

    def forward(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        return self.product(x, self.weight, self.scale, self.bias)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.product = copy.deepcopy(self.product)  # whose packed form was of other weights


class Int8Embedding(nn.Module):
    """A table of int8 rows: a row is scaled when it is looked up, and a product is one of int8.

    `quire.nn.tables.Multiplies`.
    """

    rows: Tensor
    scale: Tensor

    def __init__(self, weight_VE: Tensor, *, reduce_range: bool) -> None:
        super().__init__()
        rows, scale = quantise_rows(weight_VE.detach())
        self.register_buffer("rows", rows)
        self.register_buffer("scale", scale)
        self.product = Product(reduce_range=reduce_range)

    @property
    def weight(self) -> Tensor:
        """The whole table in fp32 [V, E], for who wants more than a product with it."""
        return self.rows.float() * self.scale[:, None]

    def forward(self, indices: Tensor) -> Tensor:
        return self.rows[indices].float() * self.scale[indices][..., None]

    def scores(self, x_ME: Tensor) -> Tensor:
        """x times each row, [M, V]."""
        return self.product(x_ME, self.rows, self.scale, None)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.product = copy.deepcopy(self.product)
