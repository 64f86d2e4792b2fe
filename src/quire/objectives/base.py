"""What an objective is."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator
from torch import Tensor

from quire.core.catalogue import Component
from quire.core.example import Example, World
from quire.core.heads import HeadSpec
from quire.core.random import Rng
from quire.core.spec import Backbone
from quire.nn.model import Step


class Objective(Component):
    """A frozen record of settings with a few methods; objectives of one run are joined with their weights."""

    home: ClassVar[str] = "quire.objectives"
    alone: ClassVar[bool] = False
    """Whether it writes texts anew, so that no other objective can ask about the same ones."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    slot: str = ""
    """Where its answers stand, by default under its own name; two of a kind need two slots."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        return {"slot": cls.name(), **data} if isinstance(data, Mapping) else data

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        """The heads, or further bodies, that it needs, by name, as data.

        Two objectives may share a name only with equal specs. Raises BadInput where it cannot work on this backbone
        or this corpus; the message says what to do, the caller adds the path.
        """
        return {}

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        """Damage and ask: pure, numpy, before the model is known. By default the example as it is."""
        return example

    @abstractmethod
    def loss(self, step: Step) -> Tensor:
        """A scalar with a gradient, the mean over its answers; 0 when nothing was asked, never NaN."""

    def health(self, step: Step) -> Mapping[str, float]:
        """Figures of a trained model on a batch that tell whether it has learnt anything, by name; see `quire.compare`.

        Understood are `accuracy`, `top_share` (share of the most frequent prediction), `entropy` (nats of a mean
        prediction) and what an objective adds of its own, named in its docstring.
        """
        return {}
