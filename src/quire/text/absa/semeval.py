"""SemEval's XML: 2014 Task 4 (Pontiki et al. 2014), 2015 Task 12 and 2016 Task 5 (Pontiki et al. 2015, 2016).

    <sentence id="..."><text>...</text>
        <aspectTerms><aspectTerm term="food" polarity="positive" from="4" to="8"/></aspectTerms>
        <aspectCategories><aspectCategory category="service" polarity="negative"/></aspectCategories>
        <Opinions><Opinion target="food" category="FOOD#QUALITY" polarity="positive" from="4" to="8"/></Opinions>

The first two are 2014's, the last is 2015's and 2016's, whose target NULL is an aspect that is meant and not named;
laptops have no targets at all. Test files without answers have no polarities. All sentences are read, also those
that are out of scope and say nothing.
"""

import warnings
from xml.etree import ElementTree

from quire.core.errors import BadInput, Ignored
from quire.core.opinions import Opinion, Review, Words
from quire.text.absa.places import covering
from quire.text.absa.polarities import polarity
from quire.text.words import word_places

IMPLICIT = "NULL"


def read(content: str, name: str) -> list[Review]:
    """The sentences of a file in its order. A term that splits words is taken for the whole words, and the file's
    number of such terms told in one warning, `Ignored`: 15 in the releases, as in `tempura dis|h`.

    BadInput for what is no such XML, a sentence without text, and a term that does not stand where it is said to.
    """
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise BadInput(f"{name}: not readable as XML: {error}") from None
    widened: list[str] = []
    reviews = [_review(sentence, name, widened) for sentence in root.iter("sentence")]
    if not reviews:
        raise BadInput(f"{name}: holds no <sentence>; SemEval's XML is expected")
    if widened:
        told = f"{len(widened)} aspects end within a word and are taken for whole words; the first is {widened[0]}"
        warnings.warn(f"{name}: {told}", Ignored, stacklevel=2)
    return reviews


def _review(sentence: ElementTree.Element, name: str, widened: list[str]) -> Review:
    where = f"{name}: sentence {sentence.get('id')}"
    text = sentence.findtext("text") or ""
    places = word_places(text)
    if not places:
        raise BadInput(f"{where}: an empty review; remove it")
    opinions = []
    for given in (*sentence.iter("aspectTerm"), *sentence.iter("aspectCategory"), *sentence.iter("Opinion")):
        liked = given.get("polarity")
        opinions.append(
            Opinion(
                aspect=_aspect(given, text, places, where, widened),
                polarity=None if liked is None else polarity(liked, where),
                category=given.get("category"),
            )
        )
    return Review(text, places, tuple(opinions), where)


def _aspect(
    given: ElementTree.Element, text: str, places: tuple[tuple[int, int], ...], where: str, widened: list[str]
) -> Words | None:
    term = given.get("term") or given.get("target")
    if term is None or (term == IMPLICIT and given.tag == "Opinion"):
        return None
    try:
        start, end = int(given.get("from", "")), int(given.get("to", ""))
    except ValueError:
        raise BadInput(f"{where}: the aspect {term!r:.40} has no numbers in from and to; correct them") from None
    run = covering(places, start, end)
    if run is None or start < 0 or text[start:end] != term:
        raise BadInput(f"{where}: the aspect {term!r:.40} does not stand at characters {start} to {end}; correct them")
    if places[run[0]][0] < start or end < places[run[1] - 1][1]:
        widened.append(f"{term!r:.40}, {where}")
    return run
