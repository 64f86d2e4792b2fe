"""What a paradigm is: fine-tuning is an objective that can also answer, so one loop serves both.

A paradigm is a form that a task is put into (survey: seven paradigms). What it asks of a model may look nothing like
the task, a question for each label or a row of tags; what it answers is always the task's own structure.

Legend: S sequences, C labels.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from quire.core.answers import Answer, Item, Kind
from quire.core.example import Example, World
from quire.nn.model import Step
from quire.objectives.base import Objective

Said: TypeAlias = npt.NDArray[np.float32]
"""What a model says of one example, in a paradigm's own terms."""


def in_order(step: Step, rows_SX: Tensor) -> list[Said]:
    """A row for each sequence of the step, in the order the examples came in."""
    rows = rows_SX.detach().float().cpu().numpy()
    return [rows[place] for place in np.argsort(step.batch.order)]


def certain(label: int, count: int) -> Said:
    """All probability [C] on one label."""
    row: Said = np.zeros(count, dtype=np.float32)
    row[label] = 1
    return row


class Paradigm(Objective):
    """`decode(item, [gold(e) for e in format(item, x)]) == x`, or `format` raises Inexpressible."""

    home: ClassVar[str] = "quire.paradigms"
    answers: ClassVar[Kind]
    """The structure of its answers."""

    labels: tuple[str, ...]
    """The names that its answers are made of: classes, kinds of spans, relations."""

    @abstractmethod
    def format(self, item: Item, answer: Answer | None, world: World) -> Sequence[Example]:
        """The item as one example or several; without an answer nothing else is missing.

        Raises Inexpressible for an answer that this form cannot hold.
        """

    @property
    def outputs(self) -> tuple[str, ...] | None:
        """What the outputs of its head are called in a model folder, where they have names."""
        return None

    def room(self, item: Item, world: World) -> int:
        """Tokens that the texts of an item may have together, where they are cut: special ones and its own aside."""
        return world.length - 1 - len(item.passages)

    @abstractmethod
    def gold(self, example: Example) -> Said:
        """What a perfect model says of an example that has its answer."""

    @abstractmethod
    def says(self, step: Step) -> Sequence[Said]:
        """What the model says of each sequence of the step, in the order the examples came in."""

    def tuned(self, known: Sequence[tuple[Item, Answer | None, Sequence[Said]]], world: World) -> Self:
        """The same with what it chooses on dev, from items, their answers and what was said of them: nothing here."""
        return self

    @abstractmethod
    def decode(self, item: Item, said: Sequence[Said], world: World) -> Answer:
        """The answer, from what is said of the examples that `format` makes of this item."""


class Labelling(Paradigm):
    """A paradigm whose answer is one of its labels."""

    answers: ClassVar[Kind] = "label"

    @abstractmethod
    def probabilities(self, said: Sequence[Said]) -> Said:
        """[C], which sum to 1, from what is said of the examples of one item."""

    def decode(self, item: Item, said: Sequence[Said], world: World) -> str:
        return self.labels[int(np.argmax(self.probabilities(said)))]
