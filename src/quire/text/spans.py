"""Spans as characters of a text, a JSON object a line.

    {"text": "Ada met Bo.", "spans": [[0, 3, "PER"], [8, 10, "PER"]]}

or each span as `quire predict --json` tells it, {"start": 0, "end": 3, "label": "PER"}.
Words are runs of letters or digits, single Han characters and kana, and other signs (`word_places`).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quire.core.answers import Span, Spans
from quire.core.errors import BadInput
from quire.text.problems import Problem
from quire.text.rows import peek, read_jsonl, read_lines
from quire.text.words import word_places


def read_spans(path: str | Path) -> list[Problem]:
    """The texts of a file with their spans over words, or without where a line has none.

    Spans may share words: whether that can be told is for a paradigm to say. BadInput, with the line, for a span that
    is empty, lies outside the text, or begins or ends within a word.
    """
    return [_problem(row, where) for where, row in read_jsonl(str(path), read_lines(path)).rows]


def holds_spans(path: str | Path) -> bool:
    """Whether the first line that is not blank has a list of `spans`, and no `label`; never for what cannot be read."""
    try:
        first, _ = peek(read_lines(path))
        row = json.loads(first)
    except (BadInput, ValueError, RecursionError):
        return False
    return isinstance(row, dict) and isinstance(row.get("spans"), list) and "label" not in row


def _problem(row: Mapping[str, Any], where: str) -> Problem:
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        raise BadInput(f'{where}: no text; each line must be like {{"text": "...", "spans": [[0, 3, "PER"]]}}')
    places = word_places(text)
    if (given := row.get("spans")) is None:
        return Problem((text,), None, where, places)
    if not isinstance(given, list):
        raise BadInput(f"{where}: spans {given!r:.40} is no list; write [[start, end, kind], ...]")
    spans: Spans = frozenset(_span(span, text, places, where) for span in given)
    return Problem((text,), spans, where, places)


def _span(span: Any, text: str, places: Sequence[tuple[int, int]], where: str) -> Span:
    match span:
        case [int(start), int(end), str(label)] | {"start": int(start), "end": int(end), "label": str(label)} if (
            label.strip() and not {type(start), type(end)} & {bool}
        ):
            pass
        case _:
            raise BadInput(f"{where}: the span {span!r:.60} is not [start, end, kind]; mend it")
    try:
        first, past = run_of_words(text, places, start=start, end=end)
    except BadInput as error:
        raise BadInput(f"{where}: the span {span!r:.60} {error}") from None
    return Span(first, past, label.strip())


def run_of_words(text: str, places: Sequence[tuple[int, int]], *, start: int, end: int) -> tuple[int, int]:
    """The first word of characters `start` to `end` - 1, and the one past their last.

    BadInput, to be put behind what it is about, where they are none, lie outside the text, or split a word.
    """
    if not 0 <= start < end <= len(text):
        raise BadInput(f"is empty or outside the {len(text)} characters; mend it")
    for edge in (start, end):
        if within := [(a, b) for a, b in places if a < edge < b]:
            [(a, b)] = within
            raise BadInput(f"splits the word {text[a:b]!r:.40} at character {edge}; move it to {a} or to {b}")
    held = [word for word, (a, b) in enumerate(places) if start <= a and b <= end]
    if not held:
        raise BadInput("holds blanks alone; mend it")
    return held[0], held[-1] + 1
