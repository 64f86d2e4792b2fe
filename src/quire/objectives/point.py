"""What a review says, pointed at: BARTABSA (Yan et al. 2021; survey: ABSA as Sequence Generation).

    [CLS] review [SEP]   ->   columns of [end | labels | positions of the review], end

L = - mean over what is written, its end among it, of log p(y_t | review, y_1, ..., y_{t-1})

What is written is a sequence of `quire.core.subtasks`: a word is the position of its first piece, so that a run of
words ends with the first piece of its last. Behind the start token stands what is shown and not asked for: which
subtask it is, where a model learns several, and the aspect that it is asked about.

Legend: W words, T columns that are written.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator
from torch import Tensor

from quire.core.answers import Inexpressible, Item
from quire.core.errors import BadInput, nearest
from quire.core.example import IGNORE, Example, World
from quire.core.grammar import END, Columns
from quire.core.heads import HeadSpec, PointerHead
from quire.core.opinions import Opinion, Polarity
from quire.core.random import Rng
from quire.core.spec import Backbone, Rate
from quire.core.subtasks import PARTS, Question, Subtask, Symbol, Told
from quire.nn.model import Step
from quire.nn.stepwise import check
from quire.objectives.writes import Writes

CALLED: Mapping[str, str] = {
    "ae": "aspect",
    "oe": "opinion",
    "alsc": "aspect polarity",
    "aoe": "aspect opinion",
    "aesc": "aspect and polarity",
    "pair": "aspect and opinion",
    "triplet": "aspect and opinion and polarity",
}
"""What subtasks are called, where a model learns several; a polarity is called by its name."""


class Point(Writes):
    """Ask a decoder for opinions, column by column; `format` makes the examples.

    BART is published to read [CLS] and to write from its [SEP], as here by default; T5 reads no [CLS], and writes from
    its padding. Specials of a review are never pointed at; the released code forgets its first. What the decoder reads
    of a word is its first piece, wherever it stands: asked about one of two aspects that are the same word, it cannot
    tell which.
    """

    head: str = "point"
    subtasks: tuple[Subtask, ...] = Field(default=("triplet",), min_length=1)
    polarities: tuple[Polarity, ...] = ("positive", "negative", "neutral")
    names: Mapping[str, str] = {}
    """What labels are called: their vectors begin as what this means. Without it, see `CALLED`."""
    embedded: bool = True
    """Whether a position is known by its token as much as by its state: the full pointer."""
    dropout: Rate = 0.3
    """In the MLP over states."""
    opening: bool = True
    """Whether [CLS] stands before the review (T5: no)."""
    start: Literal["sep", "pad", "cls"] = "sep"

    @model_validator(mode="after")
    def _of_labels(self) -> Self:
        for label in self.names:
            if label not in self.labels:
                raise ValueError(f"names: no label {label!r}{nearest(label, self.labels)}")
        if len({*self.subtasks}) < len(self.subtasks) or len({*self.polarities}) < len(self.polarities):
            raise ValueError("a subtask or a polarity is there twice; name each once")
        if self._tells_polarities and not self.polarities:
            raise ValueError("polarities: there must be one at least to tell")
        if self.smoothing:
            raise ValueError("smoothing: a pointer never says some columns; leave it out")
        return self

    @property
    def _tells_polarities(self) -> bool:
        return any("polarity" in PARTS[subtask] for subtask in self.subtasks)

    @property
    def labels(self) -> tuple[str, ...]:
        """The polarities, where one is told, and the subtasks, where there are several."""
        several = self.subtasks if len(self.subtasks) > 1 else ()
        return (*(self.polarities if self._tells_polarities else ()), *several)

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        if not backbone.decoder:
            raise BadInput(
                "a decoder points, but the backbone has none: set backbone.decoder to its number of layers, or put a "
                "fresh one on the base"
            )
        check(backbone, head=self.head)
        if world.length > backbone.positions:
            raise BadInput(f"length {world.length}: the backbone has {backbone.positions} positions; take fewer")
        vocab = world.vocab
        return {
            self.head: PointerHead(
                vocab=vocab.size,
                end=vocab.sep,
                labels=tuple(self._called(label, world) for label in self.labels),
                special=tuple(sorted({vocab.cls, vocab.sep})),
                dropout=self.dropout,
                embedded=self.embedded,
            )
        }

    def _called(self, label: str, world: World) -> tuple[int, ...]:
        name = self.names.get(label) or CALLED.get(label, label)
        if world.spell is None or not len(passage := world.spelled(name)):
            raise BadInput(f"the label {label!r} is called {name!r}, which has no tokens; find `names` for it")
        return tuple(passage.tokens.tolist())

    def columns(self, item: Item, world: World) -> Columns:
        """What can be said about a review: words whose first piece is read have a column."""
        opened, (review,) = int(self.opening and world.vocab.begins), item.passages
        read = (item.words >= 0) & (item.words < min(len(review), self.room(world)))
        return Columns(self.labels, np.where(read, item.words + opened, -1))

    def room(self, world: World) -> int:
        """Tokens of a review that are read: special ones aside."""
        return world.length - 1 - int(self.opening and world.vocab.begins)

    def format(self, item: Item, question: Question, opinions: Iterable[Opinion] | None, world: World) -> Example:
        """A review, cut to what there is room for, and what is written about it; without opinions, what `write` of
        `quire.nn.search` goes on from.

        Inexpressible for words without a piece that is read, for a polarity that is not one of ours, for two where one
        is asked for, and for more than there is room to write. ValueError for a subtask that is not learnt.
        """
        vocab, columns = world.vocab, self.columns(item, world)
        opened = [(vocab.cls, 0)] if self.opening and vocab.begins else []
        source = Example.laid(vocab, *opened, (item.passages[0][: self.room(world)], 0), (vocab.sep, 0))
        prefix: tuple[Symbol, ...] = (*self._mark(question), *question.prefix)
        shown = [columns.of(symbol) for symbol in prefix]
        told = [] if opinions is None else [*self._told(question, opinions, columns), END]
        tokens = [self._read(column, source, world) for column in (*shown, *told)]
        if len(tokens) + (not told) > world.length:
            raise Inexpressible(f"{len(tokens)} columns, and there is room for {world.length}")
        start = {"sep": vocab.sep, "pad": vocab.pad, "cls": vocab.cls}[self.start]
        # Of what is only shown, the last place is the one behind: what stands there is what is searched for.
        target = Example.written(self.slot, np.array(tokens if told else [*tokens, vocab.sep]), start=start)
        answers = np.array([*[IGNORE] * len(shown), *(told or [IGNORE])])
        return source.recast(source.tokens, replace(target, answers={self.slot: answers}))

    def _mark(self, question: Question) -> Sequence[str]:
        if question.subtask not in self.subtasks:
            raise ValueError(f"{question.subtask} is not one of the subtasks {', '.join(self.subtasks)}")
        return (question.subtask,) if len(self.subtasks) > 1 else ()

    def _told(self, question: Question, opinions: Iterable[Opinion], columns: Columns) -> list[int]:
        asked = question.answer(opinions)
        if question.once and len(asked) > 1:
            raise Inexpressible(f"an aspect with {len(asked)} polarities")
        if unknown := [said for said in asked if said.polarity is not None and said.polarity not in self.polarities]:
            raise Inexpressible(f"the polarity {unknown[0].polarity}, which is not one of {', '.join(self.polarities)}")
        return [columns.of(symbol) for symbol in question.encode(asked)]

    def _read(self, column: int, source: Example, world: World) -> int:
        """The token that a decoder reads of a column."""
        if column == END:
            return world.vocab.sep
        place = column - 1 - len(self.labels)
        return int(source.tokens[place]) if place >= 0 else world.vocab.size + column - 1

    def decode(self, item: Item, question: Question, written: Sequence[int], world: World) -> Told:
        """What columns say about a review, up to their end where they have one."""
        columns, row = self.columns(item, world), [*written]
        row = row[: row.index(END)] if END in row else row
        return question.decode([columns.symbol(column) for column in row])

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        if example.target is None or self.slot not in example.target.answers:
            raise BadInput(f"objectives: {self.slot} wants reviews with what they say: make examples with its `format`")
        return example

    def loss(self, step: Step) -> Tensor:
        return super().loss(step) if step.batch.target is not None else step.encode().sum() * 0
