"""One sequence on its way to the model, and the packed batch it joins.

Legend: L positions of one sequence, S sequences, N positions of all sequences of a batch, T of what decoders write
beside them, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quire.core.errors import BadInput
from quire.core.random import Rng
from quire.core.visibility import Apart, Causal, Full, Visibility

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]

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
    mask: int | None
    """Where there is one: GPT-2 and T5 have none."""
    special: frozenset[int]
    counts: Ints | None = field(default=None, compare=False, repr=False)
    """[V] how often each token stands in the corpus, where there is one."""
    sentinels: tuple[int, ...] = ()
    """Marks that stand for a span each, in the order in which they are used (T5)."""
    stops: frozenset[int] = frozenset()
    """Full stops and their like, at which sentences end (BART)."""

    @property
    def begins(self) -> bool:
        """Whether a text begins with a token for that: T5's do not, and GPT-2 has one for all purposes."""
        return self.cls != self.pad or self.cls == self.sep

    def masking(self) -> int:
        """The mask; BadInput where there is none."""
        if self.mask is None:
            raise BadInput("the tokenizer has no mask token, which this objective shows in place of others; take lm")
        return self.mask

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
            raise BadInput("no corpus was counted to draw tokens from as often as they stand there; give one")
        return np.cumsum(self.counts)

    @cached_property
    def shares(self) -> Floats:
        """[V] each token's share of all but the special and unknown ones; the same for all where nothing is counted."""
        counts = np.zeros(self.size)
        counts[self.ordinary] = 1 if self.counts is None else self.counts[self.ordinary]
        counts /= max(counts.sum(), 1)
        return counts

    @cached_property
    def noise_below(self) -> Floats:
        """[V] the chance that a noise word has this id or a lower one, when words are drawn in proportion to their
        counts to the power of 3/4 (Mikolov et al. 2013b, section 2.2)."""
        below: Floats = np.cumsum(self.shares**0.75)
        below /= max(below[-1], 1e-300)
        return below


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
    spell: Callable[[str], Passage] | None = None
    """A program's own words, a question or a description, as tokens: where a tokenizer stands behind."""

    def spelled(self, text: str) -> Passage:
        """A program's own words as tokens; ValueError where nobody can spell them."""
        if self.spell is None:
            raise ValueError("a world without a tokenizer cannot spell a text")
        return self.spell(text)


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
    target: Example | None = None  # what is written beside it, by a decoder or as actions: see `written`
    hidden: Bools | None = None  # [L] what that decoder may not look at; nothing where None

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def of(cls, vocab: Vocab, *passages: Passage) -> Example:
        """`[CLS] A [SEP] B [SEP]` with segments 0 and 1, as BERT writes it; empty passages are left out."""
        parts: list[tuple[Passage | int, int]] = [(vocab.cls, 0)] if vocab.begins else []
        for number, passage in enumerate([p for p in passages if len(p)]):
            parts += [(passage, number), (vocab.sep, number)]
        return cls.laid(vocab, *parts, *([(vocab.sep, 0)] if len(parts) < 2 else []))

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

    @classmethod
    def apart(cls, *blocks: Example) -> Example:
        """Examples that nobody asks yet laid one behind another: none sees another, and each begins at position 0."""
        if any(block.answers or block.target is not None or block.sees != Full() for block in blocks):
            raise ValueError("texts are laid side by side before others ask, write or hide")
        names = ("tokens", "truth", "starts", "free", "segments")
        laid = {name: np.concatenate([getattr(block, name) for block in blocks]) for name in names}
        places = np.concatenate([np.arange(len(block)) for block in blocks])
        return blocks[0]._with(**laid, sees=Apart(tuple(len(block) for block in blocks)), positions=places)

    @classmethod
    def written(cls, slot: str, tokens: Ints, *, start: int, asked: Bools | None = None) -> Example:
        """What a decoder writes: `tokens` [L], each from those before it, the first from the token `start`.

        Shown is what stands before each place, true is what comes there, and all of it is asked, or that at `asked`.
        """
        shown = np.concatenate([[start], tokens[:-1]])
        everywhere = np.ones(len(tokens), dtype=bool)
        answers = tokens if asked is None else np.where(asked, tokens, IGNORE)
        return cls(
            shown, tokens, everywhere, ~everywhere, np.zeros_like(tokens), sees=Causal(), answers={slot: answers}
        )

    def ask(self, slot: str, where: Bools, tokens: Ints) -> Example:
        """Show `tokens` [L] and ask for the truth at `where` [L]: nothing is asked twice, the rest is untouched."""
        if not self.free[where].all():
            raise ValueError(f"{slot}: asks at a position that is special or already asked")
        return self._with(
            tokens=np.where(where, tokens, self.tokens),
            free=self.free & ~where,
            answers={**self.answers, slot: np.where(where, self.truth, self.answers.get(slot, IGNORE))},
        )

    def label(self, slot: str, answers: int | Ints, *, at: int | Ints | Bools = 0) -> Example:
        """Ask for classes at `at`, positions or a set [L], by default the first: nothing is damaged or claimed."""
        asked = np.full(len(self), IGNORE)
        asked[at] = answers
        return self._with(answers={**self.answers, slot: asked})

    def foretell(self, slot: str, where: Bools | None = None) -> Example:
        """Ask at every position for the token behind it, or for those tokens at `where` [L]: a language model.

        A position sees what came before it alone, and nobody asks for the same tokens again.
        """
        if where is None:
            where = np.ones(len(self), dtype=bool)
        behind = np.append(np.where(where, self.truth, IGNORE)[1:], IGNORE)
        return self._with(sees=self.sees & Causal(), free=self.free & ~where, answers={**self.answers, slot: behind})

    def recast(self, tokens: Ints, target: Example, *, hidden: Bools | None = None) -> Example:
        """Show other `tokens` [L], as many as there are, and let a decoder write `target`: none can be asked for.

        The decoder does not look at what is `hidden` [L].
        """
        if self.answers:
            raise ValueError(f"{', '.join(self.answers)}: asked for in a text that is then written anew")
        everywhere = np.ones(len(tokens), dtype=bool)
        return Example(
            tokens, tokens, everywhere, ~everywhere, np.zeros_like(tokens), self.document, target=target, hidden=hidden
        )

    def thinned(self, where: Bools) -> Example:
        """The example with the tokens at `where` [L] alone, before anyone has asked: the others were never there."""
        if self.answers or self.target is not None or self.sees != Full():
            raise ValueError("tokens are left out before others ask, write or hide")
        return Example(
            self.tokens[where],
            self.truth[where],
            self.starts[where],
            self.free[where],
            self.segments[where],
            self.document,
            positions=None if self.positions is None else self.positions[where],
            languages=None if self.languages is None else self.languages[where],
        )

    def keeping(self, blocks: Bools) -> Example:
        """The example with some of its blocks that stand apart, and what is asked of these."""
        if not isinstance(self.sees, Apart) or self.languages is not None or self.hidden is not None:
            raise ValueError("a text without blocks, or one with more than can be left out")
        where = np.repeat(blocks, self.sees.sizes)
        names = ("tokens", "truth", "starts", "free", "segments", "positions")
        return self._with(
            **{name: getattr(self, name)[where] for name in names},
            sees=Apart(tuple(size for size, kept in zip(self.sees.sizes, blocks.tolist(), strict=True) if kept)),
            answers={slot: values[where] for slot, values in self.answers.items()},
        )

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
    target: Batch | None = None  # of T positions: what decoders write beside the same sequences, in the same order
    hidden: Bools | None = None  # [N]

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        return np.diff(self.offsets)

    @property
    def size(self) -> int:
        """Tokens that a model computes: those of the sequences, and what is written beside them, tokens or actions."""
        return len(self.tokens) + (0 if self.target is None else self.target.size)

    @classmethod
    def pack(cls, examples: Sequence[Example]) -> Batch:
        """Collate: sequences are laid by length, then by that of what is written beside them, then by visibility, so
        that those which attention takes together stand together."""
        lengths = np.array([len(example) for example in examples], dtype=np.int64)
        written = np.array([len(e.target) if e.target is not None else 0 for e in examples], dtype=np.int64)
        rules: dict[Visibility, int] = {}
        order = np.lexsort((np.array([rules.setdefault(e.sees, len(rules)) for e in examples]), written, lengths))
        return cls._laid([examples[i] for i in order], order)

    @classmethod
    def _laid(cls, laid: Sequence[Example], order: Ints) -> Batch:
        lengths = np.array([len(example) for example in laid], dtype=np.int64)
        slots = sorted({slot for example in laid for slot in example.answers})
        nothing = {n: np.full(n, IGNORE) for n in set(lengths.tolist())} if slots else {}
        foreign = any(e.languages is not None for e in laid)
        targets = [e.target for e in laid if e.target is not None]
        if len(targets) not in (0, len(laid)):
            raise ValueError("a batch where a decoder writes beside some sequences and not beside others")
        covered = any(e.hidden is not None for e in laid)
        return cls(
            tokens=np.concatenate([e.tokens for e in laid]),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
            positions=np.concatenate([np.arange(len(e)) if e.positions is None else e.positions for e in laid]),
            segments=np.concatenate([e.segments for e in laid]),
            sees=tuple(e.sees for e in laid),
            answers={s: np.concatenate([e.answers.get(s, nothing[len(e)]) for e in laid]) for s in slots},
            order=order,
            languages=np.concatenate([np.zeros(len(e), int) if e.languages is None else e.languages for e in laid])
            if foreign
            else None,
            target=cls._laid(targets, order) if targets else None,
            hidden=np.concatenate([np.zeros(len(e), bool) if e.hidden is None else e.hidden for e in laid])
            if covered
            else None,
        )

    def unpack(self, values: npt.NDArray[np.generic]) -> list[npt.NDArray[np.generic]]:
        """Per-position `values` [N, ...] cut into sequences, in the order the examples came in."""
        pieces = np.split(values, self.offsets[1:-1])
        back = np.argsort(self.order)
        return [pieces[i] for i in back]
