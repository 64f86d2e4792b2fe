"""What reviews say, for a person: each with its evidence, all of them summed up by aspect, and a page of both."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from quire.core.opinions import POLARITIES, Opinion, Polarity, Review, Words
from quire.report.template import fill

QUOTED = 3
"""Reviews that are quoted for each aspect."""
SIGNS: Mapping[str | None, str] = {"positive": "+", "negative": "−", "neutral": "○", "conflict": "±", None: "·"}
"""So that a page is read without its colours."""
CUTS = re.compile(r"(?<=[\s\u3040-\u30ff\u3400-\u9fff])|(?=[\s\u3040-\u30ff\u3400-\u9fff])")
"""Where a text may be cut: beside a blank, and beside kana and Han characters, which stand without blanks."""


@dataclass(frozen=True)
class Aspect:
    """What is spoken of, by its words in any case or by its category, and how often it is liked in which way."""

    name: str
    polarities: Mapping[str, int]
    """How often it has each, the most frequent first; empty where none is told."""
    times: int
    quotes: tuple[tuple[Review, Opinion], ...]
    """The first reviews, each text once, with the first that is said there, and how all of it likes the aspect."""


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
    by_text: dict[str, list[tuple[Review, Opinion]]] = {}
    for review, said in told:
        by_text.setdefault(review.text, []).append((review, said))
    quotes = [
        (same[0][0], replace(same[0][1], polarity=_liked([said.polarity for _, said in same])))
        for same in by_text.values()
    ]
    return Aspect(name, dict(counts.most_common()), len(told), tuple(quotes[:QUOTED]))


def quote(review: Review, said: Opinion, *, length: int) -> str:
    """Where a review says this, in one line of some `length` characters, with … where it is cut; short ones whole.

    What an opinion has no words for is quoted from the beginning; an aspect far from its words, each by itself.
    """
    text = review.text
    if len(line := " ".join(text.split())) <= length:
        return line
    places = review.places
    runs = sorted((places[a][0], places[b - 1][1]) for a, b in filter(None, (said.aspect, said.opinion))) or [(0, 0)]
    first, last = runs[0][0], max(end for _, end in runs)
    apart = last - first > length and len(runs) > 1
    windows = [_window(text, *run, length // 2) for run in runs] if apart else [_window(text, first, last, length)]
    if apart and windows[1][0] <= windows[0][1]:  # the words themselves are long
        windows = [(windows[0][0], windows[1][1])]
    inner = " … ".join(" ".join(text[start:end].split()) for start, end in windows)
    return f"{'…' if windows[0][0] else ''}{inner}{'…' if windows[-1][1] < len(text) else ''}"


def _window(text: str, start: int, end: int, room: int) -> tuple[int, int]:
    """`room` characters around these, or fewer, so that no word is cut, if any of it has blanks."""
    left = max(0, min(start - max(room - (end - start), 0) // 2, len(text) - room))
    right = min(left + room, len(text))
    least = end if left < end <= right else left + 1
    cuts = [0, *(found.start() for found in CUTS.finditer(text)), len(text)]
    return (
        next((cut for cut in cuts if left <= cut <= start), left),
        next((cut for cut in reversed(cuts) if least <= cut <= right), right),
    )


def marks(review: Review) -> list[Mark]:
    """The text in stretches that are parts of the same aspects and opinions; what is liked in two ways is mixed."""
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
        ended = [said.polarity for said, kind, last in over if kind == "aspect" and last == end]
        sign = SIGNS[_liked(ended)] if ended else ""
        found.append(Mark(review.text[start:end], _liked(told), "aspect" in kinds, "opinion" in kinds, sign))
    return found


def _liked(polarities: Sequence[Polarity | None]) -> Polarity | None:
    """The one among these, if any; `conflict` where they differ."""
    told = {polarity for polarity in polarities if polarity}
    return "conflict" if len(told) > 1 else next(iter(told), None)


def page(reviews: Sequence[Review], *, title: str, source: str) -> str:
    """One HTML file without network: the aspects, how they are liked, and every review with its parts marked."""
    aspects, marked = summary(reviews), [marks(review) for review in reviews]
    liked = {p for aspect in aspects for p in aspect.polarities} | {mark.polarity for of in marked for mark in of}
    rows = [[[*filter(None, row)] for row in dict.fromkeys(_cells(review))] for review in reviews]
    content = {
        "title": title,
        "source": source,
        "aspects": aspects,
        "reviews": list(zip(reviews, marked, rows, strict=True)),
        "opinions": sum(aspect.times for aspect in aspects),
        "polarities": [p for p in POLARITIES if p in liked],
        "signs": SIGNS,
        "quote": quote,
        "worded": any(said.aspect or said.opinion for review in reviews for said in review.opinions),
    }
    return fill("reviews.html.j2", content)
