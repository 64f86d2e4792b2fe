"""What reviews say, for a person: each with its evidence, all of them summed up by aspect, and a page of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from quire.core.opinions import POLARITIES, Opinion, Review, Words
from quire.report.template import fill

QUOTED = 3
"""Reviews that are quoted for each aspect."""
SIGNS: Mapping[str | None, str] = {"positive": "+", "negative": "−", "neutral": "○", "conflict": "±", None: "·"}
"""So that a page is read without its colours."""


@dataclass(frozen=True)
class Aspect:
    """What is spoken of, by its words in any case or by its category, and how often it is liked in which way."""

    name: str
    polarities: Mapping[str, int]
    """How often it has each, the most frequent first; empty where none is told."""
    times: int
    quotes: tuple[tuple[Review, Opinion], ...]
    """The first reviews, each text once."""


@dataclass(frozen=True)
class Mark:
    """A stretch of a text: what all of its characters are part of."""

    text: str
    polarity: str | None
    aspect: bool
    opinion: bool
    sign: str
    """Behind the last character of an aspect."""


def spelled(review: Review) -> list[dict[str, Any]]:
    """Its opinions as JSON holds them: characters and text of each part, and None for what is not told."""

    def part(words: Words | None) -> dict[str, Any] | None:
        if words is None:
            return None
        start, end = review.places[words[0]][0], review.places[words[1] - 1][1]
        return {"start": start, "end": end, "text": review.text[start:end]}

    return [
        {"aspect": part(o.aspect), "opinion": part(o.opinion), "polarity": o.polarity, "category": o.category}
        for o in review.opinions
    ]


def lines(review: Review) -> Iterator[str]:
    """A line for each opinion: aspect, words, polarity, with - for what is not told, and a category where one is."""
    for *parts, category in _cells(review):
        yield "\t".join([*(cell or "-" for cell in parts), *([category] if category else [])])


def _cells(review: Review) -> Iterator[tuple[str | None, ...]]:
    """Of each opinion aspect, words, polarity and category."""
    for said in review.opinions:
        parts = [review.quoted(words) if words else None for words in (said.aspect, said.opinion)]
        yield (*parts, said.polarity, said.category)


def summary(reviews: Sequence[Review]) -> tuple[Aspect, ...]:
    """Every aspect of these reviews, the most frequent first; an implicit one by its category."""
    found: dict[str, list[tuple[Review, Opinion]]] = {}
    for review in reviews:
        for said in dict.fromkeys(review.opinions):
            found.setdefault(_name(review, said), []).append((review, said))
    ranked = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(_aspect(name, told) for name, told in ranked)


def _name(review: Review, said: Opinion) -> str:
    if said.aspect:
        return " ".join(review.quoted(said.aspect).casefold().split())
    return said.category or "(not named)"


def _aspect(name: str, told: Sequence[tuple[Review, Opinion]]) -> Aspect:
    counts = Counter(said.polarity for _, said in told if said.polarity)
    first = {review.text: (review, said) for review, said in reversed(told)}
    return Aspect(name, dict(counts.most_common()), len(told), tuple(reversed(first.values()))[:QUOTED])


def marks(review: Review) -> list[Mark]:
    """The text in stretches that are parts of the same aspects and opinions."""
    runs = [
        (review.places[words[0]][0], review.places[words[1] - 1][1], said, kind)
        for said in review.opinions
        for kind, words in (("aspect", said.aspect), ("opinion", said.opinion))
        if words
    ]
    cuts = sorted({0, len(review.text), *(edge for start, end, _, _ in runs for edge in (start, end))})
    found = []
    for start, end in pairwise(cuts):
        over = [(said, kind, last) for first, last, said, kind in runs if first <= start and end <= last]
        kinds = {kind for _, kind, _ in over}
        told = [said.polarity for said, kind, _ in over if kind == "aspect"] or [said.polarity for said, _, _ in over]
        ended = dict.fromkeys(said.polarity for said, kind, last in over if kind == "aspect" and last == end)
        sign = "".join(SIGNS[polarity] for polarity in ended)
        polarity = next((p for p in told if p), None)
        found.append(Mark(review.text[start:end], polarity, "aspect" in kinds, "opinion" in kinds, sign))
    return found


def page(reviews: Sequence[Review], *, title: str, source: str) -> str:
    """One HTML file without network: the aspects, how they are liked, and every review with its parts marked."""
    aspects = summary(reviews)
    content = {
        "title": title,
        "source": source,
        "aspects": aspects,
        "reviews": [(review, marks(review), [[*filter(None, row)] for row in _cells(review)]) for review in reviews],
        "opinions": sum(len(review.opinions) for review in reviews),
        "polarities": [p for p in POLARITIES if any(p in aspect.polarities for aspect in aspects)],
        "signs": SIGNS,
        "worded": any(said.aspect or said.opinion for review in reviews for said in review.opinions),
    }
    return fill("reviews.html.j2", content)
