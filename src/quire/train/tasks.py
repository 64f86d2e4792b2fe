"""Several tasks on one backbone: every update is of one of them.

So a loss is a mean over the answers of one task, as in Liu et al. 2016 and PALs. Were the tasks of a batch mixed, each
would have its own mean there, and the law of sampling would change how noisy a task's gradient is, not how much it
weighs. What an update does not touch has no gradient and stays as it is, bit for bit: neither decay nor momentum.

Legend: K tasks, T updates.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Ints, World
from quire.core.random import seed_of
from quire.objectives import Objective
from quire.train.feed import Examples, Feed
from quire.train.sampling import Sampling, turns


@dataclass(frozen=True)
class Task:
    """Examples, and what is asked of them: a paradigm for labelled ones, or any objective for text."""

    name: str
    examples: Examples
    objectives: tuple[Objective, ...]


@dataclass(frozen=True)
class Tasks:
    """Tasks that take turns; as `Examples`, those of one task after those of another.

    BadInput where there are fewer than two tasks, or two of one name.
    """

    members: tuple[Task, ...]
    sampling: Sampling

    def __post_init__(self) -> None:
        names = [task.name for task in self.members]
        if len(names) < 2:
            raise BadInput(f"tasks: {len(names)} given; sharing needs two or more")
        if twice := [name for name in names if names.count(name) > 1]:
            raise BadInput(f"tasks: two are called {twice[0]!r}; rename one")

    def __len__(self) -> int:
        return sum(len(task.examples) for task in self.members)

    def example(self, index: int, *, epoch: int) -> Example:
        for task in self.members:
            if index < len(task.examples):
                return task.examples.example(index, epoch=epoch)
            index -= len(task.examples)
        raise IndexError(f"example {index + len(self)} of {len(self)}")

    @property
    def fingerprint(self) -> str:
        parts = [[task.name, task.examples.fingerprint, *(o.slot for o in task.objectives)] for task in self.members]
        return json.dumps([self.sampling.model_dump(mode="json"), *parts])

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Of all tasks."""
        return tuple(objective for task in self.members for objective in task.objectives)

    def turns(self, world: World, *, batch: int, steps: int, seed: int) -> "Turns":
        """Their batches in a run of so many updates; each task's own are drawn from its name."""
        feeds = [
            Feed(task.examples, task.objectives, world, batch=batch, seed=seed_of(seed, "task", task.name))
            for task in self.members
        ]
        sizes = [len(task.examples) for task in self.members]
        return Turns(feeds, turns(sizes, self.sampling, steps=steps, seed=seed))


class Turns:
    """Batches by update, as `Feed` gives them: a pure function of (tasks, seed, number of updates, step)."""

    def __init__(self, feeds: Sequence[Feed], order_T: Ints) -> None:
        self.feeds, self.order = feeds, order_T
        self.before = np.empty_like(order_T)  # [T] updates that the task has had before
        for task in range(len(feeds)):
            own = order_T == task
            self.before[own] = np.arange(np.count_nonzero(own))

    def at(self, step: int, *, parts: int = 1) -> list[Batch]:
        """The batch of the task whose turn it is, in `parts` near-equal micro-batches."""
        return self._feed(step).at(int(self.before[step]), parts=parts)

    def asking(self, step: int) -> Sequence[Objective]:
        """The objectives of that task."""
        return self._feed(step).objectives

    def _feed(self, step: int) -> Feed:
        return self.feeds[int(self.order[step])]

    def rehearse(self) -> None:
        """Make the first batch of every task."""
        for feed in self.feeds:
            feed.rehearse()
