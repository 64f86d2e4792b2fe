"""Adapters: small networks are put between the layers and learn; the body stays as it is.

houlsby    after attention and after the feed-forward layer; norms learn too (Houlsby et al. 2019, section 2.1: width
           64, rate 3e-4)
pfeiffer   after the feed-forward layer alone, ReLU, a sixteenth of the body's width; norms stay (Pfeiffer et al. 2021)

What is kept has the adapters as a part of its backbone (`quire.core.spec.Adapters`): a model folder in Quire's own
names, which is opened, made int8 and exported like any other.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from quire.core.errors import BadInput
from quire.core.spec import Adapters, Backbone, Size
from quire.nn.adapters import build_adapter
from quire.nn.initial import initialise
from quire.nn.model import Model
from quire.nn.transformer import Block
from quire.tuning.base import Strategy

PLACES = ("attention", "ffn")


class Inserting(Strategy):
    """Learnt are the adapters and the heads."""

    home: ClassVar[str] = "quire.tuning"
    with_norms: ClassVar[bool] = False
    """Whether all norms of the body learn too."""

    seed: int = 0
    """What the adapters begin from."""

    @abstractmethod
    def plan(self, spec: Backbone) -> Adapters:
        """The adapters of a body."""

    def body(self, spec: Backbone) -> Backbone:
        return spec.model_copy(update={"adapters": self.plan(spec)})

    def prepare(self, model: Model) -> Model:
        wanted = self.plan(model.spec)
        if model.spec.adapters is None:
            self._insert(model, wanted)
        elif model.spec.adapters != wanted:
            raise BadInput(f"strategy.{self.name()}: the model has other adapters already; start from one without")
        for name, parameter in model.named_parameters():
            norm = self.with_norms and "norm" in name.rpartition(".")[0]
            parameter.requires_grad_(name.startswith("heads.") or "_adapter." in name or norm)
        return model

    def _insert(self, model: Model, plan: Adapters) -> None:
        blocks = [part for part in model.backbone.modules() if isinstance(part, Block)]
        if not blocks:
            raise BadInput(f"strategy.{self.name()}: {model.spec.called} has no place for adapters; take a Transformer")
        if plan.normed and model.spec.norm_first:
            raise BadInput(f"strategy.{self.name()}: the model's norms stand before its sums, not behind; take houlsby")
        model.spec = model.backbone.spec = self.body(model.spec)
        for number, block in enumerate(blocks):
            for place in PLACES:
                adapter = build_adapter(model.spec, after=place)
                initialise(adapter, model.spec, seed=self.seed + len(PLACES) * number + PLACES.index(place))
                setattr(block, f"{place}_adapter", adapter.to(model.table.weight.device))


class Houlsby(Inserting):
    """Adapters twice a layer."""

    with_norms: ClassVar[bool] = True
    width: Size = 64

    @property
    def published_rate(self) -> float | None:
        return 3e-4

    def plan(self, spec: Backbone) -> Adapters:
        return Adapters(width=self.width)


class Pfeiffer(Inserting):
    """One adapter a layer."""

    factor: Size = 16
    """How many times narrower than the body they are."""

    @property
    def published_rate(self) -> float | None:
        return 1e-4

    def plan(self, spec: Backbone) -> Adapters:
        width = max(spec.width // self.factor, 1)
        return Adapters(width=width, after=("ffn",), activation="relu", normed=True)
