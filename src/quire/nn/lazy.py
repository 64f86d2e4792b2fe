"""Scores over a vocabulary as a product that is not yet taken, and the cross entropy of it that never takes it whole.

Legend: M asked positions, R of them at a time, V vocabulary, E width of the embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from quire.nn.tables import Multiplies, against

ROOM = 1 << 25
"""Scores that exist at a time: 134 MB of them."""
CACHED = 1 << 19
"""Scores that a core keeps near it, between the passes of a softmax."""


@dataclass(frozen=True)
class LazyScores:
    """x_ME times the vectors of a table, plus a bias: what a head over the vocabulary ends with."""

    x_ME: Tensor
    table: nn.Module | Tensor
    bias_V: Tensor | None

    def scores(self) -> Tensor:
        """[M, V]."""
        return against(self.x_ME, self.table, self.bias_V)

    @property
    def differentiable(self) -> bool:
        """Whether the table is a matrix."""
        return not isinstance(self.table, Multiplies)

    def cross_entropy(self, answers_M: Tensor, *, smoothing: float) -> Tensor:
        """Mean of -log softmax(scores)[answer], M > 0; the gradient is worked out beside it, `ROOM` scores at a time.

        So memory does not grow with M, and scores are still in the cache when their gradient is made (with 30,522
        tokens, 614 positions and one thread it takes 0.8 of the time of a product, a softmax and their gradients).
        """
        table_VE = self.table if isinstance(self.table, Tensor) else self.table.weight
        assert isinstance(table_VE, Tensor)
        parts = [self.x_ME, table_VE, self.bias_V]
        if not torch.is_grad_enabled():  # which a Function is not told
            parts = [None if part is None else part.detach() for part in parts]
        found: Tensor = _CrossEntropy.apply(*parts, answers_M, smoothing)  # type: ignore[no-untyped-call]
        return found


@runtime_checkable
class Lazy(Protocol):
    """A head over the vocabulary."""

    def lazily(self, x_MW: Tensor, tokens: nn.Embedding) -> LazyScores:
        """The scores of states [M, W]."""


class _CrossEntropy(torch.autograd.Function):
    """Where a gradient is wanted it is kept from forward on: with p = softmax(scores) and y the smoothed answers,
    dL/dscores = (p - y) / M, dL/dx = dL/dscores @ table, dL/dtable = dL/dscores^T @ x."""

    @staticmethod
    def forward(
        ctx: Any, x_ME: Tensor, table_VE: Tensor, bias_V: Tensor | None, answers_M: Tensor, smoothing: float
    ) -> Tensor:
        of_x, of_table, of_bias, *_ = ctx.needs_input_grad
        wanted, positions, vocabulary = of_x or of_table or of_bias, len(x_ME), len(table_VE)
        rows = max(ROOM // vocabulary, 1)
        total = torch.zeros((), device=x_ME.device)
        grad_x_ME = torch.empty_like(x_ME) if of_x else None
        grad_table_VE = grad_bias_V = None
        for start in range(0, positions, rows):
            here = slice(start, start + rows)
            x_RE = x_ME[here]
            scores_RV = F.linear(x_RE, table_VE, bias_V)
            total += _losses(scores_RV, answers_M[here], smoothing=smoothing, into=scores_RV if wanted else None)
            if grad_x_ME is not None:
                grad_x_ME[here] = scores_RV @ table_VE
            if of_table:
                grad_table_VE = _added(grad_table_VE, (scores_RV.T @ (x_RE / positions)).to(table_VE.dtype))
            if bias_V is not None and of_bias:
                grad_bias_V = _added(grad_bias_V, scores_RV.sum(dim=0, dtype=bias_V.dtype))
        if grad_x_ME is not None:
            grad_x_ME /= positions
        if grad_bias_V is not None:
            grad_bias_V /= positions
        ctx.gradients = (grad_x_ME, grad_table_VE, grad_bias_V)
        return total / positions

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        if scale.device.type == "cpu" and scale == 1:
            return (*ctx.gradients, None, None)
        return (*(None if found is None else found * scale for found in ctx.gradients), None, None)


def _losses(scores_RV: Tensor, answers_R: Tensor, *, smoothing: float, into: Tensor | None) -> Tensor:
    """The sum of the losses of some rows; softmax less smoothed answers is written `into`, which may be the scores."""
    vocabulary = scores_RV.shape[1]
    block = max(CACHED // vocabulary, 1) if scores_RV.device.type == "cpu" else len(scores_RV)
    total = torch.zeros((), device=scores_RV.device)
    for start in range(0, len(scores_RV), block):
        here = slice(start, start + block)
        answers_B1 = answers_R[here].unsqueeze(1)
        log_BV = F.log_softmax(scores_RV[here].float(), dim=1)
        total -= (1 - smoothing) * log_BV.gather(1, answers_B1).sum()
        if smoothing:
            total -= smoothing / vocabulary * log_BV.sum()
        if into is not None:
            p_BV = log_BV.exp_()
            if smoothing:
                p_BV -= smoothing / vocabulary
            into[here] = p_BV.scatter_add_(1, answers_B1, p_BV.new_full(answers_B1.shape, smoothing - 1))
    return total


def _added(sum_: Tensor | None, term: Tensor) -> Tensor:
    return term if sum_ is None else sum_.add_(term)
