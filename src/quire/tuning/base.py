"""What a tuning strategy is; every hook has a default that does nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from quire.core.catalogue import Component
from quire.nn.model import Model
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

    def after_step(self, model: Model, t: int) -> None:
        """Averages, module swaps; called after update `t`."""


def split_decay(group: Group) -> list[Group]:
    """The group in two: matrices decay, biases and norms do not (BERT). Empty ones are left out."""
    matrices = group.only(lambda _, p: p.ndim > 1)
    rest = replace(group.only(lambda _, p: p.ndim <= 1), decay=False)
    return [g for g in (matrices, rest) if g.parameters]
