"""Full fine-tuning, with freezing and layer-wise rates (Sun et al. 2019, "How to Fine-Tune BERT", section 5.4).

ULMFiT (Howard and Ruder 2018, sections 3.2 and 3.3): `layer_decay` 1/2.6, `thaw_every` an epoch, and `train.schedule:
slanted`. There the head counts as the last layer, and the one below it is 2.6 times slower; here head and top layer
share one rate unless `head_scale` is 2.6.
"""

from typing import Annotated

from pydantic import Field

from quire.core.errors import BadInput
from quire.nn.model import Model
from quire.tuning.base import Group, Strategy, split_decay


class Full(Strategy):
    """All parameters learn; layer k of L has the rate lr * layer_decay ** (L - 1 - k).

    The embeddings count as the layer below the first (the authors' code leaves them at the full rate, so that they
    learn faster than layer 0). Heads have `head_scale` times the rate. `freeze` keeps the embeddings and the first
    `freeze` layers as they are; `thaw_at` keeps the whole body frozen for its first steps, so that a fresh head does
    not damage it; with `thaw_every` it then thaws from above, a layer more each time that so many steps have gone.
    Layers that share their weights are one layer here; those of further bodies (ELECTRA's generator) and of a decoder
    are counted from the top, as the backbone's are.
    """

    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    head_scale: Annotated[float, Field(gt=0)] = 1.0
    freeze: Annotated[int, Field(ge=0)] = 0
    thaw_at: Annotated[int, Field(ge=0)] = 0
    thaw_every: Annotated[int, Field(ge=0)] = 0

    def prepare(self, model: Model) -> Model:
        if self.freeze > _depth(model):
            raise BadInput(
                f"strategy.full.freeze {self.freeze}: the model has {_depth(model)} layers of its own; take fewer"
            )
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(self._learns(name, model))
        return model

    def groups(self, model: Model) -> list[Group]:
        depth = _depth(model)
        by_layer: dict[int, Group] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                layer = _layer(name, model)
                scale = self.head_scale if layer == depth else self.layer_decay ** (depth - 1 - layer)
                by_layer.setdefault(layer, Group({}, scale)).parameters[name] = parameter
        return [part for layer in sorted(by_layer) for part in split_decay(by_layer[layer])]

    def before_step(self, model: Model, t: int) -> None:
        if self.thaw_at or self.thaw_every:  # a function of t alone, so that a resumed run thaws as another does
            lowest = self._lowest(t, _depth(model))
            for name, parameter in model.named_parameters():
                if not name.startswith("heads."):
                    parameter.requires_grad_(_layer(name, model) >= lowest and self._learns(name, model))

    def _lowest(self, t: int, depth: int) -> int:
        """The lowest layer that is thawed at step `t`; that of the heads where none is."""
        if t < self.thaw_at:
            return depth
        return depth - 1 - (t - self.thaw_at) // self.thaw_every if self.thaw_every else -1

    def _learns(self, name: str, model: Model) -> bool:
        return not self.freeze or _layer(name, model) >= self.freeze


def _depth(model: Model, body: str = "backbone") -> int:
    return len(list(model.get_submodule(f"{body}.blocks").children()))


def _layer(name: str, model: Model) -> int:
    """-1 for the embeddings and what leads from them, k for block k, the last block's for a norm behind it, depth for
    heads."""
    depth = above = _depth(model)
    part, *rest = name.split(".")
    if part == "heads":
        return depth
    if part == "bodies":
        body, *rest = rest
        above = _depth(model, f"bodies.{body}")
    if rest[0] == "decoder":
        above = _depth(model, "backbone.decoder")
        rest = rest[1:]
    match rest:
        case ["blocks", k, *_]:
            return max(int(k) + depth - above, 0)
        case ["norm", *_]:
            return depth - 1
    return -1
