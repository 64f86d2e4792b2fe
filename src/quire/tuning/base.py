"""What a tuning strategy is; every hook has a default that does nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import Field, model_validator
from torch import Tensor, nn

from quire.core.catalogue import Component, catalogue, find
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed
from quire.objectives.base import Objective


@dataclass(frozen=True)
class Group:
    """Parameters by name that share a rate (`scale` times the plan's) and whether they decay."""

    parameters: dict[str, nn.Parameter]
    scale: float = 1.0
    decay: bool = True

    def only(self, keep: Callable[[str, nn.Parameter], bool]) -> Group:
        return Group({name: p for name, p in self.parameters.items() if keep(name, p)}, self.scale, self.decay)


class Strategy(Component):
    """How a model is fitted: a frozen record of settings with hooks around the loop."""

    home: ClassVar[str] = "quire.tuning"

    @model_validator(mode="before")
    @classmethod
    def _stands_over(cls, data: Any) -> Any:
        if (
            isinstance(data, Mapping)
            and "over" in data
            and "home" not in cls.__dict__
            and "over" not in cls.model_fields
        ):
            able = ", ".join(name for name, member in catalogue(Strategy).items() if issubclass(member, Over))
            raise ValueError(f"{cls.name()} stands over nothing; those that take `over`: {able}")
        return data

    @property
    def published_rate(self) -> float | None:
        """The learning rate that it is published with, where that is far from one for all weights."""
        return None

    def body(self, spec: Backbone) -> Backbone:
        """The body of what is kept."""
        return spec

    def prepare(self, model: Model) -> Model:
        """Insert and freeze, in place, before the optimiser is built; returns the model."""
        return model

    def groups(self, model: Model) -> list[Group]:
        """Every trainable parameter in exactly one group; gains and biases do not decay."""
        return split_decay(Group({name: p for name, p in model.named_parameters() if p.requires_grad}))

    def terms(self) -> tuple[Objective, ...]:
        """Further losses."""
        return ()

    def before_step(self, model: Model, t: int) -> None:
        """Freezing and thawing; called before update `t`, and a function of `t` alone so that resuming is exact."""

    def backward(self, model: Model, batch: Packed, loss: Callable[[], Tensor]) -> None:
        """Add the gradients of a micro-batch; `loss` computes its loss, anew at each call."""
        loss().backward()  # type: ignore[no-untyped-call]

    def after_step(self, model: Model, t: int) -> None:
        """Averages, module swaps; called after update `t`."""

    def kept(self, model: Model) -> AbstractContextManager[None]:
        """While it lasts, `model` has the weights that would be kept if training ended here: dev is measured so."""
        return nullcontext()

    def finish(self, model: Model) -> None:
        """Leave these weights for good, in place, and nothing that was put in for training alone."""


class Over(Strategy):
    """A strategy that adds something to another, `over`, which says what learns and how fast."""

    home: ClassVar[str] = "quire.tuning"

    over: Strategy = Field(default_factory=lambda: find(Strategy, "full").model_validate({}))

    @property
    def published_rate(self) -> float | None:
        return self.over.published_rate

    def body(self, spec: Backbone) -> Backbone:
        return self.over.body(spec)

    def prepare(self, model: Model) -> Model:
        return self.over.prepare(model)

    def groups(self, model: Model) -> list[Group]:
        return self.over.groups(model)

    def terms(self) -> tuple[Objective, ...]:
        return self.over.terms()

    def before_step(self, model: Model, t: int) -> None:
        self.over.before_step(model, t)

    def backward(self, model: Model, batch: Packed, loss: Callable[[], Tensor]) -> None:
        self.over.backward(model, batch, loss)

    def after_step(self, model: Model, t: int) -> None:
        self.over.after_step(model, t)

    def kept(self, model: Model) -> AbstractContextManager[None]:
        return self.over.kept(model)

    def finish(self, model: Model) -> None:
        self.over.finish(model)


def split_decay(group: Group) -> list[Group]:
    """The group in two: matrices decay, biases and norms do not (BERT). Empty ones are left out."""
    matrices = group.only(lambda _, p: p.ndim > 1)
    rest = replace(group.only(lambda _, p: p.ndim <= 1), decay=False)
    return [g for g in (matrices, rest) if g.parameters]
