"""A model that points at what reviews say: aspects, words of opinion, polarities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from pydantic import model_validator

from quire.core.answers import Inexpressible, Item
from quire.core.config import Settings, parse
from quire.core.errors import BadInput
from quire.core.example import Example
from quire.core.grammar import END, Grammar
from quire.core.opinions import Opinion, Review, Words
from quire.core.search import Search
from quire.core.spec import Backbone, Size
from quire.core.subtasks import OF_ASPECT, Question, Subtask, Told, questions
from quire.nn.model import Model
from quire.nn.search import write
from quire.objectives.point import Point
from quire.predict.saving import save_network
from quire.predict.teller import Teller, blank
from quire.text.absa.places import quoted
from quire.text.problems import Problem, items
from quire.text.tokenizers import Tokenizer
from quire.train.start import tokenizer_of
from quire.train.weights import ModelFiles

AT_ONCE = 64
"""Reviews answered side by side."""
BEFORE = 4
"""Tokens before an answer at most: start, subtask, both ends of an aspect."""
EXTRA = "pointing"
"""Where a model folder keeps its `Pointing`."""


class Pointing(Settings):
    """What is asked of reviews, how much of them is read, and how answers are searched for."""

    task: Point
    length: Size
    """Tokens of a review, special ones included, and of what is written about it."""
    search: Search = Search(limit=128, beam=4, length_penalty=1.0)
    """The published beam. Theirs has a limit for each data set, told from its dev and test sets too; this one is wide
    enough to be told from none."""
    grammar: bool = True
    """Whether only what is well formed is said; else, as published, what is malformed is dropped and counted."""

    @model_validator(mode="after")
    def _answers_fit(self) -> Self:
        if self.search.limit < (least := 2 if "alsc" in self.task.subtasks else 1):
            raise ValueError(f"search.limit {self.search.limit}: an answer and its end are {least}; raise it")
        return self

    def check_room(self, backbone: Backbone) -> None:
        """BadInput where what is searched for is longer than the model's positions, with all that stands before it."""
        if (needed := self.search.limit + BEFORE) > backbone.positions:
            raise BadInput(
                f"limit {self.search.limit}: with what stands before it {needed} tokens, and the model has "
                f"{backbone.positions} positions; lower it"
            )


@dataclass(frozen=True)
class Asked:
    """A question about a review."""

    review: Review
    question: Question

    @property
    def truth(self) -> list[Opinion]:
        """What the review says of what is asked about."""
        return [said for said in self.review.opinions if self.question.aspect in (None, said.aspect)]


