"""Annotated reviews in splits, and what their annotations hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from quire.core.errors import BadInput
from quire.core.opinions import Opinion, Review
from quire.core.subtasks import OF_ASPECT, PARTS, Subtask
from quire.report.reviews import spelled
from quire.text.absa import compared, read_reviews, refuse_pooled
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
    notes: tuple[str, ...] = ()

    @property
    def hashes(self) -> dict[str, str]:
        """sha256 of each."""
        return {name: _fingerprint(getattr(self, name)) for name in ("train", "dev", "test")}


def told_by(reviews: Sequence[Review], where: str) -> What:
    """The richest subtask that asks for at least half as many opinions as the one that asks for most; categories, where
    no words are told at all."""
    said = [opinion for review in reviews for opinion in review.opinions]
    counts = {subtask: sum(holds(opinion, subtask) for opinion in said) for subtask in WHOLE}
    if most := max(counts.values()):
        return next(subtask for subtask, count in counts.items() if 2 * count >= most)
    if any(holds(opinion, CATEGORY) for opinion in said):
        return CATEGORY
    raise BadInput(f"{where}: no aspect, opinion or category is told of any review; annotate what is to be learnt")


def holds(opinion: Opinion, what: What) -> bool:
    """Whether it has all parts of what is told, and the aspect that is asked about."""
    if what == CATEGORY:
        return opinion.category is not None
    parts = (*PARTS[what], *(("aspect",) if what in OF_ASPECT else ()))
    return all(getattr(opinion, part) is not None for part in parts)


def refuse_untold(reviews: Sequence[Review], what: What, *, where: str) -> None:
    """BadInput where nothing is told that could be compared with what a model says."""
    if not any(holds(opinion, what) for review in reviews for opinion in review.opinions):
        raise BadInput(f"{where}: of no review is told what is learnt, {what}; annotate it, or give another file")


def split(
    held: Sequence[Review], *, what: What, train: str, dev: str | None, test: str | None, share: float, seed: int
) -> Splits:
    """Train, dev and test, a share of `held` where there is no file; texts that are the same but for their signs stay
    together. BadInput for a file that tells nothing of `what`, or much of which also stands in train."""
    learnt, notes = [*held], [*_unasked(held, what)]
    tested = _read(test, what) if test else None
    if tested is None:
        learnt, tested = _held_out(learnt, share=share, seed=seed, where=train)
    watched = _read(dev, what) if dev else None
    if watched is None:
        learnt, watched = _held_out(learnt, share=share, seed=seed + 1, where=train)
    for name, other in (("dev", watched), ("test", tested)):
        if again := refuse_pooled(learnt, other, name=name):
            notes.append(f"{again} of {len(other)} {name} reviews also stand in train: the {name} score is too high")
    return Splits(learnt, watched, tested, tuple(notes))


def _read(path: str, what: What) -> list[Review]:
    reviews = read_reviews(path)
    refuse_untold(reviews, what, where=path)
    return reviews


def _unasked(reviews: Sequence[Review], what: What) -> Iterator[str]:
    """Of opinions that are not learnt, how many, where the first stands, and what would learn them."""
    said = [(review, opinion) for review in reviews for opinion in review.opinions]
    if left := [(review, opinion) for review, opinion in said if not holds(opinion, what)]:
        other = "--subtask category learns categories, without words" if any(o.category for _, o in left) else ""
        yield (
            f"{len(left):,} of {len(said):,} opinions are not learnt: they lack a part of what is, {what}; the first: "
            f"{left[0][0].where}" + (f"; {other}" if other and what != CATEGORY else "")
        )


def _held_out(reviews: Sequence[Review], *, share: float, seed: int, where: str) -> tuple[list[Review], list[Review]]:
    rows = [Problem((compared(review.text),), None, str(number)) for number, review in enumerate(reviews)]
    rest, out = parted(rows, share=share, seed=seed, where=where)
    return [reviews[int(row.where)] for row in rest], [reviews[int(row.where)] for row in out]


def _fingerprint(reviews: Sequence[Review]) -> str:
    """sha256 of texts, words and opinions in their order."""
    rows = json.dumps([[review.text, review.places, spelled(review)] for review in reviews], ensure_ascii=False)
    return hashlib.sha256(rows.encode()).hexdigest()
