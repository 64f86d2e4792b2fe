"""Tables of vectors: looked up by number, and multiplied by.

Legend: M rows, V vocabulary, E width of the embeddings.
"""

from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEW = 8
"""Rows up to which a table times rows is quicker than rows times a table."""


@runtime_checkable
class Multiplies(Protocol):
    """A table that is not kept as a matrix, and multiplies by what it keeps."""

    def scores(self, x_ME: Tensor) -> Tensor:
        """x times each vector of the table, [M, V]: new memory."""


def new_table(rows: int, width: int, *, padding: int | None = None) -> nn.Embedding:
    """A table whose rows are drawn by `quire.nn.initial.initialise`.

    nn.Embedding would draw them itself, and where no memory is behind them yet (the device "meta") that draw alone
    loads torch's compiler, which takes some 0.7 of the 3 seconds in which a process opens a small base.
    """
    return nn.Embedding(rows, width, padding_idx=padding, _weight=torch.empty(rows, width))


def against(x_ME: Tensor, table: nn.Module | Tensor, bias_V: Tensor | None) -> Tensor:
    """x times the vectors of a table, [M, V]: F.linear, but for few rows on a CPU, where text is written a token at a
    time.

    There the product is taken the other way round, a single row twice: MKL's product with one vector has half the
    speed of that with two, and F.linear is slower still for two to eight (a table of 50,257 x 384: one row 7.8 and
    3.8 ms, two 18 and 4, eight 14 and 9).
    """
    if isinstance(table, Multiplies):
        scores_MV = table.scores(x_ME)
        return scores_MV if bias_V is None else scores_MV.add_(bias_V)
    table_VE = table if isinstance(table, Tensor) else table.weight
    assert isinstance(table_VE, Tensor)
    if len(x_ME) > FEW or x_ME.device.type != "cpu" or torch.is_grad_enabled():
        return F.linear(x_ME, table_VE, bias_V)
    rows_RE = x_ME.repeat(2, 1) if len(x_ME) == 1 else x_ME
    scores_MV = (table_VE @ rows_RE.T)[:, : len(x_ME)].T
    return scores_MV if bias_V is None else scores_MV + bias_V
