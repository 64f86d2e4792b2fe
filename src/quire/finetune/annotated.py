"""Annotated reviews in splits, and what their annotations hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from quire.core.errors import BadInput
from quire.core.opinions import Review
from quire.core.subtasks import PARTS, Subtask
from quire.report.reviews import spelled
from quire.text.absa import read_reviews, refuse_pooled
from quire.text.asked import parted
from quire.text.problems import Problem

WHOLE: tuple[Subtask, ...] = ("triplet", "pair", "aesc", "ae", "oe")
"""What a file can hold, the richest first; alsc and aoe ask about aspects that are given."""
Category: TypeAlias = Literal["category"]
CATEGORY: Category = "category"
"""Which categories a review speaks of, and how they are liked: no words are told for these."""
What: TypeAlias = Subtask | Category


@dataclass(frozen=True)
class Splits:
    """Reviews to learn from, to choose on and to judge on."""

    train: Sequence[Review]
    dev: Sequence[Review]
    test: Sequence[Review]

    @property
    def hashes(self) -> dict[str, str]:
        """sha256 of each."""
        return {name: _fingerprint(getattr(self, name)) for name in ("train", "dev", "test")}


def told_by(reviews: Sequence[Review], where: str) -> What:
    """The richest subtask whose parts are told together somewhere; categories, where no words are told at all."""
    said = [opinion for review in reviews for opinion in review.opinions]
    for subtask in WHOLE:
        if any(all(getattr(opinion, part) for part in PARTS[subtask]) for opinion in said):
            return subtask
    if any(opinion.category for opinion in said):
        return CATEGORY
    raise BadInput(f"{where}: no aspect, opinion or category is told of any review; annotate what is to be learnt")


def split(held: Sequence[Review], *, train: str, dev: str | None, test: str | None, share: float, seed: int) -> Splits:
    """Train, dev and test, a share of `held` where there is no file; equal texts stay together. BadInput where what is
    held out also stands in train."""
    learnt = [*held]
    tested = read_reviews(test) if test else None
    if tested is None:
        learnt, tested = _held_out(learnt, share=share, seed=seed, where=train)
    watched = read_reviews(dev) if dev else None
    if watched is None:
        learnt, watched = _held_out(learnt, share=share, seed=seed + 1, where=train)
    for other in (watched, tested):
        refuse_pooled(learnt, other)
    return Splits(learnt, watched, tested)


def _held_out(reviews: Sequence[Review], *, share: float, seed: int, where: str) -> tuple[list[Review], list[Review]]:
    rows = [Problem((review.text,), None, str(number)) for number, review in enumerate(reviews)]
    rest, out = parted(rows, share=share, seed=seed, where=where)
    return [reviews[int(row.where)] for row in rest], [reviews[int(row.where)] for row in out]


def _fingerprint(reviews: Sequence[Review]) -> str:
    """sha256 of texts, words and opinions in their order."""
    rows = json.dumps([[review.text, review.places, spelled(review)] for review in reviews], ensure_ascii=False)
    return hashlib.sha256(rows.encode()).hexdigest()
