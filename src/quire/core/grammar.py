"""What may be said next about a review, so that what is said always is opinions and always ends.

    state      behind an opinion              in a run of words             before a polarity
    allowed    the end, the words of the      the word that began it, and   polarities
               next run                       those behind it

An opinion begins only where all of it and the end are within the limit, so whoever chooses among what is allowed, even
at random, writes a sequence that `Question.decode` reads whole. Order is free, and an opinion may come twice.

What is said is a column of [end | labels | positions of the text], as a pointer has them (`quire.nn.pointing`).

Legend: W words of a text, L positions of it, special ones included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from quire.core.answers import Inexpressible
from quire.core.example import Ints
from quire.core.opinions import POLARITIES
from quire.core.subtasks import Question, Symbol

END = 0
"""The column of the end."""


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of one text: its labels, and the position that stands for each word [W], -1 where none does."""

    labels: tuple[str, ...]
    first_W: Ints

    @cached_property
    def words(self) -> Ints:
        """The words that have a position, ascending, as their positions are."""
        return np.flatnonzero(self.first_W >= 0)

    @cached_property
    def own(self) -> Ints:
        """The columns of these words."""
        return self.first_W[self.words] + 1 + len(self.labels)

    @cached_property
    def polarities(self) -> Ints:
        """The columns of polarities."""
        return np.array([1 + i for i, label in enumerate(self.labels) if label in POLARITIES], dtype=np.int64)

    def of(self, symbol: Symbol) -> int:
        """The column of a word or a label. Inexpressible for a word that has none."""
        if isinstance(symbol, str):
            return 1 + self.labels.index(symbol)
        if symbol >= len(self.first_W) or self.first_W[symbol] < 0:
            raise Inexpressible(f"word {symbol} begins with no token that is read")
        return 1 + len(self.labels) + int(self.first_W[symbol])

    def symbol(self, column: int) -> Symbol:
        """What a column says: a position stands for the word that it is a piece of. ValueError for the end."""
        if column == END:
            raise ValueError("the end says nothing")
        if column <= len(self.labels):
            return self.labels[column - 1]
        return int(self.words[max(int(np.searchsorted(self.own, column, side="right")) - 1, 0)])


@dataclass(frozen=True, eq=False)
class Grammar:
    """A state: what has been said of the opinion that is being told, and how many columns are left."""

    question: Question
    columns: Columns
    left: int
    """With the end."""
    at: int = 0
    """Columns of this opinion so far."""
    begun: int = 0
    """The last of these."""
    whole: int = 0
    """Opinions before it."""

    @classmethod
    def of(cls, question: Question, columns: Columns, *, limit: int) -> Grammar:
        """What may be said first. ValueError for a limit of columns that an answer and its end do not fit into."""
        if limit < 1 + question.once:
            raise ValueError(f"{question.subtask}: no room for an answer and its end in {limit}")
        return cls(question, columns, limit)

    def allowed(self) -> Ints:
        """The columns that may come next, ascending; there is always one."""
        if self.at:
            return self._within()
        over = self.question.once and self.whole > 0
        fits = not over and self.left > self.question.size
        ends = [] if self.question.once and not over else [END]
        return np.append(np.array(ends, dtype=np.int64), self._within() if fits else self.columns.own[:0])

    def after(self, column: int) -> Grammar:
        """The state behind one of these."""
        at = 0 if column == END else self.at + 1
        done = at == self.question.size
        return replace(self, left=self.left - 1, at=0 if done else at, begun=column, whole=self.whole + done)

    def _within(self) -> Ints:
        """What may come at this place of an opinion."""
        if self.at == self.question.size - 1 and "polarity" in self.question.parts:
            return self.columns.polarities
        own = self.columns.own
        return own[np.searchsorted(own, self.begun) :] if self.at % 2 else own
