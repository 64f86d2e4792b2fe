"""What `quire compare` was asked to do: written to the run folder, so that the same command goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from quire.adapt.settings import AdaptSettings, Budget, Inputs, Trials
from quire.core.config import Settings, parse
from quire.core.errors import BadInput
from quire.core.spec import Size
from quire.recipe import FineTune, NetworkSize, Recipe, TokenizerPlan, load
from quire.train.optim import TrainPlan

FINETUNE = FineTune(train=TrainPlan(steps=1, batch=32, lr=5e-4, checkpoint_every=500, keep=1), epochs=4)
LEAST_FINETUNE = 100
"""Updates of fine-tuning at least, however few the labels are."""


class Shape(Settings):
    """What all arms have in common, so that only the objective and its architecture differ."""

    size: NetworkSize = "tiny"
    length: Annotated[int, Field(ge=16)] = 128
    batch: Size = 32
    lr: Annotated[float, Field(gt=0)] = 1e-3
    tokenizer: TokenizerPlan = TokenizerPlan(size=8000)

    def serving(self, recipes: Iterable[Recipe]) -> Shape:
        """With as many sentinels as any of these wants, for their tokenizer is one."""
        wanted = max((recipe.data.tokenizer.sentinels for recipe in recipes), default=0)
        return self.model_copy(update={"tokenizer": self.tokenizer.model_copy(update={"sentinels": wanted})})

    def applied(self, recipe: Recipe) -> Recipe:
        """The recipe at this size, with its own objectives, architecture, data shape and kind of optimiser."""
        assert recipe.backbone
        resized = recipe.sized(self.size, length=self.length, tokenizer=self.tokenizer)
        train = {"batch": self.batch, "accumulate": 1, "lr": self.lr, "warmup": None, "steps": 1, "clip": 1.0}
        train |= {"checkpoint_every": 500, "keep": 1}
        return resized.model_copy(
            update={"train": recipe.train.model_copy(update=train), "finetune": FINETUNE, "expect": {}}
        )


def shape_of(*, size: str, length: int, batch: int, lr: float, vocab: int) -> Shape:
    """The common shape from what a person gives; BadInput names what is wrong."""
    tokenizer = {"size": vocab}
    given = {"size": size, "length": length, "batch": batch, "lr": lr, "tokenizer": tokenizer}
    return parse(Shape, given, where="compare")


class CompareSettings(Trials):
    """Everything that decides the outcome of a comparison."""

    inputs: Inputs
    arms: Mapping[str, Recipe]
    """What is pre-trained, resolved and resized, by the name the person gave."""
    shape: Shape = Shape()
    budget: Budget
    """Of pre-training, for each arm and seed."""
    per_class: tuple[int | None, ...] = (None,)
    """How many labels a class the arms are fine-tuned on, one study each; None for all."""

    @model_validator(mode="after")
    def _has_arms(self) -> Self:
        if not self.arms:
            raise ValueError("give at least one arm, for instance --arms mlm,rtd")
        return self

    def of_arm(self, name: str) -> AdaptSettings:
        """The same as settings of one job with this arm's recipe."""
        return self.job(self.inputs, self.arms[name])


def chosen(names: Sequence[str], *, shape: Shape) -> dict[str, Recipe]:
    """The recipes of these arms (a name, a short name, or a file) at the common size, by a name fit for a folder."""
    arms: dict[str, Recipe] = {}
    for given in names:
        found = load(given)
        name = Path(given).stem if given.endswith((".yaml", ".yml")) else given
        if name in arms:
            raise BadInput(f"--arms: {name!r} stands there twice; give each arm once")
        if found.backbone is None:
            raise BadInput(
                f"--arms {given}: starts from the base {found.base!r}, but arms are pre-trained from nothing; "
                f"take a recipe with a backbone"
            )
        arms[name] = shape.applied(found)
    return arms
