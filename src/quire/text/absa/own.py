"""A person's own reviews, a JSON object a line, with as much as was annotated.

    {"text": "The wine list is long but dear.", "opinions": [
        {"aspect": [4, 13], "opinion": [17, 21], "polarity": "positive"},
        {"aspect": "wine list", "opinion": "dear", "polarity": "negative", "category": "drinks"},
        {"category": "service", "polarity": "neutral"}]}

A part is [first character, that behind the last], or its words where they stand in the text once; one that is left out
or null is meant and not named. Words are those of `word_places`, so Chinese needs no blanks.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from quire.core.errors import BadInput, nearest
from quire.core.opinions import Opinion, Review, Words
from quire.text.absa.places import quoted
from quire.text.absa.polarities import polarity
from quire.text.rows import read_jsonl
from quire.text.spans import run_of_words
from quire.text.words import word_places

PARTS = ("aspect", "opinion", "polarity", "category")


def read(content: str, name: str, *, answered: bool = True) -> list[Review]:
    """The reviews of a file; without `answered`, what nobody annotated is a review that says nothing.

    BadInput, with the line, for an empty review, one without `opinions` where answers are needed, an unknown field or
    polarity, an aspect or opinion that is not in the text, is empty or splits a word, and parts that overlap.
    """
    lines = enumerate(content.split("\n"), start=1)
    return [_review(row, where, answered) for where, row in read_jsonl(name, lines).rows]


def unread(texts: Sequence[str]) -> list[Review]:
    """Texts as reviews of which nothing is told yet; BadInput for one without words."""
    found = [Review(text, word_places(text), (), f"text {number}") for number, text in enumerate(texts, start=1)]
    for review in found:
        if (fault := review.fault()) is not None:
            raise BadInput(f"{review.where}: {fault}")
    return found


def _review(row: Mapping[str, Any], where: str, answered: bool) -> Review:
    text, given = row.get("text"), row.get("opinions")
    if not isinstance(text, str) or not (places := word_places(text)):
        raise BadInput(f'{where}: an empty review; each line must be like {{"text": "...", "opinions": [...]}}')
    if given is None and not answered:
        given = []
    if not isinstance(given, list):
        raise BadInput(f"{where}: opinions {given!r:.40} is no list; write [] where the review says nothing")
    review = Review(text, places, tuple(_opinion(one, text, places, where) for one in given), where)
    if pair := review.crossing():
        one, two = (review.quoted(run) for run in pair)
        raise BadInput(f"{where}: {one!r:.40} and {two!r:.40} overlap and are not the same; mend one of them")
    return review


def _opinion(given: Any, text: str, places: tuple[tuple[int, int], ...], where: str) -> Opinion:
    if not isinstance(given, Mapping):
        raise BadInput(f'{where}: {given!r:.60} is no opinion; write {{"aspect": ..., "polarity": ...}}')
    if unknown := [field for field in given if field not in PARTS]:
        raise BadInput(f"{where}: no part of an opinion is called {unknown[0]!r:.40}{nearest(unknown[0], PARTS)}")
    liked, category = given.get("polarity"), given.get("category")
    if category is not None and not (isinstance(category, str) and category.strip()):
        raise BadInput(f"{where}: the category {category!r:.40} is no name; mend it or leave it out")
    found = Opinion(
        aspect=_run("aspect", given.get("aspect"), text, places, where),
        opinion=_run("opinion", given.get("opinion"), text, places, where),
        polarity=None if liked is None else polarity(liked, where),
        category=category and category.strip(),
    )
    if found.aspect is None and found.opinion is None and found.category is None:
        raise BadInput(f"{where}: {given!r:.60} has neither aspect, nor opinion, nor category; add one or remove it")
    return found


def _run(part: str, given: Any, text: str, places: tuple[tuple[int, int], ...], where: str) -> Words | None:
    match given:
        case None:
            return None
        case str():
            return quoted(text, places, given, where=f"{where}: {part}", once=True)
        case [int(start), int(end)] if not {type(start), type(end)} & {bool}:
            try:
                return run_of_words(text, places, start=start, end=end)
            except BadInput as error:
                raise BadInput(f"{where}: the {part} {given!r} {error}") from None
    raise BadInput(f"{where}: the {part} {given!r:.60} is neither [start, end] nor words of the text; mend it")
