"""What objectives have in common whose answers a decoder writes.

L = - mean over target tokens of log p(y_t | source, y_1, ..., y_{t-1}), with label smoothing
"""

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor

from quire.core.example import World
from quire.core.heads import HeadSpec
from quire.core.spec import Backbone, Rate
from quire.nn.losses import cross_entropy, token_health
from quire.nn.model import Step
from quire.objectives.base import Objective


class Writes(Objective):
    """Answers stand in the target beside a text; or in the text itself, where nothing is written beside it."""

    head: str = "write"
    smoothing: Rate = 0.0
    """The share of probability that is asked of all tokens alike (Vaswani et al. 2017, section 5.4: 0.1)."""

    @abstractmethod
    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]: ...

    def loss(self, step: Step) -> Tensor:
        side = self.side(step)
        return cross_entropy(side.lazy(self.slot, head=self.head), side.answers(self.slot), smoothing=self.smoothing)

    def health(self, step: Step) -> Mapping[str, float]:
        side = self.side(step)
        return token_health(side.logits(self.slot, head=self.head), side.answers(self.slot))

    def side(self, step: Step) -> Step:
        """Where the answers stand."""
        return step if step.batch.target is None else step.target
