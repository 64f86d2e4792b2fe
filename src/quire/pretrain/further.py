"""Tasks of a recipe beside its text, each from a file of the person's; see `quire.paradigms.plans`.

When training has ended each is left as a model of its own, which `quire predict` and `quire evaluate` open.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from quire.core.errors import BadInput, nearest
from quire.core.search import Search
from quire.nn.model import Model
from quire.paradigms.classify import Classify
from quire.paradigms.plans import LabelledPlan, PairsPlan
from quire.predict.encode import encode
from quire.predict.network import Network
from quire.predict.writer import Writer, Writing, task_to_learn
from quire.recipe import Recipe
from quire.text.pairs import TextPair, read_pairs
from quire.text.records import Record, check_labels, read_records
from quire.text.rows import sha256
from quire.text.tokenizers import Tokenizer
from quire.train.feed import Fixed
from quire.train.start import alone
from quire.train.tasks import Task
from quire.train.weights import ModelFiles, standing


@dataclass(frozen=True)
class Further(ABC):
    """A task's name and file, and the recipe that it belongs to."""

    name: str
    path: Path
    recipe: Recipe

    @property
    def slot(self) -> str:
        """Where its answers stand, and the head of a classifier."""
        return f"task_{self.name}"

    def fingerprint(self, tokenizer: Tokenizer) -> str:
        """Of its examples."""
        data = self.recipe.data
        return f"{sha256(self.path)}/{tokenizer.fingerprint}/{data.length}/{data.cut}"

    @property
    @abstractmethod
    def texts(self) -> Sequence[str]:
        """All that is read and written, for a tokenizer to learn from."""

    @abstractmethod
    def task(self, files: ModelFiles, tokenizer: Tokenizer) -> Task:
        """Its examples and what is asked of them, beside the heads of `files`."""

    @abstractmethod
    def save(self, model: Model, tokenizer: Tokenizer, folder: Path, *, card: str) -> None:
        """Leave what has learnt the task as a model folder of its own."""


@dataclass(frozen=True)
class Labelled(Further):
    """Texts with a label each."""

    plan: LabelledPlan

    @cached_property
    def records(self) -> list[Record]:
        """The rows of the file."""
        return read_records(self.path, text_column=self.plan.text_column, label_column=self.plan.label_column)

    @property
    def texts(self) -> Sequence[str]:
        return [record.text for record in self.records]

    def ask(self, *, slot: str) -> Classify:
        """What is asked, by the name of its head."""
        labels, how = check_labels(self.records), self.recipe.finetune
        return how.classify(labels, slot=slot) if how else Classify(labels=labels, slot=slot)

    def task(self, files: ModelFiles, tokenizer: Tokenizer) -> Task:
        """Its texts, each with its label."""
        ask, data = self.ask(slot=self.slot), self.recipe.data
        labels = [record.label or "" for record in self.records]
        examples = encode(ask, tokenizer, self.texts, length=data.length, how=data.cut, labels=labels)
        return Task(self.name, Fixed(examples, self.fingerprint(tokenizer)), (ask,))

    def save(self, model: Model, tokenizer: Tokenizer, folder: Path, *, card: str) -> None:
        backbone, heads, state = standing(model)
        ask, data = self.ask(slot="classify"), self.recipe.data
        own = alone(backbone, heads[self.slot], state, slot=self.slot, name=ask.slot)
        Network(own, ask, tokenizer, length=data.length, how=data.cut).save(folder, card=card)


@dataclass(frozen=True)
class Pairs(Further):
    """Texts, and what is to be written for each."""

    plan: PairsPlan

    @cached_property
    def pairs(self) -> list[TextPair]:
        """The rows of the file."""
        columns = {"source_column": self.plan.source_column, "target_column": self.plan.target_column}
        return read_pairs(self.path, **columns)

    @property
    def texts(self) -> Sequence[str]:
        return [self.plan.prompt, *(text for pair in self.pairs for text in (pair.source, pair.target))]

    def writing(self, files: ModelFiles) -> Writing:
        """How it is written, with the head of pre-training that writes, if there is one."""
        task = task_to_learn(files, where="", smoothing=self.plan.smoothing).model_copy(update={"slot": self.slot})
        positions = files.backbone.positions if task.by == "decoder" else files.backbone.positions // 2
        length = min(self.recipe.data.length, positions)
        search = Search(limit=length - 1)
        assert self.recipe.data.cut != "windows"  # Recipe checks it
        return Writing(task=task, length=length, cut=self.recipe.data.cut, search=search, prompt=self.plan.prompt)

    def task(self, files: ModelFiles, tokenizer: Tokenizer) -> Task:
        """Its sources, each with its target."""
        writing = self.writing(files)
        examples = writing.examples(self.pairs, tokenizer)
        return Task(self.name, Fixed(examples, self.fingerprint(tokenizer)), (writing.task,))

    def save(self, model: Model, tokenizer: Tokenizer, folder: Path, *, card: str) -> None:
        backbone, heads, state = standing(model)
        writing = self.writing(ModelFiles(backbone, heads, {}))
        head = writing.task.head
        own = alone(backbone, heads[head], state, slot=head, name=head)
        Writer(own, tokenizer, writing).save(folder, card=card)


def further_tasks(recipe: Recipe, given: Mapping[str, Path]) -> tuple[Further, ...]:
    """The recipe's tasks with the files that the person names; BadInput where names do not match."""
    for name in given:
        if name not in recipe.tasks:
            known = nearest(name, recipe.tasks) if recipe.tasks else "; it has none: write them under `tasks`"
            raise BadInput(f"--task {name}: the recipe has no such task{known}")
    if missing := [name for name in recipe.tasks if name not in given]:
        raise BadInput(f"tasks.{missing[0]}: no file is given; add --task {missing[0]}=FILE")
    found: list[Further] = []
    for name, plan in recipe.tasks.items():
        if isinstance(plan, LabelledPlan):
            found.append(Labelled(name, given[name], recipe, plan))
        else:
            found.append(Pairs(name, given[name], recipe, plan))
    return tuple(found)


def files_of(given: Sequence[str]) -> dict[str, Path]:
    """`NAME=FILE` each."""
    files: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise BadInput(f"--task {text}: expected NAME=FILE, for instance sentiment=reviews.csv")
        if name in files:
            raise BadInput(f"--task: {name!r} is given twice; a task has one file")
        files[name] = Path(path)
    return files
