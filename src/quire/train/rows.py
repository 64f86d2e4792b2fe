"""Gradients of tables, of which an update looks up a few rows.

Legend: V rows of a table, R rows that were looked up, E its width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def by_rows(model: nn.Module) -> Iterator[None]:
    """Every table gives the gradients of the rows that were looked up, and of no other, while it lasts.

    Then no matrix of the table's size is made and filled for each lookup: on one thread that is 6 % of an update of 16
    sentences. What else gives a table a gradient, as scores over the vocabulary do, takes the rows in.
    """
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    before = [table.sparse for table in tables]
    try:
        for table in tables:
            table.sparse = True
        yield
    finally:
        for table, sparse in zip(tables, before, strict=True):
            table.sparse = sparse


def clip(parameters: Sequence[nn.Parameter], limit: float) -> Tensor:
    """The norm of the whole gradient, which is scaled to `limit` where it is longer; rows that were looked up more than
    once are added up first."""
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
    grads = [p.grad for p in parameters if p.grad is not None]
    values = [grad.values() if grad.is_sparse else grad for grad in grads]
    norm = nn.utils.get_total_norm(values)
    if limit < torch.inf:
        scale = (limit / (norm + 1e-6)).clamp(max=1.0)  # as torch does it
        for value in values:
            value.mul_(scale)
    return norm


class Whole:
    """Makes matrices of gradients by rows, for what takes no others; each table's is filled again and again."""

    def __init__(self) -> None:
        self.filled: dict[nn.Parameter, tuple[Tensor, Tensor]] = {}
        """Of each table, the matrix [V, E] and which rows [R] of it are not zero."""

    def __call__(self, parameters: Sequence[nn.Parameter]) -> None:
        """After `clip`."""
        for parameter in parameters:
            if parameter.grad is None or not parameter.grad.is_sparse:
                continue
            rows_R, values_RE = parameter.grad.indices()[0], parameter.grad.values()
            if parameter in self.filled:
                whole_VE, before = self.filled[parameter]
                whole_VE.index_fill_(0, before, 0)
            else:
                whole_VE = torch.zeros_like(parameter, requires_grad=False)
            parameter.grad = whole_VE.index_copy_(0, rows_R, values_RE)
            self.filled[parameter] = whole_VE, rows_R
