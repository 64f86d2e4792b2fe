"""A published system is data: a recipe says what is built, from which data, with which objectives and settings.

Recipes lie as YAML in `quire/recipes/`; a person's own lies anywhere. `shrunk()` is the same recipe at toy size.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from quire.core.config import Settings, override, parse, read_yaml
from quire.core.errors import BadInput, nearest
from quire.core.spec import Backbone, Rate, Size
from quire.objectives import Objective
from quire.objectives.mlm import Mlm
from quire.text.cut import Cut
from quire.train.optim import TrainPlan
from quire.tuning import Strategy
from quire.tuning.full import Full


class TokenizerPlan(Settings):
    """The tokenizer to train when there is no base to take one from."""

    kind: Literal["wordpiece", "bpe", "unigram"] = "wordpiece"
    size: Size = 30_522
    lowercase: bool = True


class DataPlan(Settings):
    """How text becomes sequences.

    `documents`: chunks of one document; `blocks`: full blocks that cross documents (RoBERTa, FULL-SENTENCES);
    `sentence-pairs`: two runs of sentences of one document (BERT). `length` counts special tokens.
    """

    shape: Literal["documents", "blocks", "sentence-pairs"] = "documents"
    length: Annotated[int, Field(ge=8)] = 128
    cut: Cut = "head"
    """What is kept of a labelled text that is longer (Sun et al. 2019, section 5.3.1)."""
    words: Literal["auto", "tokenizer", "chinese"] = "auto"
    """What a word is, for whole-word masks: the tokenizer's, or the Chinese segmenter's; `auto` looks at the text."""
    tokenizer: TokenizerPlan = TokenizerPlan()
    extend: Annotated[int, Field(ge=0)] = 0
    """With a base: so many words of the text are added to its vocabulary, each the mean of its pieces."""


class FineTune(Settings):
    """How the labels are learnt: rates, epochs and strategy of the supervised stage."""

    train: TrainPlan
    strategy: Strategy = Full()
    dropout: Rate = 0.1
    epochs: Size = 20
    """At most so many passes over the labels, however large the budget is."""


class Recipe(Settings):
    """One system. Without `base` the backbone is built anew; with it, weights and tokenizer come from there."""

    title: str = ""
    cite: str
    survey: str
    notes: str = ""
    base: str | None = None
    backbone: Backbone | None = None
    data: DataPlan = DataPlan()
    objectives: tuple[Objective, ...] = (Mlm(),)
    strategy: Strategy = Full()
    train: TrainPlan
    finetune: FineTune | None = None
    expect: Mapping[str, float] = {}
    """Published numbers; never ours."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.base is None) == (self.backbone is None):
            raise ValueError("give exactly one of base (start from weights) and backbone (start anew)")
        if not self.objectives:
            raise ValueError("objectives: needs at least one, for instance `- mlm`")
        return self

    def shrunk(self) -> "Recipe":
        """The same recipe at toy size: every part of it runs, in seconds."""
        backbone = Backbone(vocab=200, depth=2, width=32, heads=2, ffn=64, positions=64)
        if self.backbone is not None:
            backbone = self.backbone.model_copy(
                update=backbone.model_dump(include=set(_TOY) - self.backbone.meaningless)
            )
        train = {"steps": 120, "batch": 8, "lr": 3e-3, "warmup": 10, "checkpoint_every": 50}
        train["accumulate"] = min(self.train.accumulate, 2)
        tokenizer = self.data.tokenizer.model_copy(update={"size": 400})
        return self.model_copy(
            update={
                "base": None,
                "backbone": backbone,
                "data": self.data.model_copy(update={"length": 32, "tokenizer": tokenizer}),
                "train": self.train.model_copy(update=train),
            }
        )


_TOY = ("vocab", "depth", "width", "heads", "ffn", "positions")


def names() -> list[str]:
    """The recipes that come with Quire."""
    return sorted(path.name.removesuffix(".yaml") for path in _home().iterdir() if path.name.endswith(".yaml"))


def load(name: str | Path, *, changes: list[str] | None = None) -> Recipe:
    """A recipe by name or path, with `a.b=value` changes applied before it is checked."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if str(name) not in names():
            raise BadInput(f"no recipe named {str(name)!r}{nearest(str(name), names())}")
        path = _home() / f"{name}.yaml"
    return parse(Recipe, override(read_yaml(path), changes or []), where=path.name)


def text(name: str) -> str:
    """The recipe as it is written, comments included."""
    load(name)
    return (_home() / f"{name}.yaml").read_text(encoding="utf-8")


def _home() -> Path:
    return Path(str(files("quire") / "recipes"))
