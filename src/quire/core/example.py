"""One sequence on its way to the model, and the packed batch it joins.

Legend: L positions of one sequence, S sequences, N positions of all sequences of a batch, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quire.core.random import Rng
from quire.core.visibility import Full, Visibility

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

IGNORE = -100
"""The answer where nothing is asked; torch's cross entropy skips it by default."""


@dataclass(frozen=True)
class Vocab:
    """What corruption must know of a vocabulary: its size and the ids with a meaning of their own."""

    size: int
    pad: int
    unk: int
    cls: int
    sep: int
    mask: int
    special: frozenset[int]

    @cached_property
    def ordinary(self) -> Ints:
        """The ids of all tokens that are not special, ascending."""
        return np.setdiff1d(np.arange(self.size), sorted(self.special))


@dataclass(frozen=True)
class World:
    """What an objective may look at beyond its example."""

    vocab: Vocab
    passage: Callable[[int, Rng], Passage] | None = None
    """(tokens at most, rng) -> a passage from a random place of the corpus, where there is one."""
    length: int = 512
    """Tokens of an example at most, special ones included."""


@dataclass(frozen=True)
class Passage:
    """A run of tokens [L] with `starts` [L], True where a token begins a word, from one `document`."""

    tokens: Ints
    starts: Bools
    document: int = -1

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, where: slice) -> Passage:
        return Passage(self.tokens[where], self.starts[where], self.document)


@dataclass(frozen=True)
class Example:
    """One sequence: what is shown, what is true, and what is asked where."""

    tokens: Ints  # [L] shown
    truth: Ints  # [L] real
    starts: Bools  # [L] the token begins a word
    free: Bools  # [L] not special, and not yet claimed by an objective
    segments: Ints  # [L]
    document: int = -1
    sees: Visibility = field(default_factory=Full)
    answers: Mapping[str, Ints] = field(default_factory=dict)  # slot -> [L], IGNORE where nothing is asked

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def of(cls, vocab: Vocab, *passages: Passage) -> Example:
        """`[CLS] A [SEP] B [SEP]` with segments 0 and 1, as BERT writes it; empty passages are left out."""
        tokens, starts, segments = [np.array([vocab.cls])], [np.array([True])], [np.array([0])]
        for number, passage in enumerate(p for p in passages if len(p)):
            tokens += [passage.tokens, np.array([vocab.sep])]
            starts += [passage.starts, np.array([True])]
            segments.append(np.full(len(passage) + 1, number))
        if len(tokens) == 1:
            tokens, starts, segments = [*tokens, np.array([vocab.sep])], [*starts, starts[0]], [*segments, segments[0]]
        ids = np.concatenate(tokens).astype(np.int64)
        free = ~np.isin(ids, sorted(vocab.special - {vocab.unk}))
        document = passages[0].document if passages else -1
        return cls(ids, ids, np.concatenate(starts), free, np.concatenate(segments).astype(np.int64), document)

    def ask(self, slot: str, where: Bools, tokens: Ints) -> Example:
        """Show `tokens` [L] and ask for the truth at `where` [L]: nothing is asked twice, the rest is untouched."""
        if not self.free[where].all():
            raise ValueError(f"{slot}: asks at a position that is special or already asked")
        return replace(
            self,
            tokens=np.where(where, tokens, self.tokens),
            free=self.free & ~where,
            answers={**self.answers, slot: np.where(where, self.truth, self.answers.get(slot, IGNORE))},
        )

    def label(self, slot: str, answer: int, *, at: int = 0) -> Example:
        """Ask for a class at position `at`, by default the first: a task on the whole sequence."""
        answers = np.full(len(self), IGNORE)
        answers[at] = answer
        return replace(self, answers={**self.answers, slot: answers})


@dataclass(frozen=True)
class Batch:
    """Sequences laid end to end, without padding. Sequence s holds positions offsets[s]:offsets[s + 1]."""

    tokens: Ints  # [N]
    offsets: npt.NDArray[np.int32]  # [S + 1]
    positions: Ints  # [N]
    segments: Ints  # [N]
    sees: tuple[Visibility, ...]  # [S]
    answers: Mapping[str, Ints]  # slot -> [N]
    order: Ints  # [S] the place each packed sequence had among the examples

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        return np.diff(self.offsets)

    @classmethod
    def pack(cls, examples: Sequence[Example]) -> Batch:
        """Collate: sequences are laid by length, so that equal lengths stand together for attention."""
        lengths = np.array([len(example) for example in examples], dtype=np.int64)
        order = np.argsort(lengths, kind="stable")
        laid = [examples[i] for i in order]
        slots = sorted({slot for example in laid for slot in example.answers})
        nothing = {n: np.full(n, IGNORE) for n in set(lengths.tolist())} if slots else {}
        return cls(
            tokens=np.concatenate([e.tokens for e in laid]),
            offsets=np.concatenate([[0], np.cumsum(lengths[order])]).astype(np.int32),
            positions=np.concatenate([np.arange(n) for n in lengths[order]]),
            segments=np.concatenate([e.segments for e in laid]),
            sees=tuple(e.sees for e in laid),
            answers={s: np.concatenate([e.answers.get(s, nothing[len(e)]) for e in laid]) for s in slots},
            order=order,
        )

    def unpack(self, values: npt.NDArray[np.generic]) -> list[npt.NDArray[np.generic]]:
        """Per-position `values` [N, ...] cut into sequences, in the order the examples came in."""
        pieces = np.split(values, self.offsets[1:-1])
        back = np.argsort(self.order)
        return [pieces[i] for i in back]
