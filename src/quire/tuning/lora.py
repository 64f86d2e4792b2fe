"""Low-rank updates of frozen matrices (Hu et al. 2022, LoRA, section 4.1).

W x + (alpha / r) B A x, where W stays as it is; A is drawn (Kaiming), B begins at 0, so that all begins at the base

When training ends the product is added to W: what is kept has the shape of the base and costs what the base costs.
A and B stay beside it, as `Model.updates`, for whoever wants them over the base (`quire export --lora`):

alpha                     a number
<layer>.<k>.a, .b         [R, W] and [O, R] of the k-th matrix of that layer

Legend: N positions, W width, O outputs, K matrices that stand in one, R rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Literal, TypeAlias

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from quire.core.errors import BadInput
from quire.core.spec import Rate, Size
from quire.nn.dropout import dropped
from quire.nn.model import Model
from quire.tuning.base import Strategy

Matrix: TypeAlias = Literal["query", "key", "value", "out", "up", "down"]
_QKV: tuple[Matrix, ...] = ("query", "key", "value")
_HOME: dict[Matrix, str] = {"out": "attention.out", "up": "ffn.up", "down": "ffn.down"}


class Lora(Strategy):
    """Learnt are A and B of the matrices `on` in every layer, and the heads."""

    rank: Size = 8
    alpha: Annotated[float, Field(gt=0)] = 16.0
    on: Annotated[tuple[Matrix, ...], Field(min_length=1)] = ("query", "value")
    """Those of the attention: the published choice. `up` and `down` are the feed-forward layer's."""
    dropout: Rate = 0.0
    """Of what A reads."""
    seed: int = 0
    """What A is drawn from."""

    @property
    def published_rate(self) -> float | None:
        return 5e-4

    def prepare(self, model: Model) -> Model:
        draw = torch.Generator().manual_seed(self.seed)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith("heads."))
        for place, parts, matrices in self._places(model):
            parent, _, leaf = place.rpartition(".")
            plain = model.get_submodule(place)
            assert isinstance(plain, nn.Linear)
            setattr(model.get_submodule(parent), leaf, LowRank(plain, self, parts, matrices, draw))
        return model

    def kept(self, model: Model) -> AbstractContextManager[None]:
        return _merged(model)

    def finish(self, model: Model) -> None:
        updates = {"alpha": torch.tensor(self.alpha)}
        for name, module in [*model.named_modules()]:
            if isinstance(module, LowRank):
                parent, _, leaf = name.rpartition(".")
                setattr(model.get_submodule(parent), leaf, module.plain())
                for k, a_RW, b_OR in zip(module.matrices, module.a, module.b, strict=True):
                    updates |= {f"{name}.{k}.a": a_RW.detach().clone(), f"{name}.{k}.b": b_OR.detach().clone()}
        model.updates = updates
        for parameter in model.parameters():
            parameter.requires_grad_(True)

    def _places(self, model: Model) -> Iterator[tuple[str, int, Sequence[int]]]:
        """The linear layers that get an update, how many matrices stand in one, and which of them it is for."""
        found = False
        for block, _ in model.named_modules():
            if not block.startswith("backbone.") or not block.rpartition(".")[2].isdigit():
                continue
            inside = dict(model.get_submodule(block).named_modules())
            if "attention.qkv" in inside and (of_qkv := [_QKV.index(m) for m in self.on if m in _QKV]):
                yield f"{block}.attention.qkv", len(_QKV), sorted(of_qkv)
                found = True
            for matrix, home in _HOME.items():
                if matrix in self.on and home in inside:
                    yield f"{block}.{home}", 1, [0]
                    found = True
        if not found:
            raise BadInput(f"strategy.lora: this body has none of {', '.join(self.on)}; take a Transformer, or full")


class LowRank(nn.Linear):
    """A frozen linear layer with learnt updates of some of the `parts` matrices [O, W] that stand in it, one below the
    other."""

    def __init__(self, plain: nn.Linear, how: Lora, parts: int, matrices: Sequence[int], draw: torch.Generator) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self.weight, self.bias = plain.weight, plain.bias
        self.matrices, self.scale, self.dropout = tuple(matrices), how.alpha / how.rank, how.dropout
        self.rows = plain.out_features // parts
        bound = 1 / math.sqrt(plain.in_features)  # Kaiming's for a = sqrt(5), as in the release
        drawn_KRW = torch.empty(len(matrices), how.rank, plain.in_features).uniform_(-bound, bound, generator=draw)
        self.a = nn.Parameter(drawn_KRW.to(plain.weight))
        self.b = nn.Parameter(plain.weight.new_zeros(len(matrices), self.rows, how.rank))

    def forward(self, x_NW: Tensor) -> Tensor:
        y_NO = F.linear(x_NW, self.weight, self.bias)
        seen_NW = dropped(x_NW, self.dropout) if self.training else x_NW
        low = F.linear(seen_NW, self.a.flatten(0, 1)).chunk(len(self.matrices), dim=-1)  # [N, R] each
        updates = [low_NR @ b_OR.mT * self.scale for low_NR, b_OR in zip(low, self.b, strict=True)]
        if len(updates) * self.rows == self.out_features:
            return y_NO + torch.cat(updates, dim=-1)
        pieces = [*torch.split(y_NO, self.rows, dim=-1)]
        for place, update in zip(self.matrices, updates, strict=True):
            pieces[place] = pieces[place] + update
        return torch.cat(pieces, dim=-1)

    @torch.no_grad()
    def merged(self) -> Tensor:
        """The matrix with its updates."""
        whole = self.weight.clone()
        for k, a_RW, b_OR in zip(self.matrices, self.a, self.b, strict=True):
            add(whole, k, a_RW, b_OR, scale=self.scale)
        return whole

    def plain(self) -> nn.Linear:
        """A linear layer of that matrix."""
        layer = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        layer.weight = nn.Parameter(self.merged())
        layer.bias = self.bias
        return layer.train(self.training)


def add(whole: Tensor, k: int, a_RW: Tensor, b_OR: Tensor, *, scale: float) -> None:
    """The update of the k-th matrix of those that stand in `whole`, in place."""
    rows = len(b_OR)
    whole[k * rows : (k + 1) * rows] += scale * (b_OR @ a_RW)


@contextmanager
def _merged(model: Model) -> Iterator[None]:
    """The matrices with their updates, and no updates beside them; afterwards all is as it was, to the bit."""
    layers = [module for module in model.modules() if isinstance(module, LowRank)]
    before = [(layer.weight.data, layer.b.data) for layer in layers]
    for layer in layers:
        layer.weight.data, layer.b.data = layer.merged(), torch.zeros_like(layer.b)
    try:
        yield
    finally:
        for layer, (weight, b) in zip(layers, before, strict=True):
            layer.weight.data, layer.b.data = weight, b
