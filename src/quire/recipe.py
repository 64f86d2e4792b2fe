"""A published system is data: a recipe says what is built, from which data, with which objectives and settings.

Recipes lie as YAML in `quire/recipes/`; a person's own lies anywhere. `shrunk()` is the same recipe at toy size.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from quire.core.config import Settings, override, parse, read_yaml
from quire.core.errors import BadInput, nearest
from quire.core.heads import LayerMix, Windows
from quire.core.spec import Backbone, Count, Pool, Rate, Size
from quire.objectives import Objective
from quire.objectives.mlm import Mlm
from quire.paradigms.classify import Classify
from quire.paradigms.plans import PairsPlan, TaskPlan
from quire.text.context import ContextPlan
from quire.text.cut import Cut
from quire.text.modes import Mode
from quire.train.optim import TrainPlan
from quire.train.sampling import Proportional, Sampling
from quire.tuning import Strategy
from quire.tuning.full import Full

NetworkSize: TypeAlias = Literal["tiny", "mini", "small", "medium"]
SIZES: Mapping[NetworkSize, tuple[int, int, int, int]] = {
    "tiny": (2, 128, 2, 512),
    "mini": (4, 256, 4, 1024),
    "small": (4, 512, 8, 2048),
    "medium": (8, 512, 8, 2048),
}
"""Depth, width, heads and inner width, as in the small BERTs of Turc et al. 2019; a decoder is as deep."""


TEXT = "corpus"
"""What the recipe's own text is called among its tasks."""
TASK_NAME = r"^[A-Za-z][A-Za-z0-9_-]*$"


class TokenizerPlan(Settings):
    """The tokenizer to train when there is no base to take one from."""

    kind: Literal["wordpiece", "bpe", "unigram", "words"] = "wordpiece"
    """`words` are whole; those that are not among the most frequent `size` are unknown."""
    size: Size = 30_522
    lowercase: bool = True
    least: Size = 2
    """What occurs less often makes no token of its own; unigram has no such bound."""
    sentinels: Count = 0
    """Marks for spans among these tokens, the last ones (T5). A base that has fewer gets what is missing."""


class DataPlan(Settings):
    """How text becomes sequences.

    `documents`: chunks of one document; `blocks`: full blocks that cross documents (RoBERTa, FULL-SENTENCES);
    `sentence-pairs`: two runs of sentences of one document (BERT); `streams`: blocks of one language each, from a
    corpus for each of `languages`; `parallel`: a text and its translation, from a table with a column for each of
    `languages` (XLM); `translation`: the same for two languages, where a decoder writes the second beside the first;
    `context-pairs`: a run of text, then two runs of sentences, behind a memory (XLNet). `length` counts special tokens
    and no memory; of a translation each side may be as long.
    """

    shape: Literal["documents", "blocks", "sentence-pairs", "context-pairs", "streams", "parallel", "translation"] = (
        "documents"
    )
    length: Annotated[int, Field(ge=8)] = 128
    cut: Cut = "head"
    """What is kept of a labelled text that is longer; windows are as long each (Sun et al. 2019, section 5.3.1)."""
    words: Literal["auto", "tokenizer", "chinese"] = "auto"
    """What a word is, for whole-word masks: the tokenizer's, or the Chinese segmenter's; `auto` looks at the text."""
    tokenizer: TokenizerPlan = TokenizerPlan()
    extend: Annotated[int, Field(ge=0)] = 0
    """With a base: so many words of the text are added to its vocabulary, each the mean of its pieces."""
    modes: tuple[Mode, ...] = ()
    """Of sentence pairs: the ways to see that are mixed in a batch; without, everyone sees everyone (UniLM)."""
    languages: tuple[Annotated[str, Field(pattern=r"^[\w-]+$")], ...] = ()
    """Of streams and parallel text: their names, as the corpora or columns are called; a language's id is its place."""
    language_alpha: Annotated[float, Field(ge=0, le=1)] = 0.7
    """Of streams: a language of n blocks is drawn in proportion to n^alpha (Lample and Conneau 2019, section 3.1)."""
    context: ContextPlan = ContextPlan()
    """Of context pairs: what share is context, how long the memory is, and whether text is read backwards too."""

    @model_validator(mode="after")
    def _shape_fits(self) -> Self:
        several = self.shape in ("streams", "parallel", "translation")
        if self.modes and self.shape != "sentence-pairs":
            raise ValueError(f"modes need the shape sentence-pairs, not {self.shape}")
        if self.context != ContextPlan() and self.shape != "context-pairs":
            raise ValueError(f"context needs the shape context-pairs, not {self.shape}")
        if self.languages and not several:
            raise ValueError(f"languages need the shape streams, parallel or translation, not {self.shape}")
        if len(set(self.languages)) < len(self.languages):
            raise ValueError(f"languages: one stands there twice: {', '.join(self.languages)}")
        if several and len(self.languages) < (least := 1 if self.shape == "streams" else 2):
            raise ValueError(f"shape {self.shape} needs languages, {least} or more, for instance [en, zh]")
        if self.shape == "translation" and len(self.languages) != 2:
            raise ValueError("shape translation needs two languages, that of the source and that of the target")
        return self


class FineTune(Settings):
    """How the labels are learnt: rates, epochs and strategy of the supervised stage."""

    train: TrainPlan
    strategy: Strategy = Full()
    dropout: Rate = 0.1
    pool: Pool | Literal["auto"] = "auto"
    mix: LayerMix = "none"
    private: Size | None = None
    windows: Windows = "mean"
    """See `quire.paradigms.classify`."""
    epochs: Size = 20
    """At most so many passes over the labels, however large the budget is."""
    sampling: Sampling = Proportional()
    """Of several tasks that share the backbone: how often each has its turn."""

    @model_validator(mode="after")
    def _one_count(self) -> Self:
        if self.train.epochs is not None:
            raise ValueError("train.epochs is for a corpus; passes over labels are `finetune.epochs`")
        return self

    def classify(self, labels: Sequence[str], *, slot: str = "classify") -> Classify:
        """What is asked for labelled texts."""
        how = self.model_dump(include={"dropout", "pool", "mix", "private", "windows"})
        return Classify.model_validate({"labels": tuple(labels), "slot": slot, **how})


