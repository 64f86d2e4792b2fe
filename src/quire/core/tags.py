"""Spans as a row of tags, one for each word, and back.

bio    B-X begins a span of kind X, I-X goes on with it, O is outside (IOB2; Tjong Kim Sang and Veenstra 1999)
bioes  S-X is a span of one word, and the last word of a longer one is E-X
iob1   I-X throughout, B-X where a span begins right behind another of its kind (Ramshaw and Marcus 1995; CoNLL-2003)

A model's row may break the scheme. It is read by the rules of conlleval, the scorer of CoNLL-2000: a tag of another
kind ends a span, and an I-X or E-X that goes on with nothing begins one.
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np

from quire.core.answers import Inexpressible, Span, Spans
from quire.core.example import Bools

Scheme: TypeAlias = Literal["bio", "bioes"]
Spelling: TypeAlias = Literal["bio", "bioes", "iob1"]

OUTSIDE = "O"
_FORMS: dict[Scheme, str] = {"bio": "BI", "bioes": "BIES"}


@cache
def tags(kinds: tuple[str, ...], *, scheme: Scheme) -> tuple[str, ...]:
    """All tags [C] for spans of these kinds, `O` first."""
    return (OUTSIDE, *(f"{form}-{kind}" for kind in kinds for form in _FORMS[scheme]))


@cache
def allowed(row: tuple[str, ...], *, scheme: Spelling) -> Bools:
    """[C, C]: whether the second tag may follow the first. `O` stands for both ends of a row."""
    return np.array([[follows(before, tag, scheme=scheme) for tag in row] for before in row], dtype=bool)


@cache
def follows(before: str, tag: str, *, scheme: Spelling) -> bool:
    """Whether a tag may stand behind another in a row that keeps to the scheme; `O` stands for both ends of it."""
    form, _ = parted(tag)
    match scheme:
        case "iob1":
            return form != "B" or _same_span_open(before, tag)
        case "bio":
            return form != "I" or _same_span_open(before, tag)
        case "bioes":
            return _same_span_open(before, tag) if form in ("I", "E") else parted(before)[0] not in ("B", "I")


@cache
def parted(tag: str) -> tuple[str, str]:
    """Form and kind: `B-PER` is B and PER, `O` is O and nothing."""
    form, _, kind = tag.partition("-")
    return form, kind


def _same_span_open(before: str, tag: str) -> bool:
    """Whether a span of this tag's kind has words behind it and may have more."""
    (form, kind), (_, own) = parted(before), parted(tag)
    return form in ("B", "I") and kind == own


def write(spans: Spans, words: int, *, scheme: Scheme) -> list[str]:
    """The tag of each word. Inexpressible for spans that share a word; ValueError for one outside the words."""
    row = [OUTSIDE] * words
    for span in sorted(spans):
        if not 0 <= span.start < span.end <= words:
            raise ValueError(f"{span} of {words} words")
        if any(tag != OUTSIDE for tag in row[span.start : span.end]):
            raise Inexpressible(f"the span of {span.place} shares a word with another, which a row of tags cannot tell")
        row[span.start : span.end] = _run(span, scheme)
    return row


def _run(span: Span, scheme: Scheme) -> list[str]:
    length = span.end - span.start
    forms = ["B", *"I" * (length - 1)]
    if scheme == "bioes":
        forms = ["S"] if length == 1 else [*forms[:-1], "E"]
    return [f"{form}-{span.label}" for form in forms]


def read(row: Sequence[str]) -> Spans:
    """The spans of any row, in whatever scheme and however broken, by the rules of conlleval."""
    found: set[Span] = set()
    begun, before = 0, OUTSIDE
    for word, tag in enumerate([*row, OUTSIDE]):
        if parted(tag)[0] in ("I", "E") and _same_span_open(before, tag):
            before = tag
            continue
        if before != OUTSIDE:
            found.add(Span(begun, word, parted(before)[1]))
        begun, before = word, tag
    return frozenset(found)


def broken(row: Sequence[str], *, scheme: Spelling) -> int | None:
    """The first word whose tag may not stand behind the one before it, `len(row)` for the end of the row, or None."""
    bordered = [OUTSIDE, *row, OUTSIDE]
    pairs = pairwise(bordered)
    return next((word for word, (before, tag) in enumerate(pairs) if not follows(before, tag, scheme=scheme)), None)


def spelling(rows: Sequence[Sequence[str]]) -> Spelling:
    """How a file spells its spans: the scheme that every row keeps to, or the nearest one where none is kept."""
    if any(parted(tag)[0] in ("E", "S") for row in rows for tag in row):
        return "bioes"
    kept: list[Spelling] = [s for s in ("bio", "iob1") if all(broken(row, scheme=s) is None for row in rows)]
    return kept[0] if kept else "bio"
