"""What a comparison of strategies was asked to do: written to the run folder, so that the same command goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import Field, model_validator

from quire.adapt.rates import Rates, tried
from quire.adapt.settings import AdaptSettings, Inputs, Trials
from quire.core.catalogue import catalogue
from quire.core.config import Settings, parse, read_yaml
from quire.core.errors import BadInput, nearest
from quire.recipe import FineTune, Recipe
from quire.strategies.compound import Compound
from quire.tuning import Strategy
from quire.tuning.base import Over

Fitting = TypeVar("Fitting", Strategy, Compound)

LEAST = 100
"""Updates at least, however few the labels are."""


class StrategySettings(Trials):
    """Everything that decides the outcome."""

    inputs: Inputs
    recipe: Recipe
    """The base, and how labels are learnt; its own strategy is what `full` stands for."""
    strategies: Annotated[Mapping[str, Strategy | Compound], Field(min_length=2)]
    """By the name that the person gave."""
    rates: Rates
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

    def fitted(self, name: str) -> Strategy:
        """How a network of this arm is fitted: of several, each for itself."""
        found = self.strategies[name]
        return found.over if isinstance(found, Compound) else found

    def tried(self, name: str) -> tuple[float, ...]:
        """The rates that a strategy is tried with."""
        return tried(self.rates, name, default=self.fitted(name).published_rate or self.finetune.train.lr)

    def learning(self, name: str, *, rate: float) -> AdaptSettings:
        """The same as settings of one job in which labels are learnt so."""
        train = self.finetune.train.model_copy(update={"lr": rate})
        how = self.finetune.model_copy(update={"strategy": self.fitted(name), "train": train})
        return self.job(self.inputs, self.recipe.model_copy(update={"finetune": how}))


def chosen(names: Sequence[str], *, full: Strategy) -> dict[str, Strategy | Compound]:
    """Strategies, and what is made of several fits or stages, by name, or by a YAML file that holds one.

    What the recipe has itself, `full`, keeps its settings; and those that add to another add to that, unless a file
    says to which.
    """
    found: dict[str, Strategy | Compound] = {}
    strategies, compounds = catalogue(Strategy), catalogue(Compound)  # type: ignore[type-abstract]
    for given in names:
        named = given.endswith((".yaml", ".yml"))
        name = Path(given).stem if named else given
        if name in found:
            raise BadInput(f"--strategies: {name!r} stands there twice; give each once")
        if named:
            data = read_yaml(Path(given))
            kind = "compound" if data.keys() & compounds.keys() else "strategy"
            found[name] = standing(getattr(parse(_Written, {kind: data}, where=given), kind), full=full)
        elif name == full.name():
            found[name] = full
        elif name in strategies:
            found[name] = standing(strategies[name].model_validate({}), full=full)
        elif name in compounds:
            found[name] = standing(compounds[name].model_validate({}), full=full)
        else:
            raise BadInput(f"--strategies: none is called {name!r}{nearest(name, [*strategies, *compounds])}")
    if len(found) < 2:
        raise BadInput("--strategies: give two or more to compare, for instance full,lora")
    return found


def standing(given: Fitting, *, full: Strategy) -> Fitting:
    """The same over `full`, where it can stand over another and it was not said over which."""
    if not isinstance(given, Over | Compound):
        return given
    over = standing(given.over, full=full) if "over" in given.model_fields_set else full
    return given.model_copy(update={"over": over})


class _Written(Settings):
    """One of the two, so that what is wrong with it is told alone."""

    strategy: Strategy | None = None
    compound: Compound | None = None
