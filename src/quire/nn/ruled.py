"""A writer that keeps to rules: of each text only what its rule allows may come next, whatever searches.

Log-probabilities are the model's own, over all tokens: what is allowed and unlikely stays unlikely in a beam.

Legend: S sources, R rows (a text each that is being written), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from quire.core.example import Ints
from quire.nn.writer import Writer


class Rule(Protocol):
    """A state of a text: what may come next, and the state behind it."""

    def allowed(self) -> Ints:
        """At least one token."""

    def after(self, token: int) -> Self:
        """The state behind one of these."""


class Ruled:
    """What a writer tells, and -inf for what rules forbid: a `quire.nn.writer.Writer` around another."""

    def __init__(self, writer: Writer, rules: Sequence[Rule]) -> None:
        """`rules` are those of texts in which nothing is written yet, in the order of the writer's sources."""
        self.writer, self.rules = writer, list(rules)

    def start(self) -> Tensor:
        """log p [S, V] of the first token behind each source."""
        return self._within(self.writer.start())

    def next(self, tokens_R: Tensor) -> Tensor:
        """log p [R, V] of what comes behind one more token in each row."""
        self.rules = [rule.after(token) for rule, token in zip(self.rules, tokens_R.tolist(), strict=True)]
        return self._within(self.writer.next(tokens_R))

    def reorder(self, rows: Tensor) -> None:
        """Row i goes on from what row rows[i] has."""
        self.rules = [self.rules[row] for row in rows.tolist()]
        self.writer.reorder(rows)

    def _within(self, told_RV: Tensor) -> Tensor:
        forbidden_RV = np.ones(told_RV.shape, dtype=bool)
        for row, rule in enumerate(self.rules):
            forbidden_RV[row, rule.allowed()] = False
        return told_RV.masked_fill(torch.from_numpy(forbidden_RV).to(told_RV.device), -torch.inf)
