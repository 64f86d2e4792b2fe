"""Adversarial training: what is learnt has to hold beside small changes of the embedded tokens, too.

fgm      L(x) + L(x + d),  d = size g / |g|, g the gradient at x (Miyato et al. 2017, section 3)
pgd      L(x) + L(x + d_K),  d_k+1 = P(d_k + rate g_k / |g_k|), P: |d| <= size (Madry et al. 2018, section 2)
freelb   mean over k < K of L(x + d_k), steps as of pgd from a start drawn at random; all passes have the same dropout
         (Zhu et al. 2020, algorithm 1)

Norms |.| are of all changes [L, E] of one sequence. Changed are the tokens as they are looked up, before positions are
added; the table, which heads are tied to, is not.

Legend: N positions, S sequences, L length of one, E width of the embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from quire.core.errors import BadInput
from quire.core.spec import Positive, Size
from quire.nn.model import Model, Packed
from quire.tuning.base import Over, Strategy


class Change:
    """What is added to the tokens of a batch, d [N, E], as they are looked up."""

    def __init__(self, model: Model, batch: Packed) -> None:
        if batch.target is not None and model.spec.decoder:
            raise BadInput("adversarial training changes one text, and here a decoder writes another; take `full`")
        table = model.table.weight
        self.model = model
        self.owner_N = torch.repeat_interleave(batch.lengths)  # the sequence of each position
        self.sizes_N1 = batch.lengths[self.owner_N, None] * table.shape[1]
        self.d_NE = table.new_zeros(len(batch.tokens), table.shape[1])

    @contextmanager
    def made(self) -> Iterator[Tensor]:
        """While it lasts, every look-up gets it; given is the leaf that gathers the gradient."""
        leaf_NE = self.d_NE.detach().requires_grad_()

        def add(_module: nn.Module, _inputs: Any, looked_NE: Tensor) -> Tensor:
            return looked_NE + leaf_NE

        handle = self.model.table.register_forward_hook(add)
        try:
            yield leaf_NE
        finally:
            handle.remove()

    def norm(self, x_NE: Tensor) -> Tensor:
        """|x| [N, 1] of the sequence that each position is of; never 0, so that one may divide by it."""
        squares_S = x_NE.new_zeros(int(self.owner_N[-1]) + 1).index_add_(0, self.owner_N, x_NE.square().sum(dim=1))
        return squares_S.sqrt().clamp(min=torch.finfo(x_NE.dtype).tiny)[self.owner_N, None]

    def climb(self, gradient_NE: Tensor, *, rate: float, size: float) -> None:
        """Go `rate` in the direction of the gradient, and back to `size` where that is further away."""
        moved_NE = self.d_NE + rate * gradient_NE / self.norm(gradient_NE)
        self.d_NE = moved_NE * (size / self.norm(moved_NE)).clamp(max=1)

    def draw(self, size: float) -> None:
        """Uniform within +- size / sqrt(L E)."""
        self.d_NE = torch.empty_like(self.d_NE).uniform_(-1, 1) * size / self.sizes_N1.sqrt()


def drawn_seed() -> int:
    """What a pass is seeded with so that another can have the same dropout, on whatever device it is drawn."""
    return int(torch.randint(2**62, ()))


class Attacking(Over):
    """A strategy that makes the gradients of its own passes, so that those of another cannot stand below it."""

    home: ClassVar[str] = "quire.tuning"

    def prepare(self, model: Model) -> Model:
        inner: Strategy = self
        while isinstance(inner, Over):
            inner = inner.over
            if type(inner).backward not in (Strategy.backward, Over.backward):
                raise BadInput(
                    f"strategy.{self.name()}: stands over {inner.name()}, whose passes its own would take the place "
                    "of; take one of them"
                )
        return super().prepare(model)


class Fgm(Attacking):
    """One step of a given size, and the gradients of both passes."""

    size: Positive = 1.0

    def backward(self, model: Model, batch: Packed, loss: Callable[[], Tensor]) -> None:
        self.attacked(Change(model, batch), loss, steps=1, rate=self.size, size=self.size)

    def attacked(self, change: Change, loss: Callable[[], Tensor], *, steps: int, rate: float, size: float) -> None:
        """The gradients of the clean pass and of that after the last step; those on the way are not learnt from."""
        for step in range(steps + 1):
            learns = step in (0, steps)
            with change.made() as leaf:
                total = loss()
                if learns:
                    total.backward()  # type: ignore[no-untyped-call]
                    gradient = leaf.grad
                else:
                    (gradient,) = torch.autograd.grad(total, leaf)
            assert gradient is not None
            if step < steps:
                change.climb(gradient, rate=rate, size=size)


class Pgd(Fgm):
    """Several steps within a ball, and the gradients of the clean pass and of the last."""

    steps: Size = 3
    rate: Positive = 0.3

    def backward(self, model: Model, batch: Packed, loss: Callable[[], Tensor]) -> None:
        self.attacked(Change(model, batch), loss, steps=self.steps, rate=self.rate, size=self.size)


class Freelb(Attacking):
    """The gradients of all steps, each for its share; the defaults are the release's for SST-2, with a ball about them.

    The clean text is never seen, unless `start` is 0.
    """

    steps: Size = 2
    rate: Positive = 0.1
    size: Positive = 1.0
    start: Annotated[float, Field(ge=0)] = 0.6

    def backward(self, model: Model, batch: Packed, loss: Callable[[], Tensor]) -> None:
        change = Change(model, batch)
        if self.start:
            change.draw(self.start)
        seed = drawn_seed()
        for step in range(self.steps):
            torch.manual_seed(seed)
            with change.made() as leaf:
                (loss() / self.steps).backward()  # type: ignore[no-untyped-call]
            assert leaf.grad is not None
            if step < self.steps - 1:
                change.climb(leaf.grad, rate=self.rate, size=self.size)
