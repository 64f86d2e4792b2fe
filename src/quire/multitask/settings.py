"""What a comparison of ways to share was asked to do: written to the run folder, so that the same command goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self, TypeAlias, get_args

from pydantic import model_validator

from quire.adapt.settings import AdaptSettings, Budget, Inputs, Trials
from quire.core.errors import BadInput, nearest
from quire.recipe import Recipe, load

Way: TypeAlias = Literal["single", "joint", "lm", "finetune"]
WAYS: tuple[Way, ...] = get_args(Way)
TITLES: Mapping[Way, str] = {
    "single": "Single task",
    "joint": "Joint",
    "lm": "Joint + LM",
    "finetune": "Joint + fine-tuning",
}
HOW: Mapping[Way, str] = {
    "single": "A network for each task, which sees no other.",
    "joint": "One network; its tasks take turns.",
    "lm": "The shared part is pre-trained on the training texts of all tasks, then as joint.",
    "finetune": "From the joint network, each task goes on alone with a copy.",
}


class SharingSettings(Trials):
    """Everything that decides the outcome."""

    tasks: Mapping[str, Inputs]
    """By the name that the person gave."""
    arms: Mapping[str, Recipe]
    ways: tuple[Way, ...]
    budget: Budget
    """Of pre-training, for each arm and seed, where a way has it."""

    @model_validator(mode="after")
    def _can_be_shared(self) -> Self:
        if len(self.tasks) < 2:
            raise ValueError(f"{len(self.tasks)} task given; sharing needs two or more: repeat --task NAME=FILES")
        if not self.arms:
            raise ValueError("give at least one arm, for instance --arms liu2016-model3")
        if self.budget.unit not in ("tokens", "steps"):
            raise ValueError(f"budget: ways to share count tokens or steps of pre-training, not {self.budget.unit}")
        return self

    def jobs(self) -> dict[str, AdaptSettings]:
        """The same as settings of one job on each task, by the first recipe."""
        recipe = next(iter(self.arms.values()))
        return {name: self.model_copy(update={"title": name}).job(files, recipe) for name, files in self.tasks.items()}


def ways_of(text: str) -> tuple[Way, ...]:
    """`single,joint,lm,finetune`, or some of them, in this order; BadInput for another."""
    given = [part.strip() for part in text.split(",") if part.strip()]
    for part in given:
        if part not in WAYS:
            raise BadInput(f"--sharing: no way called {part!r}{nearest(part, WAYS)}")
    if not given:
        raise BadInput(f"--sharing: give one or more of {', '.join(WAYS)}")
    return tuple(way for way in WAYS if way in given)


def tasks_of(texts: Sequence[str], *, text_column: str, label_column: str) -> dict[str, Inputs]:
    """`NAME=TRAIN[,DEV[,TEST]]` each: a file that is left out is drawn from the one before it, TRAIN."""
    tasks: dict[str, Inputs] = {}
    for text in texts:
        name, equals, files = text.partition("=")
        parts = files.split(",")
        if not equals or not name.replace("-", "").replace("_", "").isalnum() or len(parts) > 3 or not all(parts):
            raise BadInput(f"--task {text}: expected NAME=TRAIN,DEV,TEST, for instance sst2=train.csv,dev.csv,test.csv")
        if name in tasks:
            raise BadInput(f"--task: two are called {name!r}; rename one")
        columns = {"text_column": text_column, "label_column": label_column}
        tasks[name] = Inputs(**dict(zip(("train", "dev", "test"), parts, strict=False)), **columns)
    return tasks


def chosen(names: Sequence[str], *, changes: Sequence[str]) -> dict[str, Recipe]:
    """The recipes of these arms at their own size, by a name fit for a folder."""
    arms: dict[str, Recipe] = {}
    for given in names:
        name = Path(given).stem if given.endswith((".yaml", ".yml")) else given
        if name in arms:
            raise BadInput(f"--arms: {name!r} stands there twice; give each arm once")
        arms[name] = load(given, changes=list(changes))
        if arms[name].finetune is None:
            raise BadInput(f"--arms {given}: the recipe has no `finetune` section, which says how labels are learnt")
    return arms
