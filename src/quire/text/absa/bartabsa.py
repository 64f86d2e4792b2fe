"""BARTABSA's JSON (Yan et al. 2021), into which it put four families of data.

    [{"raw_words": "good food", "words": ["good", "food"],
      "aspects": [{"index": 0, "from": 1, "to": 2, "polarity": "POS", "term": ["food"]}],
      "opinions": [{"index": 0, "from": 0, "to": 1, "term": ["good"]}]}]

wang            task AE-OE: aspects and opinions that are not paired; where there are none, one with an empty term
fan             task AOE: an item is one aspect and all its opinions, so that sentences come again
penga, pengb    aspects and opinions that are paired by their index
"""

from collections.abc import Sequence
from itertools import product

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from quire.core.errors import BadInput
from quire.core.opinions import Opinion, Polarity, Review, Words
from quire.text.absa.polarities import polarity


class _Part(BaseModel):
    term: list[str]
    start: int | None = Field(None, alias="from")
    end: int | None = Field(None, alias="to")
    polarity: str | None = None
    index: int | None = None


class _Item(BaseModel):
    words: list[str]
    aspects: list[_Part]
    opinions: list[_Part]
    task: str | None = None


_FILE = TypeAdapter(list[_Item])


def read(content: str, name: str) -> list[Review]:
    """The items of a file in its order.

    BadInput for what is no such JSON, an empty item, a term that is not the words it is said to be, and aspects that
    cannot be paired with the opinions.
    """
    try:
        items = _FILE.validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(
            f"{name}: {'.'.join(map(str, first['loc']))}: {first['msg']}; BARTABSA's JSON expected"
        ) from None
    return [_review(item, f"{name}: item {number}") for number, item in enumerate(items, start=1)]


def _review(item: _Item, where: str) -> Review:
    if not item.words or not all(word.strip() for word in item.words):
        raise BadInput(f"{where}: an empty review, or a word that is blank; remove it")
    aspects = [(part, run) for part in item.aspects if (run := _run(part, item.words, where))]
    opinions = [(part, run) for part in item.opinions if (run := _run(part, item.words, where))]
    said: list[Opinion] = []
    match item.task:
        case "AE-OE":
            said += [Opinion(run, polarity=_liked(part, where)) for part, run in aspects]
            said += [Opinion(opinion=run) for _, run in opinions]
        case "AOE":
            if len(aspects) != 1:
                raise BadInput(f"{where}: {len(aspects)} aspects, and an item of the task AOE has one; mend it")
            said += [Opinion(a, o, _liked(part, where)) for (part, a), (_, o) in product(aspects, opinions)]
        case _:
            if [part.index for part, _ in aspects] != [part.index for part, _ in opinions]:
                raise BadInput(f"{where}: aspects and opinions are not paired by their index; mend it")
            pairs = zip(aspects, opinions, strict=True)
            said += [Opinion(a, o, _liked(part, where)) for (part, a), (_, o) in pairs]
    return Review.of_words(item.words, said, where)


def _run(part: _Part, words: Sequence[str], where: str) -> Words | None:
    if not part.term:
        return None
    start, end = part.start, part.end
    if start is None or end is None or not 0 <= start < end <= len(words) or list(words[start:end]) != part.term:
        raise BadInput(f"{where}: {' '.join(part.term)!r:.40} is not words {start} to {end}; correct from and to")
    return start, end


def _liked(part: _Part, where: str) -> Polarity | None:
    return None if part.polarity is None else polarity(part.polarity, where)
