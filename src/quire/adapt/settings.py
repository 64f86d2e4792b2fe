"""What `quire adapt` was asked to do: written to the run folder, so that the same command goes on."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from quire.core.config import Settings
from quire.core.errors import BadInput
from quire.core.results import Metric
from quire.recipe import Recipe
from quire.text.rows import Source, sha256

Unit: TypeAlias = Literal["seconds", "steps", "tokens", "flops"]
_UNITS: dict[str, tuple[Unit, float]] = {
    "s": ("seconds", 1),
    "m": ("seconds", 60),
    "h": ("seconds", 3600),
    "steps": ("steps", 1),
    "tokens": ("tokens", 1),
    "ktokens": ("tokens", 1e3),
    "mtokens": ("tokens", 1e6),
    "gflops": ("flops", 1e9),
    "tflops": ("flops", 1e12),
    "pflops": ("flops", 1e15),
}


class Budget(Settings):
    """What the job may spend.

    `seconds` is the whole job, evaluation and report included; what is left for training is shared equally by the
    trained arms. `steps` and `tokens` are what each trained arm may spend per seed.
    """

    amount: Annotated[float, Field(gt=0)]
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """`5m`, `90s`, `2h`, `300steps`, `200ktokens`, `50tflops`."""
        found = re.fullmatch(r"\s*([0-9.]+)\s*([a-z]+)\s*", text.lower())
        if not found or found[2] not in _UNITS:
            raise BadInput(f"--budget {text}: expected a number with a unit, for instance 5m, 300steps or 200ktokens")
        unit, scale = _UNITS[found[2]]
        try:
            return cls(amount=float(found[1]) * scale, unit=unit)
        except ValueError:
            raise BadInput(f"--budget {text}: the number must be above 0") from None

    def updates(self, tokens_an_update: Callable[[], float]) -> int:
        """How many updates it pays for, where it counts these or their tokens."""
        return max(round(self.amount if self.unit == "steps" else self.amount / tokens_an_update()), 1)

    def __str__(self) -> str:
        if self.unit == "seconds":
            return f"{self.amount / 60:g} minutes for the whole job"
        return f"{self.amount:,.0f} {self.unit} for each trained arm and seed"


class Inputs(Settings):
    """The files, by the names the person gave."""

    train: str
    dev: str | None = None
    test: str | None = None
    corpus: tuple[str, ...] = ()
    text_column: str = "text"
    pair_column: str | None = None
    """Of the second text, where texts are pairs."""
    label_column: str = "label"


class Trials(Settings):
    """How runs are repeated, split and judged: of a job, and of every comparison of jobs."""

    title: str = ""
    seeds: Annotated[int, Field(gt=0, le=50)] = 3
    seed: int = 0
    metric: Metric = "accuracy"
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    dev_share: Annotated[float, Field(gt=0, lt=1)] = 0.2

    def job(self, inputs: Inputs, recipe: Recipe) -> "AdaptSettings":
        """The same as settings of one job, whose plan is the recipe's own."""
        same = {field: getattr(self, field) for field in Trials.model_fields}
        budget = Budget(amount=1, unit="steps")
        return AdaptSettings.model_validate({**same, "inputs": inputs, "recipe": recipe, "budget": budget})


class AdaptSettings(Trials):
    """Everything that decides the outcome of a job."""

    inputs: Inputs
    recipe: Recipe
    budget: Budget
    max_loss: Annotated[float, Field(ge=0)] = 0.5
    """Points of the metric that int8 may lose on dev."""

    @field_validator("budget")
    @classmethod
    def _can_be_spent(cls, budget: Budget) -> Budget:
        if budget.unit == "flops":
            raise ValueError("counts time, steps or tokens here, for instance 5m, 300steps or 200ktokens")
        return budget

    @model_validator(mode="after")
    def _has_finetune(self) -> Self:
        if self.recipe.finetune is None:
            raise ValueError("the recipe has no `finetune` section, which `quire adapt` needs")
        return self


def described(source: Source) -> str:
    """A source as the recipe names it."""
    return str(source) if isinstance(source, str | Path) else type(source).__name__


def fingerprint(source: Source) -> str:
    """sha256 of a file, "" for a stream or a data set in memory."""
    return sha256(source) if isinstance(source, str | Path) and str(source) != "-" else ""
