"""A model and its own past: self-ensemble, and self-distillation from averages or votes (Xu et al. 2020, "Improving
BERT Fine-Tuning via Self-Ensemble and Self-Distillation", section 3).

self_ensemble    kept is the mean of the weights of all updates
sda, sdv         L = L_task + weight * MSE(logits of the student, logits of the teacher), without dropout in the teacher

The teacher's logits are those of the mean of the last K students' weights (sda), or the mean of their logits (sdv).
The newest of the K is the present student, as the last update left it: with K = 1 the teacher is the student itself
without dropout. `ema`, which others call SDA, is another algorithm: a teacher that moves towards the student by
1 - min(decay, (1 + t) / (10 + t)).

What is remembered stands in the model, so that a checkpoint holds it, and is left out of what is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from quire.core.errors import BadInput
from quire.core.spec import Size
from quire.nn.bottleneck import WideScores
from quire.nn.heads import PositionScores, SequenceScores, SiameseScores, TokenScores, WordScores
from quire.nn.model import Model, Step
from quire.nn.private import PrivateScores
from quire.objectives.base import Objective
from quire.tuning.base import Over

PAST = "past"
"""What the memory is called in a model."""
Weights = Mapping[str, Tensor]


class Memory(nn.Module):
    """Weights of former students in a ring [K, ...] of each parameter that learns, and how many there are."""

    count: Tensor

    def __init__(self, model: nn.Module, size: int) -> None:
        super().__init__()
        learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.names = [*learning]
        for i, parameter in enumerate(learning.values()):
            self.register_buffer(f"ring_{i}", parameter.detach().new_zeros(size, *parameter.shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.size = size
        self._mean: tuple[int, Weights] = (-1, {})  # the last that was asked for, by `count`

    def rings(self) -> Iterator[tuple[str, Tensor]]:
        """[K, ...] by the parameter's name."""
        return ((name, self.get_buffer(f"ring_{i}")) for i, name in enumerate(self.names))

    def __len__(self) -> int:
        return min(int(self.count), self.size)

    def add(self, weights: Weights) -> None:
        """Remember a student in the place of the oldest."""
        place = int(self.count) % self.size
        for name, ring in self.rings():
            ring[place] = weights[name]
        self.count += 1

    def drift(self, weights: Weights, *, stays: float) -> None:
        """Move the only one that is remembered by 1 - `stays` towards these; the first is taken as it is."""
        if not len(self):
            self.add(weights)
            return
        for name, ring in self.rings():
            ring[0].lerp_(weights[name], 1 - stays)

    def mean(self) -> Weights:
        """Of all that are remembered; the only one is given itself, not a copy."""
        if len(self) == 1:
            return next(self.each())
        count = int(self.count)
        if self._mean[0] != count:  # micro-batches of an update ask for the same
            self._mean = count, {name: ring[: len(self)].mean(dim=0) for name, ring in self.rings()}
        return self._mean[1]

    def each(self) -> Iterator[dict[str, Tensor]]:
        """One after another."""
        return ({name: ring[k] for name, ring in self.rings()} for k in range(len(self)))


@contextmanager
def wearing(model: nn.Module, weights: Weights) -> Iterator[None]:
    """While it lasts, the model has these weights; afterwards its own, which no gradient notices."""
    parameters = dict(model.named_parameters())
    own = {name: parameters[name].data for name in weights}
    try:
        _put(parameters, weights)
        yield
    finally:
        _put(parameters, own)


def _put(parameters: Mapping[str, nn.Parameter], weights: Weights) -> None:
    for name, value in weights.items():
        parameters[name].data = value
    torch.clear_autocast_cache()  # it keeps its copies by tensor, and would give those of the weights before


class Remembering(Over):
    """A strategy with a memory in the model."""

    home: ClassVar[str] = "quire.tuning"

    @property
    def size(self) -> int:
        """Students that are remembered."""
        return 1

    def prepare(self, model: Model) -> Model:
        prepared = super().prepare(model)
        if PAST in prepared._modules:
            raise BadInput(
                f"strategy.{self.name()}: stands over another that remembers; a model has one memory, take one"
            )
        prepared.add_module(PAST, Memory(prepared, self.size))
        return prepared

    def after_step(self, model: Model, t: int) -> None:
        super().after_step(model, t)
        with torch.no_grad():
            self.remember(memory_of(model), dict(model.named_parameters()), t)

    def remember(self, memory: Memory, weights: Weights, t: int) -> None:
        """What update `t` leaves in the memory."""
        memory.add(weights)

    def finish(self, model: Model) -> None:
        del model._modules[PAST]
        super().finish(model)


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


class SelfEnsemble(Remembering):
    """What is kept is the mean of the weights after all updates; learnt is as `over` learns."""

    def remember(self, memory: Memory, weights: Weights, t: int) -> None:
        memory.count.fill_(1)
        for name, ring in memory.rings():
            ring[0].lerp_(weights[name], 1 / (t + 1))

    @contextmanager
    def kept(self, model: Model) -> Iterator[None]:
        memory = memory_of(model)
        with wearing(model, memory.mean()) if len(memory) else nullcontext(), super().kept(model):
            yield

    def finish(self, model: Model) -> None:
        memory = memory_of(model)
        with torch.no_grad():
            for name, mean in memory.mean().items():
                model.get_parameter(name).copy_(mean)
        super().finish(model)


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


def memory_of(model: nn.Module) -> Memory:
    """What `Remembering.prepare` put into the model."""
    memory = model.get_submodule(PAST)
    assert isinstance(memory, Memory)
    return memory
