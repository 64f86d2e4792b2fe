"""Named entities as machine reading: a question for each kind (survey: NER as MRC; Li et al. 2020, "A Unified MRC
Framework for Named Entity Recognition", section 3).

    [CLS] question about the kind [SEP] window of the text [SEP]

L = - mean log P(starts here?) - mean log P(ends here?), a logistic unit each, over the words of the text

A start belongs to the nearest end at or behind it, the authors' way for flat entities. They also learn which starts
and ends match, for entities that nest in others of their kind; here those whose edges this rule pairs wrongly are
Inexpressible. Entities of different kinds may lie as they will.

Legend: L positions of one sequence, U units of words, the shortest that tokens can tell apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
from pydantic import model_validator
from torch import Tensor

from quire.core.answers import Answer, Inexpressible, Item, Kind, Spans, best_window
from quire.core.errors import nearest
from quire.core.example import Bools, Example, World
from quire.core.heads import HeadSpec
from quire.core.spec import Backbone, Size
from quire.nn.losses import binary_cross_entropy
from quire.nn.model import Step
from quire.paradigms.base import Said
from quire.paradigms.edges import CERTAIN, Edges, Reading, Units
from quire.paradigms.words import spelled


class ExtractSpans(Edges):
    """Spans of the last text, found kind by kind."""

    answers: ClassVar[Kind] = "spans"
    questions: Mapping[str, str] = {}
    """What is asked about a kind, by its label; of the others the label itself. Annotation guidelines do best."""
    question: Size = 64
    """Tokens of a question at most, the first ones."""

    @model_validator(mode="after")
    def _about_kinds(self) -> "ExtractSpans":
        for label in self.questions:
            if label not in self.labels:
                raise ValueError(f"a question about {label!r}, which is no label{nearest(label, self.labels)}")
        return self

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        spelled(self.labels, [self.questions.get(label, label) for label in self.labels], world)
        return super().parts(backbone, world)

    def format(self, item: Item, answer: Answer | None, world: World) -> list[Example]:
        units = Units.of(item)
        found: list[Example] = []
        for label, reading in self._readings(item, world):
            examples = reading.examples(world.vocab)
            if answer is not None:
                starts, ends = self._told(units, answer, label)
                windows = zip(examples, reading.windows, strict=True)
                examples = [self._asked(e, units, reading.begin, w, starts=starts, ends=ends) for e, w in windows]
            found += examples
        return found

    def gold(self, example: Example) -> Said:
        """[L, 2]."""
        sides = [np.where(example.answers[slot] == 1, CERTAIN, -CERTAIN) for slot in (self.slot, self.ends)]
        return np.stack(sides, axis=1).astype(np.float32)

    def loss(self, step: Step) -> Tensor:
        start, end = (
            binary_cross_entropy(step.logits(slot, head=self.slot)[:, column], step.answers(slot))
            for column, slot in enumerate((self.slot, self.ends))
        )
        return start + end

    def says(self, step: Step) -> list[Said]:
        """[L, 2] each: the scores of starts and of ends, told where they are above 0."""
        return self.scores(step)

    def decode(self, item: Item, said: Sequence[Said], world: World) -> Spans:
        units, left = Units.of(item), iter(said)
        found = set()
        for label, reading in self._readings(item, world):
            rows = [next(left) for _ in reading.windows]
            starts, ends = (
                np.array([_read(rows, reading, int(token), column) > 0 for token in tokens], dtype=bool)
                for column, tokens in enumerate((units.tokens[:-1], units.tokens[1:] - 1))
            )
            found |= {units.span(first, last, label) for first, last in _paired(starts, ends)}
        return frozenset(found)

    def _readings(self, item: Item, world: World) -> Iterator[tuple[str, Reading]]:
        """Each kind, and the text behind the question about it."""
        *before, text = item.passages
        for label in self.labels:
            asked = world.spelled(self.questions.get(label, label))
            yield label, Reading.of([asked, *before], text, world, limit=self.question)

    def _told(self, units: Units, answer: Answer, label: str) -> tuple[Bools, Bools]:
        """[U] where spans of the kind begin, and where they end."""
        assert isinstance(answer, frozenset)
        held = {units.held(span) for span in answer if span.label == label}
        starts, ends = np.zeros((2, len(units)), dtype=bool)
        for first, last in held:
            starts[first] = ends[last] = True
        if set(_paired(starts, ends)) != held:
            raise Inexpressible(f"{label}: a start does not belong to the nearest end behind it")
        return starts, ends

    def _asked(
        self, example: Example, units: Units, begin: int, window: slice, *, starts: Bools, ends: Bools
    ) -> Example:
        """Every first and every last token of a unit that the window shows."""
        sides = (self.slot, units.tokens[:-1], starts), (self.ends, units.tokens[1:] - 1, ends)
        for slot, tokens, told in sides:
            shown = (window.start <= tokens) & (tokens < window.stop)
            where = np.zeros(len(example), dtype=bool)
            where[tokens[shown] - window.start + begin] = True
            example = example.label(slot, told[shown].astype(np.int64), at=where)
        return example


def _read(rows: Sequence[Said], reading: Reading, token: int, column: int) -> float:
    """What is said of a token of the text in the window where it has most around it."""
    number = best_window(token, reading.windows)
    return float(rows[number][token - reading.windows[number].start + reading.begin, column])


def _paired(starts: Bools, ends: Bools) -> Iterator[tuple[int, int]]:
    """Each start with the nearest end at or behind it; a start without one is left alone."""
    (at,) = np.nonzero(ends)
    for start in np.flatnonzero(starts).tolist():
        if (place := int(np.searchsorted(at, start))) < len(at):
            yield start, int(at[place])
