"""Named entities are written as a list (survey: NER as Seq2Seq; Yan et al. 2021, "A Unified Generative Framework for
Various NER Subtasks", have pointers into the text where its tokens stand here).

    [CLS] text [SEP] first name [SEP] ... [SEP]  name [SEP] words of the text [SEP] name [SEP] words ... [SEP] [SEP]

Written is the likeliest token each time among those that make a list of spans of this text (`quire.paradigms.listing`),
so that whatever a model has learnt it ends and can be read.

Legend: L positions of one sequence, T tokens of a list, R lists in writing, U units of words, the shortest that tokens
can tell apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from quire.core.answers import Answer, Inexpressible, Item, Kind, Spans, windows
from quire.core.errors import BadInput
from quire.core.example import Example, Passage, World
from quire.core.heads import HeadSpec
from quire.core.spec import Backbone, Positive
from quire.nn.model import Model, Step
from quire.nn.stepwise import Stepwise
from quire.paradigms.base import Said
from quire.paradigms.edges import Units
from quire.paradigms.listing import Listing, Named, Source
from quire.paradigms.written import Written, names_of, prompts

LEAST = 8
"""Tokens of a list that may be written about the shortest text."""


class WriteSpans(Written):
    """Spans of the last text, in the order of their first words.

    A list holds `longest` tokens for each of its text, and 8. A text that leaves no room for its list is read in
    windows, and a span is told by the window that shows most around it. Texts before it take half of the room at most.
    What a list would say of another place, as of the second of two equal words, is Inexpressible.
    """

    answers: ClassVar[Kind] = "spans"
    longest: Positive = 2.0
    """Where nearly all words are in spans (chunks), take 3."""

    @property
    def marks(self) -> str:
        """The slot that marks the tokens which may be written: 1 where a word begins, else 0."""
        return f"{self.slot}_edges"

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        parts = super().parts(backbone, world)
        self._reading(Item((Passage(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)),)), world)
        return parts

    def format(self, item: Item, answer: Answer | None, world: World) -> list[Example]:
        before, views = self._reading(item, world)
        told = None if answer is None else self._held(answer, views)
        examples = []
        for number, view in enumerate(views):
            row = None if told is None else self._listed(told[number], view)
            example = self.laid([*before, item.passages[-1][view.window]], row, world)
            begin = int(world.vocab.begins) + sum(len(text) + 1 for text in before) + view.skipped
            marks = np.isin(np.arange(len(view.source.text)), view.source.begins).astype(np.int64)
            examples.append(example.label(self.marks, marks, at=np.arange(begin, begin + len(marks))))
        return examples

    def gold(self, example: Example) -> Said:
        """[T]: the tokens of the list."""
        return np.array(self.target(example), dtype=np.float32)

    def says(self, step: Step) -> list[Said]:
        """[T] each: the tokens of a list."""
        begun, words = prompts(step), self._words(step)
        listings = []
        for prompt, (text, begins) in zip(begun, words, strict=True):
            source = Source(names_of(prompt), text, begins, int(prompt.tokens[-1]))
            room = step.model.spec.positions - len(prompt) + 1
            listings.append(Listing(source, limit=min(_most(len(text), self.longest), room)))
        return _written(step.model, begun, listings, head=self.head)

    def decode(self, item: Item, said: Sequence[Said], world: World) -> Spans:
        _, views = self._reading(item, world)
        found = set()
        for number, (view, row) in enumerate(zip(views, said, strict=True)):
            for one in Listing.read(view.source, row.astype(np.int64).tolist()):
                first, last = view.units_of(one)
                if number == max(range(len(views)), key=lambda n: views[n].context(first, last)):
                    found.add(view.units.span(first, last, self.labels[one.name]))
        return frozenset(found)

    def _reading(self, item: Item, world: World) -> tuple[list[Passage], list["View"]]:
        """The texts before the last, cut, and the windows of the last. BadInput where there is no room."""
        *before, text = item.passages
        room = world.length - self.taken(world) - 1 - LEAST
        each = max(room // (2 * len(before)) - 1, 0) if before else 0
        cut = [passage[:each] for passage in before]
        most = int((room - sum(len(passage) + 1 for passage in cut)) / (1 + self.longest))
        if most < 2:
            raise BadInput(f"length {world.length}: no room for a text, the names of labels and a list; take more")
        units = Units.of(item) if len(text) else Units(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
        names = [tuple(name.tokens.tolist()) for name in self.spelled(world)]
        return cut, [View.of(text, units, window, names, world.vocab.sep) for window in windows(len(text), room=most)]

    def _held(self, answer: Answer, views: Sequence["View"]) -> list[list[Named]]:
        """The spans that each window shows whole, in the order of a list."""
        assert isinstance(answer, frozenset)
        told = [list[Named]() for _ in views]
        for span in sorted(answer):
            first, last = views[0].units.held(span)
            shown = [(view, row) for view, row in zip(views, told, strict=True) if view.shows(first, last)]
            if not shown:
                raise Inexpressible("a span longer than what windows share")
            for view, row in shown:
                row.append(view.named(self.labels.index(span.label), first, last))
        return told

    def _listed(self, spans: Sequence[Named], view: "View") -> list[int]:
        """The tokens of a list; Inexpressible where it would be read otherwise."""
        source, row = view.source, list[int]()
        for name, start, end in spans:
            row += [*source.names[name], source.sep, *source.text[start:end], source.sep]
        row.append(source.sep)
        if (most := _most(len(source.text), self.longest)) < len(row):
            raise Inexpressible(f"a list of {len(row)} tokens, where {most} is the most (`longest`)")
        if Listing.read(source, row) != list(spans):
            raise Inexpressible("words that stand in the text before, too, or one span with two labels")
        return row

    def _words(self, step: Step) -> list[tuple[list[int], list[int]]]:
        """The marked tokens of each sequence and which of them begin words, in the order the examples came in."""
        at_M, marks_M = step.asked(self.marks), step.answers(self.marks)
        sequence_M = torch.searchsorted(step.batch.first, at_M, right=True) - 1
        sizes = sequence_M.bincount(minlength=len(step.batch.first)).tolist()
        pieces = [torch.split(of_M, sizes) for of_M in (step.batch.tokens[at_M], marks_M)]
        found = [(text.tolist(), mark.nonzero()[:, 0].tolist()) for text, mark in zip(*pieces, strict=True)]
        return [found[place] for place in np.argsort(step.batch.order)]


@dataclass(frozen=True)
class View:
    """A window of a text, and what a list about it is made of: the units that stand whole in it."""

    window: slice
    units: Units
    inside: slice  # units
    source: Source

    @classmethod
    def of(cls, text: Passage, units: Units, window: slice, names: Sequence[tuple[int, ...]], sep: int) -> "View":
        """Of the words that stand whole in the window."""
        inside = units.within(window)
        first, behind = int(units.tokens[inside.start]), int(units.tokens[inside.stop])
        begins = (units.tokens[inside] - first).tolist()
        return cls(window, units, inside, Source(names, text.tokens[first:behind].tolist(), begins, sep))

    @property
    def skipped(self) -> int:
        """Tokens of the window before the first whole unit."""
        return int(self.units.tokens[self.inside.start] - self.window.start)

    def shows(self, first: int, last: int) -> bool:
        return bool(self.inside.start <= first and last < self.inside.stop)

    def named(self, name: int, first: int, last: int) -> Named:
        """The units `first` to `last` as tokens of the source."""
        start, end = (int(self.units.tokens[unit] - self.units.tokens[self.inside.start]) for unit in (first, last + 1))
        return Named(name, start, end)

    def units_of(self, named: Named) -> tuple[int, int]:
        """The first and the last unit of a span."""
        first, behind = np.searchsorted(self.units.tokens, np.array(named[1:]) + self.units.tokens[self.inside.start])
        return int(first), int(behind) - 1

    def context(self, first: int, last: int) -> int:
        """Tokens on the poorer side of these units; -1 where not all are shown."""
        if not self.shows(first, last):
            return -1
        start, end = self.units.tokens[first], self.units.tokens[last + 1]
        return int(min(start - self.window.start, self.window.stop - end))


def _most(tokens: int, longest: float) -> int:
    """Tokens of a list about so many."""
    return int(longest * tokens) + LEAST


@torch.inference_mode()
def _written(model: Model, begun: Sequence[Example], listings: Sequence[Listing], *, head: str) -> list[Said]:
    """The likeliest token each time until each list has ended, all in step."""
    writer = Stepwise(model, begun, head=head)
    rows, live = [list[int]() for _ in begun], list(range(len(begun)))
    told_RV = writer.start()
    while True:
        tokens = _likeliest(told_RV, [listings[i].allowed() for i in live])
        for i, token in zip(live, tokens, strict=True):
            listings[i].put(token)
            rows[i].append(token)
        going = [row for row, i in enumerate(live) if not listings[i].ended]
        if not going:
            return [np.array(row, dtype=np.float32) for row in rows]
        writer.reorder(torch.tensor(going, device=told_RV.device))
        live = [live[row] for row in going]
        told_RV = writer.next(torch.tensor([tokens[row] for row in going], device=told_RV.device))


def _likeliest(told_RV: Tensor, allowed: Sequence[Sequence[int]]) -> list[int]:
    """Of each row the likeliest token among those that are allowed."""
    rows = [row for row, tokens in enumerate(allowed) for _ in tokens]
    told = told_RV[rows, [token for tokens in allowed for token in tokens]].cpu().numpy()
    pieces = np.split(told, np.cumsum([len(tokens) for tokens in allowed])[:-1])
    return [tokens[int(np.argmax(piece))] for tokens, piece in zip(allowed, pieces, strict=True)]
