"""SentiHood (Saeidi et al. 2016): what is said of places, whose names are hidden.

    [{"id": 1, "text": "LOCATION1 is cheap", "opinions": [
        {"target_entity": "LOCATION1", "aspect": "price", "sentiment": "Positive"}]}]

The place is the aspect of an `Opinion`, as the first word that holds its name, and what is said of it the category.
"""

from pydantic import BaseModel, TypeAdapter, ValidationError

from quire.core.errors import BadInput
from quire.core.opinions import Opinion, Review
from quire.text.absa.places import quoted
from quire.text.absa.polarities import polarity
from quire.text.words import word_places


class _Opinion(BaseModel):
    target_entity: str
    aspect: str
    sentiment: str


class _Sentence(BaseModel):
    id: int | str
    text: str
    opinions: list[_Opinion]


_FILE = TypeAdapter(list[_Sentence])


def read(content: str, name: str) -> list[Review]:
    """The sentences of a file in its order, with all of the twelve aspects.

    BadInput for what is no such JSON, an empty sentence, and a place that the sentence does not name.
    """
    try:
        sentences = _FILE.validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(
            f"{name}: {'.'.join(map(str, first['loc']))}: {first['msg']}; SentiHood's JSON expected"
        ) from None
    return [_review(sentence, f"{name}: sentence {sentence.id}") for sentence in sentences]


def _review(sentence: _Sentence, where: str) -> Review:
    places = word_places(sentence.text)
    if not places:
        raise BadInput(f"{where}: an empty review; remove it")
    opinions = tuple(
        Opinion(
            aspect=quoted(sentence.text, places, said.target_entity, where=where, split=True),
            polarity=polarity(said.sentiment, where),
            category=said.aspect,
        )
        for said in sentence.opinions
    )
    return Review(sentence.text, places, opinions, where)
