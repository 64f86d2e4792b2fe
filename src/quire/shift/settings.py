"""What a comparison of paradigms was asked to do: written to the run folder, so that the same command goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from quire.adapt.rates import Rates, tried
from quire.adapt.settings import Budget
from quire.core.answers import Task
from quire.core.config import Settings, parse
from quire.core.errors import BadInput
from quire.core.results import Measure
from quire.core.spec import Size
from quire.finetune.course import How
from quire.paradigms.shift import Form, forms_of, named
from quire.text.asked import FileLayout

LEAST = 100
"""Updates at least, however few the labels are."""


class ShiftSettings(Settings):
    """Everything that decides the outcome."""

    title: str = ""
    train: str
    dev: str | None = None
    test: str | None = None
    layout: FileLayout
    held_out: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    base: str = "minilm"
    paradigms: Annotated[Mapping[str, Form], Field(min_length=2)]
    """By the name that the person gave."""
    how: How
    rates: Rates
    """Learning rates to choose from on dev, with the first seed; without, all have that of `how`."""
    budget: Budget | None = None
    """Of each arm and seed, in updates or tokens; without, epochs of the problems, and so as many updates for all."""
    few: tuple[Size | None, ...] = (None,)
    """Labels a class, or problems where there are no classes; None for all of them."""
    seeds: Annotated[int, Field(gt=0, le=50)] = 3
    seed: int = 0
    metric: Measure = "accuracy"

    def learnt(self, name: str) -> How:
        """How a paradigm is learnt: as all are, but for what it says itself."""
        plain = self.how.model_dump(mode="json")
        return parse(How, {**plain, **self.paradigms[name].how}, where=f"paradigm {name}: how")

    def tried(self, name: str) -> tuple[float, ...]:
        """The rates that a paradigm is tried with."""
        return tried(self.rates, name, default=self.how.train.lr)


def chosen(names: Sequence[str], task: Task) -> dict[str, Form]:
    """Paradigms by the survey's name, the component's own, or a YAML file; BadInput for fewer than two."""
    found: dict[str, Form] = {}
    for given in names:
        form = named(given, task)
        name = Path(given).stem if given.endswith((".yaml", ".yml")) else given
        if name in found:
            raise BadInput(f"--paradigms: {name!r} stands there twice; give each once")
        found[name] = form
    if len(found) < 2:
        raise BadInput(f"--paradigms: give two or more to compare; a {task} can be {', '.join(forms_of(task))}")
    return found
