"""What `quire finetune` was asked to do: written to the run folder, so that the same command goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from quire.core.config import Settings
from quire.core.errors import BadInput
from quire.core.search import Search
from quire.core.spec import Rate, Size
from quire.recipe import NetworkSize, Recipe, TokenizerPlan, load
from quire.text.cut import Piece
from quire.train.optim import TrainPlan
from quire.tuning import Strategy
from quire.tuning.full import Full


class Files(Settings):
    """Tables of pairs and the columns that are read and written."""

    train: str
    dev: str | None = None
    test: str | None = None
    source_column: str = "source"
    target_column: str = "target"


class FinetuneSettings(Settings):
    """Everything that decides the outcome of fine-tuning a generator."""

    files: Files
    start: str | None = None
    """A model folder; or else a recipe is built anew."""
    recipe: Recipe | None = None
    epochs: Size = 3
    train: TrainPlan
    """Its `steps` follow from the epochs."""
    strategy: Strategy = Full()
    smoothing: Rate = 0.1
    length: Annotated[int, Field(ge=8)] = 128
    """Tokens of a source, special ones included, and of a target."""
    cut: Piece = "head"
    search: Search
    held_out: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """The share of the training pairs for dev, and again for test, where no file is given."""
    seed: int = 0

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.start is None) == (self.recipe is None):
            raise ValueError("give exactly one of --start (a model folder) and --recipe (a network from nothing)")
        if self.recipe and self.recipe.base:
            raise ValueError(f"the recipe starts from the base {self.recipe.base!r}; give that as --start")
        if self.search.limit >= self.length:
            raise ValueError(f"limit {self.search.limit}: write fewer tokens than length {self.length}")
        return self


def from_nothing(name: str | Path | None, *, size: NetworkSize, length: int, vocab: int) -> Recipe | None:
    """The recipe called so at a common size, if any is named."""
    if name is None:
        return None
    found = load(name)
    if found.backbone is None:
        raise BadInput(f"--recipe {name}: starts from the base {found.base!r}; give that as --start")
    tokenizer = found.data.tokenizer.model_copy(update={"size": vocab})
    return found.sized(size, length=length, tokenizer=TokenizerPlan.model_validate(tokenizer))
