"""A model and its own past: what is remembered, and self-ensemble (Xu et al. 2020, "Improving BERT Fine-Tuning via
Self-Ensemble and Self-Distillation", section 3).

self_ensemble    kept is the mean of the weights of all updates

What is remembered stands in the model, so that a checkpoint holds it, and is left out of what is kept. Who learns from
it is in `quire.tuning.distil` and `quire.tuning.smart`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import ClassVar

import torch
from torch import Tensor, nn

from quire.core.errors import BadInput
from quire.nn.model import Model
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


def memory_of(model: nn.Module) -> Memory:
    """What `Remembering.prepare` put into the model."""
    memory = model.get_submodule(PAST)
    assert isinstance(memory, Memory)
    return memory
