"""One sequence on its way to the model, and the packed batch it joins.

Legend: L positions of one sequence, S sequences, N positions of all sequences of a batch, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    counts: Ints | None = field(default=None, compare=False, repr=False)
    """[V] how often each token stands in the corpus, where there is one."""

    @cached_property
    def reserved(self) -> Bools:
        """[V] which ids are special; the unknown token counts as ordinary text."""
        found = np.zeros(self.size, dtype=bool)
        found[sorted(self.special - {self.unk})] = True
        return found

    @cached_property
    def ordinary(self) -> Ints:
        """The ids of all tokens that are not special, ascending."""
        return np.setdiff1d(np.arange(self.size), sorted(self.special))

    @cached_property
    def counts_below(self) -> Ints:
        """[V] how many tokens of the corpus have this id or a lower one: where draws by frequency are looked up."""
        if self.counts is None:
            raise ValueError("this vocabulary has counted no corpus")
        return np.cumsum(self.counts)


@dataclass(frozen=True)
class World:
    """What an objective may look at beyond its example."""

    vocab: Vocab
    passage: Callable[[int, Rng], Passage] | None = None
    """(tokens at most, rng) -> a passage from a random place of the corpus, where there is one."""
    length: int = 512
    """Tokens of an example at most, special ones included."""
    documents: int = 0
    """Documents that `passage` draws from."""


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
    positions: Ints | None = None  # [L], 0, 1, 2, ... where None
    languages: Ints | None = None  # [L], 0 where None

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def of(cls, vocab: Vocab, *passages: Passage) -> Example:
        """`[CLS] A [SEP] B [SEP]` with segments 0 and 1, as BERT writes it; empty passages are left out."""
        parts: list[tuple[Passage | int, int]] = [(vocab.cls, 0)]
        for number, passage in enumerate([p for p in passages if len(p)]):
            parts += [(passage, number), (vocab.sep, number)]
        return cls.laid(vocab, *parts, *([(vocab.sep, 0)] if len(parts) == 1 else []))

    @classmethod
    def laid(cls, vocab: Vocab, *parts: tuple[Passage | int, int]) -> Example:
        """Passages and single special tokens, each with its segment, one after the other."""
        sizes = [1 if isinstance(piece, int) else len(piece) for piece, _ in parts]
        ids = np.empty(sum(sizes), dtype=np.int64)
        starts, free = np.ones((2, len(ids)), dtype=bool)
        segments = np.empty_like(ids)
        document, at = -1, 0
        for (piece, segment), size in zip(parts, sizes, strict=True):
            here = slice(at, at := at + size)
            segments[here] = segment
            if isinstance(piece, int):
                ids[here], free[here] = piece, False
            else:
                ids[here], starts[here] = piece.tokens, piece.starts
                document = piece.document if document == -1 else document
        free &= ~vocab.reserved[ids]
        return cls(ids, ids, starts, free, segments, document)

    def ask(self, slot: str, where: Bools, tokens: Ints) -> Example:
        """Show `tokens` [L] and ask for the truth at `where` [L]: nothing is asked twice, the rest is untouched."""
        if not self.free[where].all():
            raise ValueError(f"{slot}: asks at a position that is special or already asked")
        return self._with(
            tokens=np.where(where, tokens, self.tokens),
            free=self.free & ~where,
            answers={**self.answers, slot: np.where(where, self.truth, self.answers.get(slot, IGNORE))},
        )

    def label(self, slot: str, answers: int | Ints, *, at: int | Bools = 0) -> Example:
        """Ask for classes at `at`, a position or a set [L], by default the first: nothing is damaged or claimed."""
        asked = np.full(len(self), IGNORE)
        asked[at] = answers
        return self._with(answers={**self.answers, slot: asked})

    def _with(self, **changes: object) -> Example:
        """dataclasses.replace in a sixth of its time: corruption calls it for every objective of every example."""
        made = object.__new__(Example)
        made.__dict__.update(self.__dict__, **changes)
        return made


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
    languages: Ints | None = None  # [N]

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        return np.diff(self.offsets)

    @classmethod
    def pack(cls, examples: Sequence[Example]) -> Batch:
        """Collate: sequences are laid by length, then by visibility, so that those which attention takes together
        stand together."""
        lengths = np.array([len(example) for example in examples], dtype=np.int64)
        rules: dict[Visibility, int] = {}
        order = np.lexsort((np.array([rules.setdefault(e.sees, len(rules)) for e in examples]), lengths))
        laid = [examples[i] for i in order]
        slots = sorted({slot for example in laid for slot in example.answers})
        nothing = {n: np.full(n, IGNORE) for n in set(lengths.tolist())} if slots else {}
        foreign = any(e.languages is not None for e in laid)
        return cls(
            tokens=np.concatenate([e.tokens for e in laid]),
            offsets=np.concatenate([[0], np.cumsum(lengths[order])]).astype(np.int32),
            positions=np.concatenate([np.arange(len(e)) if e.positions is None else e.positions for e in laid]),
            segments=np.concatenate([e.segments for e in laid]),
            sees=tuple(e.sees for e in laid),
            answers={s: np.concatenate([e.answers.get(s, nothing[len(e)]) for e in laid]) for s in slots},
            order=order,
            languages=np.concatenate([np.zeros(len(e), int) if e.languages is None else e.languages for e in laid])
            if foreign
            else None,
        )

    def unpack(self, values: npt.NDArray[np.generic]) -> list[npt.NDArray[np.generic]]:
        """Per-position `values` [N, ...] cut into sequences, in the order the examples came in."""
        pieces = np.split(values, self.offsets[1:-1])
        back = np.argsort(self.order)
        return [pieces[i] for i in back]
