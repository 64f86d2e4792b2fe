"""A number for a text or a pair: y = low + (high - low) * head(state of [CLS], or of all) (STS-B in GLUE's baselines;
Devlin et al. 2019, 4.1).

L = mean of (head - (y - low) / (high - low))^2

Legend: S sequences, M asked positions.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor

from quire.core.answers import Answer, Item, Kind
from quire.core.errors import BadInput
from quire.core.example import Example, World
from quire.core.heads import HeadSpec, SequenceHead
from quire.core.spec import Backbone, Pool, Rate
from quire.nn.model import Step
from quire.paradigms.base import Paradigm, Said, in_order


class Regress(Paradigm):
    """One number from `low` to `high`; what a model says beyond them is drawn back to them.

    Between them and 0 to 1 numbers go to and fro for the loss alone, so that rates suit every range.
    """

    answers: ClassVar[Kind] = "number"
    labels: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    dropout: Rate = 0.1
    pool: Pool | Literal["auto"] = "auto"
    """What is made of a text's states: `auto` leaves it to the body."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Of the pooler."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        return self

    def format(self, item: Item, answer: Answer | None, world: World) -> tuple[Example]:
        example = Example.of(world.vocab, *item.passages)
        if answer is None:
            return (example,)
        assert isinstance(answer, float)
        if not self.low <= answer <= self.high:
            raise BadInput(f"the answer {answer:g} is not between {self.low:g} and {self.high:g}; set low and high")
        return (example.label(self.slot, as_bits(answer)),)

    def gold(self, example: Example) -> Said:
        return np.array([example.answers[self.slot][0]], dtype=np.int32).view(np.float32)

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        pool = backbone.pool if self.pool == "auto" else self.pool
        return {self.slot: SequenceHead(outputs=1, dropout=self.dropout, pool=pool, activation=self.activation)}

    def loss(self, step: Step) -> Tensor:
        scores_M, answers_M = step.logits(self.slot).squeeze(-1).float(), step.answers(self.slot)
        if not len(answers_M):
            return scores_M.sum()
        truth_M = answers_M.to(torch.int32).view(torch.float32)
        return F.mse_loss(scores_M, (truth_M - self.low) / (self.high - self.low))

    def says(self, step: Step) -> list[Said]:
        """[1] each: the number."""
        scores_S1 = step.scores(self.slot, step.batch.first).float().clamp(0, 1)
        return in_order(step, self.low + (self.high - self.low) * scores_S1)

    def decode(self, item: Item, said: Sequence[Said], world: World) -> float:
        ((number,),) = said
        return float(number)


def as_bits(number: float) -> int:
    """A number among the whole ones that answers are: the bits of its float32. Those of IGNORE are no number's."""
    return int(np.float32(number).view(np.int32))
