"""Self-distillation: a model is taught by its own past (Xu et al. 2020, "Improving BERT Fine-Tuning via Self-Ensemble
and Self-Distillation", section 3).

sda, sdv         L = L_task + weight * MSE(logits of the student, logits of the teacher), without dropout in the teacher

The teacher's logits are those of the mean of the last K students' weights (sda), or the mean of their logits (sdv).
The newest of the K is the present student, as the last update left it: with K = 1 the teacher is the student itself
without dropout. `ema`, which others call SDA, is another algorithm: a teacher that moves towards the student by
1 - min(decay, (1 + t) / (10 + t)).
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.spec import Size
from quire.nn.bottleneck import WideScores
from quire.nn.heads import PositionScores, SequenceScores, SiameseScores, TokenScores, WordScores
from quire.nn.model import Step
from quire.nn.private import PrivateScores
from quire.objectives.base import Objective
from quire.tuning.past import PAST, Memory, Remembering, Weights, memory_of, wearing


class Teaching(Objective):
    """weight * MSE(logits of the student, logits of its past), over all heads that are asked; 0 before there is one."""

    votes: bool = False
    """Whether the logits of all that are remembered are averaged, not their weights."""

    def loss(self, step: Step) -> Tensor:
        slots, past = asked(step), memory_of(step.model)
        if not len(past):
            return nothing(step, slots)
        teachers = [*past.each()] if self.votes else [past.mean()]
        told = [logits_with(weights, step, slots) for weights in teachers]
        means = [torch.stack(of_slot).mean(dim=0) for of_slot in zip(*told, strict=True)]
        return torch.stack([F.mse_loss(step.logits(s), mean) for s, mean in zip(slots, means, strict=True)]).sum()


def asked(step: Step) -> list[str]:
    """The heads whose logits are compared: those that are called as the slot they answer in, and say p of a class.

    BadInput where one of them says something else, of which logits row by row are not the distribution.
    """
    heads = step.model.heads  # words of a gap are scored by what another head says of the vocabulary
    slots = [s for s in step.batch.asked if s in heads and not isinstance(heads[s], WordScores)]
    if not slots:
        raise BadInput("strategy: compares logits of labels, and nothing here has a head of that name; take `full`")
    for slot in slots:
        if told := _says_otherwise(step, slot):
            raise BadInput(
                f"strategy: sda, sdv, ema and smart compare a softmax over classes, and {slot!r} says {told}; "
                "take `full` or `self_ensemble`"
            )
    return slots


def _says_otherwise(step: Step, slot: str) -> str | None:
    """What a head says that is no softmax over its outputs, nor a number."""
    match step.model.heads[slot]:
        case SiameseScores():
            return "how two vectors go together"
        case PositionScores() if f"{slot}_chain" in step.model.heads:  # as `quire.paradigms.label` calls it
            return "a row of tags as a CRF"
        case PositionScores() if f"{slot}_ends" in step.batch.asked:  # as `quire.paradigms.edges` calls it
            return "where an answer begins and ends"
        case SequenceScores() | PrivateScores() | PositionScores() | TokenScores() | WideScores():
            return None
    return "something else"


def nothing(step: Step, slots: list[str]) -> Tensor:
    """0, with a gradient of 0."""
    return torch.stack([step.logits(slot).sum() * 0 for slot in slots]).sum()


def logits_with(weights: Weights, step: Step, slots: list[str]) -> list[Tensor]:
    """What the model would tell with these weights and without dropout; no gradient reaches them."""
    model, training = step.model, step.model.training
    with wearing(model, weights), torch.no_grad():
        view = step.view(step.batch)
        model.eval()
        logits = [view.logits(slot) for slot in slots]
    model.train(training)
    return logits


class Taught(Remembering):
    """A strategy with a teacher from the past."""

    home: ClassVar[str] = "quire.tuning"
    votes: ClassVar[bool] = False
    """Whether logits are averaged in place of weights."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """lambda; at 0 it is `over` itself."""

    def terms(self) -> tuple[Objective, ...]:
        teaching = (Teaching(weight=self.weight, slot=PAST, votes=self.votes),) if self.weight else ()
        return (*super().terms(), *teaching)


class Sda(Taught):
    """Self-distillation averaged: the teacher's weights are the mean of those of the last K students."""

    window: Size = 1
    """K, the present student among them. The paper tries 1 to one less than all updates; the memory holds K times the
    weights that learn."""

    @property
    def size(self) -> int:
        return self.window


class Sdv(Sda):
    """Self-distillation voted: the teacher's logits are the mean of those of the last K students, K more passes."""

    votes: ClassVar[bool] = True


class Ema(Taught):
    """The teacher moves towards the student by 1 - min(decay, (1 + t) / (10 + t)): not the paper's average."""

    decay: Annotated[float, Field(ge=0, lt=1)] = 0.995

    def remember(self, memory: Memory, weights: Weights, t: int) -> None:
        memory.drift(weights, stays=min(self.decay, (1 + t) / (10 + t)))