class Pointer(Teller):
    """Model, tokenizer and plan."""

    def __init__(self, model: Model, tokenizer: Tokenizer, plan: Pointing) -> None:
        plan.check_room(model.spec)
        self.model, self.tokenizer, self.plan = model.eval(), tokenizer, plan
        self.length, self.world = plan.length, tokenizer.world(length=plan.length)

    def __call__(self, text: str, *, subtask: Subtask | None = None, aspects: Sequence[str] = ()) -> Review:
        """The text as a review with what it says, as the first subtask asks for it, or another that was learnt.

        Words are runs of letters or digits, single Han characters, and other signs. `alsc` and `aoe` are asked about
        `aspects`, each where the text holds it, as in `pointer("The food was great", aspects=["food"])`. BadInput for
        these without aspects, for others with some, and for a subtask that was not learnt.
        """
        (review,) = self.reviews([text], subtask=subtask, aspects=aspects)
        return review

    def reviews(
        self, texts: Sequence[str], *, subtask: Subtask | None = None, aspects: Sequence[str] = ()
    ) -> list[Review]:
        """Several texts, likewise, each about all of the aspects that it holds."""
        subtask = self._learnt(subtask)
        if subtask in OF_ASPECT and not aspects:
            raise BadInput(f"{subtask} is asked about an aspect: give some, as in aspects=['food']")
        if subtask not in OF_ASPECT and aspects:
            raise BadInput(f"{subtask} is asked about whole reviews: leave the aspects out")
        return self.answered(asking(blank(texts), aspects), subtask=subtask)

    def answered(self, reviews: Sequence[Review], *, subtask: Subtask | None = None) -> list[Review]:
        """The same reviews with what the model says of them, each opinion once, in the order first said.

        What is asked about aspects is asked about those that the reviews tell of; one that tells of none says nothing.
        """
        subtask = self._learnt(subtask)
        asked = [(at, q) for at, review in enumerate(reviews) for q in _about(subtask, review)]
        found = [dict[Opinion, None]() for _ in reviews]  # a beam may write one opinion again and again
        told = self.told([Asked(reviews[at], question) for at, question in asked])
        for (at, _), one in zip(asked, told, strict=True):
            found[at] |= dict.fromkeys(one.opinions)
        return [replace(review, opinions=tuple(said)) for review, said in zip(reviews, found, strict=True)]

    @property
    def of_aspects(self) -> bool:
        return self.plan.task.subtasks[0] in OF_ASPECT

    def _learnt(self, subtask: Subtask | None) -> Subtask:
        """The first one, or this; BadInput where it was not learnt."""
        learnt = self.plan.task.subtasks
        if subtask is not None and subtask not in learnt:
            raise BadInput(f"the subtask {subtask!r:.40} was not learnt; ask for {' or '.join(learnt)}")
        return subtask or learnt[0]

    @staticmethod
    def asked(reviews: Sequence[Review], subtask: Subtask) -> list[Asked]:
        """What a subtask asks of reviews: of those that tell about aspects, about each of these."""
        return [Asked(review, q) for review in reviews for q in questions(subtask, review.opinions)]

    def told(self, asked: Sequence[Asked]) -> list[Told]:
        """The answers, in the order of the questions; who else is asked does not matter.

        Of a review longer than is read its beginning is answered (see `cut_share`): an aspect behind that has none.
        """
        posed = self._posed([one.review for one in asked])
        read = [i for i, one in enumerate(asked) if self._read(posed[i], one.question)]
        order = sorted(read, key=lambda i: len(posed[i].passages[0]))  # equal lengths need no masks
        found = dict.fromkeys(range(len(asked)), Told(()))
        for begin in range(0, len(order), AT_ONCE):
            here = order[begin : begin + AT_ONCE]
            found |= zip(here, self._answers([posed[i] for i in here], [asked[i].question for i in here]), strict=True)
        return [found[i] for i in range(len(asked))]

    def _read(self, item: Item, question: Question) -> bool:
        """Whether the aspect that is asked about, if any, stands in what is read."""
        return set(question.prefix) <= {*self.plan.task.columns(item, self.world).words.tolist()}

    def cut_share(self, texts: Sequence[str]) -> float:
        room = self.plan.task.room(self.world)
        return sum(len(passage) > room for passage in self.tokenizer.encode(texts)) / len(texts)

    def _answers(self, posed: Sequence[Item], asked: Sequence[Question]) -> list[Told]:
        task, world, search = self.plan.task, self.world, self.plan.search
        pairs = list(zip(posed, asked, strict=True))
        prompts = [task.format(item, question, None, world) for item, question in pairs]
        rules = [Grammar.of(q, task.columns(item, world), limit=search.limit) for item, q in pairs]
        kept = rules if self.plan.grammar else None
        found = write(self.model, prompts, head=task.head, search=search, end=END, rules=kept)
        return [task.decode(*pair, one.tokens.tolist(), world) for pair, one in zip(pairs, found, strict=True)]

    def examples(self, asked: Sequence[Asked]) -> tuple[list[Example], list[str]]:
        """What is learnt from, and for each question whose answer cannot be pointed at, its place and why."""
        learnt, lost = list[Example](), list[str]()
        for one, item in zip(asked, self._posed([one.review for one in asked]), strict=True):
            try:
                learnt.append(self.plan.task.format(item, one.question, one.review.opinions, self.world))
            except Inexpressible as why:
                lost.append(f"{one.review.where}: {why}")
        return learnt, lost

    def _posed(self, reviews: Sequence[Review]) -> list[Item]:
        for review in reviews:
            if (fault := review.fault()) is not None:
                raise BadInput(f"{review.where}: {fault}")
        return items([Problem((r.text,), None, r.where, r.places) for r in reviews], self.tokenizer)

    def save(self, folder: Path, *, card: str = "") -> None:
        """Write a model folder that `Pointer.of` opens."""
        extra = {EXTRA: self.plan.model_dump(mode="json")}
        save_network(folder, self.model, self.tokenizer, card=card, extra=extra)

    @classmethod
    def of(cls, folder: Path, files: ModelFiles) -> Pointer:
        """What a model folder holds; BadInput where it does not fit what it says of itself."""
        plan = parse(Pointing, files.extra[EXTRA], where=f"{folder}: {EXTRA}")
        tokenizer = tokenizer_of(folder, files.backbone)
        parts = plan.task.parts(files.backbone, tokenizer.world(length=plan.length))
        if {slot: files.heads.get(slot) for slot in parts} != parts:
            raise BadInput(
                f"{folder}: {EXTRA}: the head {plan.task.head!r} is not what it needs; write the folder again"
            )
        model = Model.of(files.backbone, {slot: files.heads[slot] for slot in parts}, files.state)
        return cls(model, tokenizer, plan)


def asking(reviews: Sequence[Review], aspects: Sequence[str]) -> list[Review]:
    """The reviews as telling of those of these aspects that they hold, in capitals or not, and of nothing else.

    BadInput for a blank aspect.
    """
    if isinstance(aspects, str) or not all(isinstance(aspect, str) and aspect.strip() for aspect in aspects):
        raise BadInput(f"aspects: {aspects!r:.60} is no list of words; give a list of strings, none blank")
    return [replace(r, opinions=tuple(Opinion(run) for one in aspects if (run := _held(r, one)))) for r in reviews]


def _held(review: Review, aspect: str) -> Words | None:
    """Its words in a review, if they stand there."""
    try:
        return quoted(_lower(review.text), review.places, _lower(aspect), where=review.where)
    except BadInput:
        return None


def _lower(text: str) -> str:
    """In small letters, each of which stands where the capital stood: there are some that become two."""
    return "".join(small if len(small := one.lower()) == 1 else one for one in text)


def _about(subtask: Subtask, review: Review) -> list[Question]:
    """What is asked of a review: one question, or one about each aspect that it tells of, whatever it says of that."""
    if subtask not in OF_ASPECT:
        return [Question(subtask)]
    return [Question(subtask, aspect) for aspect in sorted({said.aspect for said in review.opinions if said.aspect})]
