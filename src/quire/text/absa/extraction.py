"""Aspects and words of opinion as spans of two kinds, to be asked for, tagged or written (survey: ABSA as MRC)."""

from pathlib import Path

from quire.core.answers import Span
from quire.core.opinions import Review
from quire.text.absa.opening import read_reviews
from quire.text.problems import Problem


def read_extraction(path: str | Path) -> list[Problem]:
    """The reviews of a file in any of the formats, with the words that are marked; what is only meant has none.

    Who belongs to whom and how it is liked is left out: `quire.core.subtasks` tells it.
    """
    return [extraction(review) for review in read_reviews(path)]


def extraction(review: Review) -> Problem:
    """A review as a text with spans, each once."""
    aspects = {Span(*said.aspect, "aspect") for said in review.opinions if said.aspect}
    words = {Span(*said.opinion, "opinion") for said in review.opinions if said.opinion}
    return Problem((review.text,), frozenset(aspects | words), review.where, review.places)
