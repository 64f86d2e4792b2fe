"""What search asks of a model, and when a text is at its end.

Legend: S sources, R rows (a text each that is being written), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.search import Search, Written


class Writer(Protocol):
    """Tells what comes next in each of several texts.

    `quire.nn.stepwise.Stepwise` keeps what it has read; a body that cannot computes everything anew each time.
    """

    def start(self) -> Tensor:
        """log p [S, V] of the first token behind each source; then there is a row for each."""

    def next(self, tokens_R: Tensor) -> Tensor:
        """log p [R, V] of what comes behind one more token in each row."""

    def reorder(self, rows: Tensor) -> None:
        """Row i goes on from what row rows[i] has; there may be fewer rows than before, or more."""


@dataclass(frozen=True)
class Ends:
    """Where a text is at its end: behind the token `end`, or where the search's stop rules say so.

    `decode` is the tokenizer's, for stop strings. BadInput for these without it.
    """

    search: Search
    end: int | None = None
    decode: Callable[[Sequence[int]], str] | None = None

    def __post_init__(self) -> None:
        if self.search.stop and self.decode is None:
            raise BadInput(f"stop {self.search.stop[0]!r}: is looked for in text; give `decode`, the tokenizer's")

    def barred(self, log_p_RV: Tensor, written: int) -> Tensor:
        """log p without the end, where too little is written."""
        if self.end is None or written >= self.search.least:
            return log_p_RV
        barred = log_p_RV.clone()
        barred[:, self.end] = -torch.inf
        return barred

    def cut(self, tokens: Sequence[int]) -> int | None:
        """How many of the tokens belong to the text, when the last of them ends it; else None."""
        if self.end is not None and tokens[-1] == self.end:
            return len(tokens) - 1
        if len(tokens) < self.search.least:
            return None
        for sequence in self.search.stop_tokens:
            if tuple(tokens[-len(sequence) :]) == sequence:
                return len(tokens) - len(sequence)
        if self.decode is not None and self.search.stop:
            text = self.decode(tokens)
            if any(stop in text for stop in self.search.stop):
                return len(tokens)
        return None

    def written(self, tokens: Sequence[int], log_p: float) -> Written:
        """A text that nothing more is added to."""
        cut = self.cut(tokens)
        kept = np.array(tokens[:cut], dtype=np.int64)
        return Written(kept, self.search.score(log_p, len(tokens)), cut is not None)
