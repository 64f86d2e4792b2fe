"""Seven subtasks as sequences: the survey's own, the way back, and what is no sequence of opinions."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.opinions import POLARITIES, Opinion, Polarity, Words
from quire.core.subtasks import PARTS, SUBTASKS, Question, Subtask, Symbol, questions

WINE, SERVICE = (1, 3), (12, 13)


def survey(service: Polarity) -> list[Opinion]:
    """The wine list is interesting and has good values , but the service is dreadful"""
    wine = [Opinion(WINE, words, "positive") for words in ((4, 5), (7, 9))]
    return [*wine, Opinion(SERVICE, (14, 15), service)]


SURVEY: list[tuple[Subtask, Words | None, str]] = [
    ("ae", None, "1, 2, 12, 12"),
    ("oe", None, "4, 4, 7, 8, 14, 14"),
    ("alsc", WINE, "1, 2, POS"),
    ("alsc", SERVICE, "12, 12, POS"),
    ("aoe", WINE, "1, 2, 4, 4, 7, 8"),
    ("aoe", SERVICE, "12, 12, 14, 14"),
    ("aesc", None, "1, 2, POS, 12, 12, NEG"),
    ("pair", None, "1, 2, 4, 4, 1, 2, 7, 8, 12, 12, 14, 14"),
    ("triplet", None, "1, 2, 4, 4, POS, 1, 2, 7, 8, POS, 12, 12, 14, 14, POS"),
]
"""As it prints them: that the service is dreadful is NEG in AESC alone."""
SHORT = {"positive": "POS", "negative": "NEG"}


@pytest.mark.parametrize(("subtask", "aspect", "sequence"), SURVEY)
def test_the_sequences_of_the_survey(subtask: Subtask, aspect: Words | None, sequence: str) -> None:
    question, said = Question(subtask, aspect), survey("negative" if "NEG" in sequence else "positive")
    assert question in questions(subtask, said)
    whole = [*question.prefix, *question.encode(said)]
    assert ", ".join(SHORT.get(str(symbol), str(symbol)) for symbol in whole) == sequence
    assert len(question.prefix) == (0 if aspect is None else 2)
    assert question.decode(question.encode(said)).opinions == question.answer(said)


@st.composite
def runs(draw: st.DrawFn) -> Words:
    first = draw(st.integers(0, 30))
    return first, first + draw(st.integers(1, 5))


opinions = st.builds(Opinion, st.none() | runs(), st.none() | runs(), st.none() | st.sampled_from(POLARITIES))


@given(st.sampled_from(SUBTASKS), st.lists(opinions, max_size=8))
def test_what_is_encoded_is_decoded(subtask: Subtask, said: list[Opinion]) -> None:
    for question in questions(subtask, said):
        if question.once and len(question.answer(said)) > 1:
            with pytest.raises(ValueError, match="polarities"):
                question.encode(said)
            continue
        told = question.decode(question.encode(said))
        assert told.opinions == question.answer(said)
        assert (told.invalid, told.unended) == (0, False)
        assert question.encode(told.opinions) == question.encode(said)


@given(st.sampled_from(SUBTASKS), st.lists(opinions, max_size=8))
def test_what_is_asked_for_has_its_parts_and_nothing_else(subtask: Subtask, said: list[Opinion]) -> None:
    for question in questions(subtask, said):
        for one in (found := question.answer(said)):
            assert all((getattr(one, part) is not None) == (part in PARTS[subtask]) for part in ("opinion", "polarity"))
            assert (one.aspect is not None) == ("aspect" in PARTS[subtask] or question.aspect is not None)
        assert all(one < two for one, two in pairwise(found))


@given(st.sampled_from(SUBTASKS), st.lists(st.integers(0, 6) | st.sampled_from([*POLARITIES, "triplet"]), max_size=20))
def test_any_sequence_is_read(subtask: Subtask, symbols: list[Symbol]) -> None:
    question = Question(subtask, (1, 3) if subtask in ("alsc", "aoe") else None)
    told = question.decode(symbols)
    assert question.answer(told.opinions) == tuple(sorted(set(told.opinions)))
    assert told.invalid >= told.unended
    assert len(told.opinions) * question.size <= len(symbols)
    again = question.decode(question.encode(told.opinions))
    assert (again.opinions, again.invalid) == (question.answer(told.opinions), 0)


POS: Polarity = "positive"


@pytest.mark.parametrize(
    ("subtask", "symbols", "opinions", "invalid", "unended"),
    [
        ("triplet", [1, 2, 4, 4, POS], [Opinion(WINE, (4, 5), POS)], 0, False),
        ("triplet", [1, 2, 4, 4, POS, 1, 2, 4, 4, POS], [Opinion(WINE, (4, 5), POS)] * 2, 0, False),
        ("aesc", [3, 3, POS, 1, 2, "neutral"], [Opinion((3, 4), None, POS), Opinion(WINE, None, "neutral")], 0, False),
        ("triplet", [2, 1, 4, 4, POS, 1, 2, 4, 4, POS], [Opinion(WINE, (4, 5), POS)], 1, False),
        ("triplet", [1, 2, 5, 4, POS], [], 1, False),
        ("triplet", [1, 2, POS, 1, 2, 4, 4, POS, 3], [Opinion(WINE, (4, 5), POS)], 2, True),
        ("triplet", [1, 2, 4, 4, 5, 5, POS, POS], [], 2, False),
        ("triplet", [1, 2, 4, 4, "pair"], [], 1, False),
        ("pair", [1, 2, 4, 4, 1, 2, 7], [Opinion(WINE, (4, 5))], 1, True),
        ("pair", [1, 2, POS, 1, 2, 4, 4], [Opinion(WINE, (4, 5))], 1, False),
        ("ae", [3, 1, 1, 2], [Opinion(WINE)], 1, False),
        ("aesc", [POS, 1, 2, POS], [Opinion(WINE, None, POS)], 1, False),
        ("aesc", [], [], 0, False),
    ],
)
def test_what_is_malformed_is_dropped_and_counted(
    subtask: Subtask, symbols: list[Symbol], opinions: list[Opinion], invalid: int, unended: bool
) -> None:
    told = Question(subtask).decode(symbols)
    assert (list(told.opinions), told.invalid, told.unended) == (opinions, invalid, unended)


def test_of_an_aspect_one_polarity_is_told() -> None:
    told = Question("alsc", WINE).decode([POS, "negative"])
    assert (told.opinions, told.invalid) == ((Opinion(WINE, None, POS),), 1)


@pytest.mark.parametrize(("subtask", "aspect"), [("alsc", None), ("aoe", None), ("triplet", WINE)])
def test_what_is_asked_about_the_wrong_thing_is_refused(subtask: Subtask, aspect: Words | None) -> None:
    with pytest.raises(ValueError, match="is asked about"):
        Question(subtask, aspect)
