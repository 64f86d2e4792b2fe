"""A sentence of words, `####`, and what it says as a list of Python: the two formats of the triplet and quad releases.

ASTE (Xu et al. 2020)     But the staff was horrible####[([2], [4], 'NEG')]
ASQP (Zhang et al. 2021)  The wine is dear####[['wine', 'drinks prices', 'negative', 'dear']]

ASTE counts words; all runs of the release are without gaps. ASQP quotes them, with NULL for an aspect or an opinion
that is meant and not named: the first words that read so are taken, and those of a quotation that begins or ends
within a word as wholes.
"""

import ast
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from quire.core.errors import BadInput, Ignored
from quire.core.opinions import Opinion, Review, Words
from quire.text.absa.places import quoted
from quire.text.absa.polarities import polarity

PARTED = "####"
IMPLICIT = "NULL"


def read_aste(content: str, name: str) -> list[Review]:
    """The sentences of a file; BadInput, with the line, for what is not in this format, runs with gaps or outside the
    sentence, and an unknown polarity."""

    def opinion(told: Any, review: Review) -> Opinion:
        match told:
            case (list(aspect), list(opinion), liked):
                length, where = len(review.places), review.where
                return Opinion(_run(aspect, length, where), _run(opinion, length, where), polarity(liked, where))
        raise BadInput(f"{review.where}: {told!r:.60} is not ([words], [words], polarity); mend it")

    return _read(content, name, opinion)


def read_asqp(content: str, name: str) -> list[Review]:
    """The sentences of a file. A quad that quotes what does not stand in its sentence, as seven of the release do,
    is left out, and their number told in one warning, `Ignored`; BadInput, with the line, for what is not in this
    format, and for an unknown polarity."""
    lost: list[str] = []

    def opinion(told: Any, review: Review) -> Opinion | None:
        match told:
            case [str(aspect), str(category), str(liked), str(words)]:
                kind = polarity(liked, review.where)
                try:
                    return Opinion(_place(aspect, review), _place(words, review), kind, category)
                except BadInput as error:
                    lost.append(str(error).partition(";")[0])
                    return None
        raise BadInput(f"{review.where}: {told!r:.60} is not [aspect, category, polarity, opinion]; mend it")

    reviews = _read(content, name, opinion)
    if lost:
        warnings.warn(f"{name}: {len(lost)} quads are left out; the first: {lost[0]}", Ignored, stacklevel=2)
    return reviews


def first_opinion(line: str) -> Any:
    """What stands first in the list of a line, or None where there is nothing."""
    return next(iter(_listed(line.partition(PARTED)[2]) or ()), None)


def _listed(told: str) -> list[Any] | None:
    """None for what is no list of Python."""
    try:
        found = ast.literal_eval(told.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _read(content: str, name: str, opinion: Callable[[Any, Review], Opinion | None]) -> list[Review]:
    reviews = []
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        sentence, _, told = line.partition(PARTED)
        if not sentence.strip():
            raise BadInput(f"{where}: an empty review; remove it")
        if (said := _listed(told)) is None:
            raise BadInput(f"{where}: no list behind {PARTED}; mend the line")
        bare = Review.of_words(sentence.split(), (), where)
        found = [opinion(one, bare) for one in said]
        reviews.append(Review(bare.text, bare.places, tuple(one for one in found if one), where))
    return reviews


def _run(part: Sequence[Any], length: int, where: str) -> Words:
    if not part or not all(type(word) is int for word in part):
        raise BadInput(f"{where}: {part!r:.40} is no list of the numbers of words; mend it")
    start, end = part[0], part[-1] + 1
    if list(part) != [*range(start, end)]:
        raise BadInput(f"{where}: the words {part!r:.40} have a gap or no order; mend them")
    if start < 0 or end > length:
        raise BadInput(f"{where}: the words {part!r:.40} are outside the {length} of the review; mend them")
    return start, end


def _place(part: str, review: Review) -> Words | None:
    return None if part == IMPLICIT else quoted(review.text, review.places, part, where=review.where, split=True)
