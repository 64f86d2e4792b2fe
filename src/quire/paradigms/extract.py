"""Machine reading: y = the start and the end of an answer in a passage (survey: MRC; Devlin et al. 2019, 4.2, 4.3).

    [CLS] question [SEP] window of the passage [SEP]

L = - (log softmax(S h)[start] + log softmax(E h)[end]) / 2, over all positions; [CLS] stands for no answer

A span's score is S h_start + E h_end, the best over windows; that of no answer is the least over windows (Devlin et
al. 2019, 4.3, and their run_squad.py, with two differences: windows overlap by half, where a stride of 128 stands
there, and a span counts in every window, not in that alone where its start has most context).

Legend: L positions of one sequence, U units of words, the shortest that tokens can tell apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from scipy.special import softmax
from torch import Tensor

from quire.core.answers import Answer, Inexpressible, Item, Kind, Span, Spans
from quire.core.example import Example, Ints, World
from quire.core.spec import Size
from quire.nn.model import Step
from quire.paradigms.base import Said
from quire.paradigms.edges import CERTAIN, Edges, Reading, Units


@dataclass(frozen=True)
class Candidate:
    """What may be the answer, a span or that there is none; its score, and its share among those that are listed."""

    span: Span | None
    score: float
    probability: float


def best_margin(margins: Sequence[float], none: Sequence[float], best: Sequence[float]) -> float:
    """The `null_margin` that scores most on held-out questions, the smallest of several (SQuAD 2.0's best threshold).

    Of each question: the margin of no answer over the best span, the score of no answer, and that of the span.
    """
    order = np.argsort(margins, kind="stable")
    margin_N = np.asarray(margins, dtype=np.float64)[order]
    gain_N = (np.asarray(best) - np.asarray(none))[order].cumsum()  # of spans up to this margin over no answer
    (last,) = np.nonzero(np.append(margin_N[1:] > margin_N[:-1], True) & np.isfinite(margin_N))
    if not len(last):
        return 0.0
    top = last[np.argmax(gain_N[last])]
    return float(margin_N[top]) if gain_N[top] > 0 else float(margin_N[0]) - 1


class Extract(Edges):
    """One span of the last text, or none; the texts before it are the question."""

    answers: ClassVar[Kind] = "spans"
    labels: tuple[str] = ("answer",)
    question: Size = 64
    """Tokens of a question at most, the first ones."""
    longest: Size = 30
    """Words of an answer at most."""
    null_margin: float | None = 0.0
    """How much more than the best span no answer must score to be the answer; None where each question has one.

    It is chosen on held-out questions (`best_margin`).
    """
    absent: bool = True
    """Whether windows without the answer are asked for [CLS]; otherwise nothing is asked of them."""

    def format(self, item: Item, answer: Answer | None, world: World) -> list[Example]:
        reading = self._reading(item, world)
        examples = reading.examples(world.vocab)
        if answer is None:
            return examples
        edges = self._edges(Units.of(item), answer)
        shown = [edges is not None and w.start <= edges[0] and edges[1] < w.stop for w in reading.windows]
        if edges and not any(shown):
            raise Inexpressible("an answer longer than what windows share")
        asked = []
        for example, window, holds in zip(examples, reading.windows, shown, strict=True):
            if edges and holds:
                start, end = (edge - window.start + reading.begin for edge in edges)
                example = self.pointed(example, start, end)
            elif self.absent or not edges:
                example = self.pointed(example, 0, 0)
            asked.append(example)
        return asked

    def gold(self, example: Example) -> Said:
        """[L, 2]."""
        rows: Said = np.zeros((len(example), 2), dtype=np.float32)
        for column, slot in enumerate((self.slot, self.ends)):
            rows[np.argmax(example.answers[slot] == column) if slot in example.answers else 0, column] = CERTAIN
        return rows

    def loss(self, step: Step) -> Tensor:
        return self.pointing_loss(step)

    def says(self, step: Step) -> list[Said]:
        """[L, 2] each: the scores of starts and of ends."""
        return self.scores(step)

    def decode(self, item: Item, said: Sequence[Said], world: World) -> Spans:
        none, best = self._weighed(item, said, world)
        if best is None or (self.null_margin is not None and none - best[1] > self.null_margin):
            return frozenset()
        return frozenset({best[0]})

    def tuned(self, known: Sequence[tuple[Item, Answer | None, Sequence[Said]]], world: World) -> Self:
        """With the margin under which most held-out questions are answered exactly."""
        if self.null_margin is None or not known:
            return self
        margins, right = [], []
        for item, answer, said in known:
            none, best = self._weighed(item, said, world)
            margins.append(float("inf") if best is None else none - best[1])
            right.append((float(answer == frozenset()), float(best is not None and answer == frozenset({best[0]}))))
        return self.model_copy(update={"null_margin": best_margin(margins, *zip(*right, strict=True))})

    def margin(self, item: Item, said: Sequence[Said], world: World) -> float:
        """How much more no answer scores than the best span: what `null_margin` is held against."""
        none, best = self._weighed(item, said, world)
        return float("inf") if best is None else none - best[1]

    def candidates(self, item: Item, said: Sequence[Said], world: World, *, count: int = 20) -> list[Candidate]:
        """The `count` best spans and, where that may be, no answer; the best first. Their probabilities sum to 1."""
        listed: list[tuple[Span | None, float]] = list(self._best(item, said, world, count=count))
        if self.null_margin is not None or not listed:
            listed.append((None, _none(said)))
        listed.sort(key=lambda one: -one[1])
        shares = softmax([score for _, score in listed]).tolist()
        return [Candidate(span, score, share) for (span, score), share in zip(listed, shares, strict=True)]

    def _weighed(self, item: Item, said: Sequence[Said], world: World) -> tuple[float, tuple[Span, float] | None]:
        return _none(said), next(iter(self._best(item, said, world, count=1)), None)

    def _reading(self, item: Item, world: World) -> Reading:
        return Reading.of(item.passages[:-1], item.passages[-1], world, limit=self.question)

    def _edges(self, units: Units, answer: Answer) -> tuple[int, int] | None:
        assert isinstance(answer, frozenset)
        if not answer:
            if self.null_margin is None:
                raise Inexpressible("no answer, where each question has one (`null_margin`)")
            return None
        if len(answer) > 1:
            raise Inexpressible(f"{len(answer)} spans, where one is asked for")
        (span,) = answer
        if span.end - span.start > self.longest:
            raise Inexpressible(f"an answer of {span.end - span.start} words, where {self.longest} is the most")
        return units.edges(*units.held(span))

    def _best(self, item: Item, said: Sequence[Said], world: World, *, count: int) -> list[tuple[Span, float]]:
        """At most `count` spans with their scores, the best first."""
        units, reading = Units.of(item), self._reading(item, world)
        found: dict[tuple[int, int], float] = {}
        for window, rows_L2 in zip(reading.windows, said, strict=True):
            inside, here = units.within(window), reading.begin - window.start
            start_U = rows_L2[units.tokens[inside.start : inside.stop] + here, 0]
            end_U = rows_L2[units.tokens[inside.start + 1 : inside.stop + 1] - 1 + here, 1]
            words = units.words[inside.start : inside.stop + 1]
            for pair, score in _pairs(start_U, end_U, words, longest=self.longest, count=count):
                place = pair[0] + inside.start, pair[1] + inside.start
                found[place] = max(score, found.get(place, score))
        ranked = sorted(found.items(), key=lambda one: (-one[1], one[0]))[:count]
        return [(units.span(first, last, self.labels[0]), score) for (first, last), score in ranked]


def _pairs(
    start_U: Said, end_U: Said, words: Ints, *, longest: int, count: int
) -> Iterator[tuple[tuple[int, int], float]]:
    """The `count` best pairs of a first and a last unit, of at most `longest` words, and their scores."""
    size_UU = words[None, 1:] - words[:-1, None]
    score_UU = np.where((size_UU > 0) & (size_UU <= longest), start_U[:, None] + end_U, -np.inf)
    for place in np.argsort(-score_UU, axis=None, kind="stable")[:count].tolist():
        first, last = divmod(place, len(start_U))
        if np.isfinite(score_UU[first, last]):
            yield (first, last), float(score_UU[first, last])


def _none(said: Sequence[Said]) -> float:
    return min(float(rows_L2[0].sum()) for rows_L2 in said)
