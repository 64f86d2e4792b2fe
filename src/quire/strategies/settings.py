"""What a comparison of strategies was asked to do: written to the run folder, so that the same command goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from quire.adapt.settings import AdaptSettings, Inputs, Trials
from quire.core.catalogue import catalogue
from quire.core.config import Settings, parse, read_yaml
from quire.core.errors import BadInput, nearest
from quire.recipe import FineTune, Recipe
from quire.tuning import Strategy
from quire.tuning.base import Over

LEAST = 100
"""Updates at least, however few the labels are."""
Rate = Annotated[float, Field(gt=0)]


class StrategySettings(Trials):
    """Everything that decides the outcome."""

    inputs: Inputs
    recipe: Recipe
    """The base, and how labels are learnt; its own strategy is what `full` stands for."""
    strategies: Annotated[Mapping[str, Strategy], Field(min_length=2)]
    """By the name that the person gave."""
    rates: tuple[Rate, ...] = ()
    """Learning rates to choose from on dev, with the first seed; without, each strategy has its published one."""
    per_class: tuple[int | None, ...] = (None,)

    @model_validator(mode="after")
    def _can_be_learnt(self) -> Self:
        if self.recipe.finetune is None:
            raise ValueError("the recipe has no `finetune` section, which says how labels are learnt")
        return self

    @property
    def finetune(self) -> FineTune:
        """How labels are learnt, but for strategy and rate."""
        assert self.recipe.finetune
        return self.recipe.finetune

    def tried(self, name: str) -> tuple[float, ...]:
        """The rates that a strategy is tried with."""
        return self.rates or (self.strategies[name].published_rate or self.finetune.train.lr,)

    def learning(self, name: str, *, rate: float) -> AdaptSettings:
        """The same as settings of one job in which labels are learnt so."""
        train = self.finetune.train.model_copy(update={"lr": rate})
        how = self.finetune.model_copy(update={"strategy": self.strategies[name], "train": train})
        return self.job(self.inputs, self.recipe.model_copy(update={"finetune": how}))


def chosen(names: Sequence[str], *, full: Strategy) -> dict[str, Strategy]:
    """Strategies by name, or by a YAML file that holds one.

    What the recipe has itself, `full`, keeps its settings; and those that add to another add to that.
    """
    found: dict[str, Strategy] = {}
    for given in names:
        named = given.endswith((".yaml", ".yml"))
        name = Path(given).stem if named else given
        if name in found:
            raise BadInput(f"--strategies: {name!r} stands there twice; give each once")
        if named:
            found[name] = parse(_Written, {"strategy": read_yaml(Path(given))}, where=given).strategy
        elif name == full.name():
            found[name] = full
        elif name in (known := catalogue(Strategy)):
            found[name] = known[name].model_validate({"over": full} if issubclass(known[name], Over) else {})
        else:
            raise BadInput(f"--strategies: none is called {name!r}{nearest(name, catalogue(Strategy))}")
    if len(found) < 2:
        raise BadInput("--strategies: give two or more to compare, for instance full,lora")
    return found


class _Written(Settings):
    strategy: Strategy
