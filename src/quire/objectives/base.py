"""What an objective is."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from quire.core.catalogue import Component
from quire.core.example import Example, World
from quire.core.random import Rng
from quire.core.spec import Backbone, HeadSpec
from quire.nn.model import Step


class Objective(Component):
    """A frozen record of settings with three methods; objectives of one run are joined with their weights."""

    home: ClassVar[str] = "quire.objectives"
    weight: Annotated[float, Field(gt=0)] = 1.0

    @property
    def slot(self) -> str:
        """Where its answers and its head stand, by default under its own name."""
        return self.name()

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        """Damage and ask: pure, numpy, before the model is known. By default the example as it is."""
        return example

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        """The heads it needs, by name, as data; two objectives may share a name only with equal specs."""
        return {}

    @abstractmethod
    def loss(self, step: Step) -> Tensor:
        """A scalar with a gradient, the mean over its answers; 0 when nothing was asked, never NaN."""