class Recipe(Settings):
    """One system. Without `base` the backbone is built anew; with it, weights and tokenizer come from there."""

    title: str = ""
    short: str = ""
    """A short name to call it by on the command line: `mlm`, `rtd`, `span`."""
    cite: str
    survey: str
    notes: str = ""
    base: str | None = None
    backbone: Backbone | None = None
    data: DataPlan = DataPlan()
    objectives: tuple[Objective, ...] = (Mlm(),)
    tasks: Mapping[Annotated[str, Field(pattern=TASK_NAME)], TaskPlan] = {}
    """Further tasks on the same backbone, by name; each update of `train` is of one of them, or of the text."""
    sampling: Sampling = Proportional()
    """How often text and tasks have their turns."""
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
        if TEXT in self.tasks:
            raise ValueError(f"tasks: {TEXT!r} is what the recipe's own text is called; rename the task")
        for name, plan in self.tasks.items():
            if isinstance(plan, PairsPlan) and plan.prompt and self.data.cut == "tail":
                raise ValueError(f"tasks.{name}: data.cut tail would cut the prompt away; take head or head+tail")
            if isinstance(plan, PairsPlan) and self.data.cut == "windows":
                raise ValueError(f"tasks.{name}: a writer reads no windows; take data.cut head, tail or head+tail")
        if self.backbone and not all(self.backbone.keeps(mode.visibility(1)) for mode in self.data.modes):
            raise ValueError(
                f"data.modes: {self.backbone.tells}, whatever a mode hides; leave them out, or take a Transformer"
            )
        return self

    def resized(
        self, *, depth: int, width: int, heads: int, ffn: int, length: int, tokenizer: TokenizerPlan
    ) -> "Recipe":
        """The same system at another size, from nothing; the size of the vocabulary is the tokenizer's."""
        whole = self.backbone or Backbone()
        small = whole.resized(
            depth=depth, width=width, heads=heads, ffn=ffn, positions=max(length, 64), vocab=tokenizer.size
        )
        data = self.data.model_copy(update={"length": length, "tokenizer": tokenizer})
        return self.model_copy(update={"base": None, "backbone": small, "data": data})

    def sized(self, size: NetworkSize, *, length: int, tokenizer: TokenizerPlan) -> "Recipe":
        """The same system at one of the common sizes."""
        depth, width, heads, ffn = SIZES[size]
        return self.resized(depth=depth, width=width, heads=heads, ffn=ffn, length=length, tokenizer=tokenizer)

    def shrunk(self) -> "Recipe":
        """The same recipe at toy size: every part of it runs, in seconds.

        First weights grow as 1 / sqrt(width), so that they are no smaller in proportion than those of the full size.
        Adagrad keeps its rate, which knows no sizes.
        """
        tokenizer = self.data.tokenizer.model_copy(update={"size": 400})
        small = self.resized(depth=2, width=32, heads=2, ffn=64, length=32, tokenizer=tokenizer)
        assert small.backbone
        grown = (self.backbone or Backbone()).width / small.backbone.width
        backbone = small.backbone.model_copy(update={"init_std": small.backbone.init_std * grown**0.5})
        lr = self.train.lr if self.train.optimizer == "adagrad" else 3e-3
        train = {"steps": 120, "epochs": None, "batch": 8, "lr": lr, "warmup": 10, "checkpoint_every": 50}
        train["accumulate"] = min(self.train.accumulate, 2)
        return small.model_copy(update={"backbone": backbone, "train": self.train.model_copy(update=train)})


def names() -> list[str]:
    """The recipes that come with Quire."""
    return sorted(path.name.removesuffix(".yaml") for path in _home().iterdir() if path.name.endswith(".yaml"))


def load(name: str | Path, *, changes: list[str] | None = None) -> Recipe:
    """A recipe by name, short name or path, with `a.b=value` changes applied before it is checked."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = _home() / f"{_full_name(str(name))}.yaml"
    changed = override(read_yaml(path), changes or [])
    for change in changes or []:
        _check_named(change)
    return parse(Recipe, changed, where=path.name)


def _check_named(change: str) -> None:
    """BadInput for a change of what no recipe has; a field of one of its sections alone is told with its path."""
    name = change.partition("=")[0].partition(".")[0]
    if name not in Recipe.model_fields:
        sections: Mapping[str, type[Settings]] = {"train": TrainPlan, "data": DataPlan, "finetune": FineTune}
        within = [f"{section}.{name}" for section, plan in sections.items() if name in plan.model_fields]
        meant = f"; did you mean {within[0]!r}?" if len(within) == 1 else nearest(name, Recipe.model_fields)
        raise BadInput(f"--set {change}: a recipe has no field {name!r}{meant}")


def text(name: str) -> str:
    """The recipe as it is written, comments included."""
    load(name)
    return (_home() / f"{_full_name(name)}.yaml").read_text(encoding="utf-8")


def _full_name(name: str) -> str:
    if name in names():
        return name
    short = {str(read_yaml(_home() / f"{full}.yaml").get("short")): full for full in names()}
    if name not in short:
        known = [*names(), *(key for key in short if key != "None")]
        raise BadInput(f"no recipe named {name!r}{nearest(name, known)}")
    return short[name]


def _home() -> Path:
    return Path(str(files("quire") / "recipes"))
