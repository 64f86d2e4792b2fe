"""What a paradigm is: fine-tuning is an objective that can also answer, so one loop serves both."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from quire.core.example import Example, Passage, World
from quire.nn.model import Step
from quire.objectives.base import Objective


class Paradigm(Objective):
    """`decode(gold(format(x))) == x`, or it says that x cannot be expressed."""

    home: ClassVar[str] = "quire.paradigms"

    @abstractmethod
    def format(self, passages: Sequence[Passage], label: str | None, world: World) -> Example:
        """One record, encoded, as an example; without a label nothing but the answer is missing."""

    @abstractmethod
    def gold(self, example: Example) -> str:
        """The label that `format` wrote into the example."""

    @abstractmethod
    def decode(self, step: Step) -> Tensor:
        """Probabilities [S, C] for the sequences of the step, in the order the examples came in."""
