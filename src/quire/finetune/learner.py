"""What learns to tell what reviews say, and how well it does: a pointer at words, or a rater of categories."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from quire.core.errors import BadInput
from quire.core.example import Example
from quire.core.opinions import Opinion, Review
from quire.finetune.annotated import CATEGORY, What
from quire.objectives import Objective
from quire.objectives.point import Point
from quire.paradigms.classify import Classify
from quire.paradigms.words import spelled
from quire.predict.pointer import BEFORE, Pointer, Pointing
from quire.predict.rater import Rater, Rating
from quire.predict.solver import Solver, Solving
from quire.predict.teller import Teller
from quire.scoring import Scores
from quire.scoring.categories import semeval
from quire.scoring.tuples import opinion_scores
from quire.train.loop import planned
from quire.train.start import Base, started, with_decoder

LAYERS = 2
"""Of the fresh decoder on a base that has none."""


@dataclass(frozen=True)
class Answered:
    """A review, what is said of it or of one of its aspects, and what is true of that."""

    review: Review
    opinions: tuple[Opinion, ...]
    truth: tuple[Opinion, ...]


class Learner(ABC):
    """Makes examples of reviews, and scores what is said of them."""

    best: ClassVar[str]
    """The corrected score whose best moment on dev is kept."""
    teller: Teller
    objective: Objective

    @property
    @abstractmethod
    def what(self) -> What:
        """What is told."""

    @abstractmethod
    def examples(self, reviews: Sequence[Review]) -> tuple[list[Example], list[str]]:
        """What is learnt from, and for each review that is not, or not as it stands, its place and why."""

    @abstractmethod
    def check(self, reviews: Sequence[Review]) -> None:
        """BadInput where these reviews cannot be scored, known before anything is learnt."""

    @abstractmethod
    def answered(self, reviews: Sequence[Review]) -> tuple[list[Answered], Scores]:
        """What is said of these reviews, and how well."""


class Points(Learner):
    """Learns to point at the words of opinions."""

    best = "f1"

    def __init__(self, teller: Pointer) -> None:
        self.teller = self.pointer = teller
        self.objective = teller.plan.task

    @property
    def what(self) -> What:
        return self.pointer.plan.task.subtasks[0]

    def examples(self, reviews: Sequence[Review]) -> tuple[list[Example], list[str]]:
        return self.pointer.examples(self.pointer.asked(reviews, self.pointer.plan.task.subtasks[0]))

    def check(self, reviews: Sequence[Review]) -> None:
        """What was not learnt is missed."""

    def answered(self, reviews: Sequence[Review]) -> tuple[list[Answered], Scores]:
        asked = self.pointer.asked(reviews, subtask := self.pointer.plan.task.subtasks[0])
        told = self.pointer.told(asked)
        truth, said = [one.truth for one in asked], [one.opinions for one in told]
        scores = opinion_scores(subtask, truth, said, invalid=[one.invalid for one in told])
        found = [
            Answered(one.review, opinions, one.question.answer(one.truth))
            for one, opinions in zip(asked, said, strict=True)
        ]
        return found, scores


class Rates(Learner):
    """Learns which categories are spoken of, and how these are liked."""

    best = "joint_f1"

    def __init__(self, teller: Rater) -> None:
        self.teller = self.rater = teller
        self.objective = teller.solver.paradigm

    @property
    def what(self) -> What:
        return CATEGORY

    def examples(self, reviews: Sequence[Review]) -> tuple[list[Example], list[str]]:
        learnt, lost = self.rater.solver.examples(self.rater.plan.sheet(reviews).problems)
        return learnt, [*lost, *filter(None, map(_twice, reviews))]

    def check(self, reviews: Sequence[Review]) -> None:
        self.rater.plan.sheet(reviews)

    def answered(self, reviews: Sequence[Review]) -> tuple[list[Answered], Scores]:
        asked = self.rater.plan.sheet(reviews)
        shares_BAC = self.rater.shares(asked)
        said = self.rater.opinions(shares_BAC)
        scores = semeval(asked.truth, shares_BAC, asked.scheme.labels)
        truth = [tuple(replace(o, aspect=None, opinion=None) for o in r.opinions if o.category) for r in reviews]
        return [Answered(*row) for row in zip(reviews, said, truth, strict=True)], scores


def learner(teller: Teller) -> Learner:
    """Of what has learnt already, or not."""
    if isinstance(teller, Rater):
        return Rates(teller)
    assert isinstance(teller, Pointer)
    return Points(teller)


def begun(task: Point | Rating, base: Base, *, length: int, seed: int) -> Learner:
    """One that has not learnt; BadInput where the base cannot learn it."""
    if isinstance(task, Rating):
        return Rates(_rater(task, base, length=length, seed=seed))
    return Points(_pointer(task, base, length=length, seed=seed))


def _pointer(task: Point, base: Base, *, length: int, seed: int) -> Pointer:
    files = base.files if base.files.backbone.decoder else with_decoder(base.files, LAYERS)
    parts = planned([task], files.backbone, base.tokenizer.world(length=length))
    plan = Pointing(task=task, length=length)
    room = min(plan.search.limit, files.backbone.positions - BEFORE)
    plan = plan.model_copy(update={"search": plan.search.model_copy(update={"limit": room})})
    return Pointer(started(files, parts, seed=seed), base.tokenizer, plan)


def _rater(task: Rating, base: Base, *, length: int, seed: int) -> Rater:
    files, world, aspects = base.files, base.tokenizer.world(length=length), task.scheme.aspects
    if length > files.backbone.positions:
        raise BadInput(f"length {length}: the base has {files.backbone.positions} positions; take fewer")
    try:
        spelled([*aspects], [*aspects.values()], world)
    except BadInput as error:
        raise BadInput(f"categories: {error}, or give a base that reads this language as --start") from error
    paradigm = Classify(labels=task.answers)
    model = started(files, planned([paradigm], files.backbone, world), seed=seed)
    return Rater(Solver(model, base.tokenizer, Solving(task="label", paradigm=paradigm, length=length)), task)


def _twice(review: Review) -> str | None:
    """Where a category is liked in two ways, of which a pair has only one."""
    first: dict[str, Opinion] = {}
    for said in review.opinions:
        if said.category is not None and first.setdefault(said.category, said).polarity != said.polarity:
            return f"{review.where}: {said.category!r:.60} is liked in two ways, of which the first was learnt"
    return None
