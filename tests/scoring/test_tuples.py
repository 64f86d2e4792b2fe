"""The seven subtasks' scores: the released code's on any answers, and what is corrected, by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scoring import released

from quire.core.opinions import Opinion, Polarity, Words
from quire.core.subtasks import SUBTASKS, Question
from quire.scoring.tuples import marks, opinion_scores

WINE, LIST, FOOD, LONG, DEAR = (0, 1), (0, 2), (3, 4), (5, 6), (7, 9)


def aesc(*pairs: tuple[Words, Polarity]) -> list[Opinion]:
    return [Opinion(aspect, polarity=polarity) for aspect, polarity in pairs]


TRUTH = [
    [
        Opinion(WINE, LONG, "negative"),
        Opinion(WINE, DEAR, "negative"),
        Opinion(WINE, DEAR, "negative"),  # annotated twice
        Opinion(FOOD, LONG, "positive"),
    ],
    [Opinion(LIST, DEAR, "neutral")],
    [],
]
SAID = [
    [
        Opinion(WINE, LONG, "negative"),
        Opinion(WINE, LONG, "negative"),  # said twice
        Opinion(WINE, DEAR, "positive"),  # the wrong polarity
        Opinion(FOOD, DEAR, "positive"),  # the wrong opinion
    ],
    [],
    [Opinion(LIST, DEAR, "neutral")],
]
RIGHT_SAID_TRUE = {
    "ae": (2, 3, 3),
    "oe": (2, 3, 3),
    "alsc": (2, 4, 3),
    "aoe": (2, 4, 4),
    "aesc": (2, 4, 3),
    "pair": (2, 4, 4),
    "triplet": (1, 4, 4),
}


@pytest.mark.parametrize("subtask", SUBTASKS)
def test_sets_are_compared_over_all_reviews(subtask: Any) -> None:
    right, said, true = RIGHT_SAID_TRUE[subtask]
    scores = opinion_scores(subtask, TRUTH, SAID)
    assert scores.official == pytest.approx(
        {"precision": right / said, "recall": right / true, "f1": 2 * right / (said + true)}
    )
    if subtask != "alsc":
        assert scores.corrected == scores.official
    perfect = opinion_scores(subtask, TRUTH, TRUTH)
    assert {*perfect.official.values(), *perfect.corrected.values()} == {1.0}
    nothing = opinion_scores(subtask, TRUTH, [[], [], []])
    assert {*nothing.official.values(), *nothing.corrected.values()} == {0.0}
    above, below = marks(subtask, TRUTH, SAID).sum(axis=0)
    assert above / below == pytest.approx(scores.official["f1"])
    assert marks(subtask, [], []).shape == (0, 2)


def test_malformed_output_is_dropped_officially_and_wrong_when_corrected() -> None:
    """A tail that breaks off, and a run that ends before it begins."""
    question = Question("triplet")
    told = [
        question.decode([0, 0, 5, 5, "negative", 3, 3]),
        question.decode([1, 0, 7, 8, "neutral", 0, 1, 7, 8, "neutral"]),
        question.decode([]),
    ]
    invalid = [one.invalid for one in told]
    assert invalid == [1, 1, 0]
    scores = opinion_scores("triplet", TRUTH, [one.opinions for one in told], invalid=invalid)
    assert scores.official == pytest.approx({"precision": 1.0, "recall": 2 / 4, "f1": 4 / 6})
    assert scores.corrected == pytest.approx({"precision": 2 / 4, "recall": 2 / 4, "f1": 4 / 8})
    np.testing.assert_array_equal(
        marks("triplet", TRUTH, [one.opinions for one in told], invalid=invalid), [[2, 5], [2, 3], [0, 0]]
    )


def test_conflicts_and_aspects_said_twice_of_wang() -> None:
    truth = [aesc((WINE, "conflict"), (FOOD, "positive")), aesc((DEAR, "negative"))]
    said = [
        aesc((WINE, "negative"), (FOOD, "negative"), (FOOD, "positive"), (LONG, "positive")),
        aesc((DEAR, "positive")),
    ]
    official, corrected = (
        {name: getattr(opinion_scores(name, truth, said, release="wang"), kind) for name in ("ae", "aesc", "alsc")}
        for kind in ("official", "corrected")
    )
    assert official["ae"] == pytest.approx({"precision": 2 / 3, "recall": 1.0, "f1": 4 / 5})
    assert official["aesc"] == pytest.approx({"precision": 1 / 3, "recall": 1 / 2, "f1": 2 / 5})
    assert official["alsc"] == pytest.approx({"precision": 1 / 4, "recall": 1 / 2, "f1": 1 / 3})
    assert corrected["ae"] == pytest.approx({"precision": 3 / 4, "recall": 1.0, "f1": 6 / 7})
    assert corrected["aesc"] == pytest.approx({"precision": 1 / 5, "recall": 1 / 3, "f1": 2 / 8})
    # conflict 0 of 0 said, negative 0 of 2, positive 1 of 2 with all found: the mean of three
    assert corrected["alsc"] == pytest.approx({"precision": 1 / 6, "recall": 1 / 3, "f1": 2 / 9})


def test_officially_polarities_are_scored_on_found_aspects_alone() -> None:
    truth = [aesc((WINE, "positive"), (FOOD, "positive"), (DEAR, "negative"))]
    said = [aesc((WINE, "positive"), (LONG, "negative"))]
    scores = opinion_scores("alsc", truth, said, release="wang")
    assert scores.official["f1"] == pytest.approx(1.0)
    assert scores.corrected == pytest.approx({"precision": 1 / 2, "recall": 1 / 4, "f1": (2 / 3) / 2})


def test_what_is_asked_about_an_aspect_is_counted_by_aspect() -> None:
    truth = [[Opinion(WINE, LONG)], [Opinion(FOOD, LONG)]]
    said = [[Opinion(WINE, LONG)], [Opinion(FOOD, DEAR)]]
    assert opinion_scores("aoe", truth, said, release="fan").official["f1"] == 0.5
    assert opinion_scores("aoe", truth[:1], [[Opinion(FOOD, LONG)]], release="fan").official["f1"] == 0.0


SPAN = st.sampled_from([(0, 0), (0, 1), (2, 2)])
LIKED = st.sampled_from(["positive", "negative", "neutral", "conflict"])
AESC = st.lists(st.lists(st.tuples(SPAN, LIKED), max_size=4), min_size=1, max_size=4)


@given(data=st.data(), truth=AESC)
def test_official_scores_of_wang_are_the_released_ones(data: st.DataObject, truth: list[list[Any]]) -> None:
    size = len(truth)
    said = data.draw(st.lists(st.lists(st.tuples(SPAN, LIKED), max_size=4), min_size=size, max_size=size))
    flat: Any = [[[(*span, liked) for span, liked in row] for row in side] for side in (truth, said)]
    ours = [[[Opinion((a, b + 1), polarity=liked) for a, b, liked in row] for row in side] for side in flat]
    for subtask, (f1, precision, recall) in released.wang(*flat).items():
        found: Any = subtask
        scores = opinion_scores(found, *ours, release="wang").official
        assert scores == pytest.approx({"f1": f1, "precision": precision, "recall": recall}, abs=1e-9)


WORD = st.integers(0, 2)
PIECE = st.tuples(WORD, WORD, WORD, WORD, st.sampled_from(["positive", "negative"]))
LOOSE = st.lists(st.one_of(WORD, WORD, WORD, WORD, st.sampled_from(["positive", "negative"])), max_size=6)


@given(data=st.data(), size=st.integers(1, 4))
def test_official_scores_of_peng_are_the_released_ones(data: st.DataObject, size: int) -> None:
    """Of sequences as a decoder may write them: repeated, with broken pieces within and a tail that breaks off."""
    pieces = PIECE.filter(lambda p: p[0] <= p[1] and p[2] <= p[3])
    truth = data.draw(st.lists(st.lists(pieces, max_size=3), min_size=size, max_size=size))
    said = [
        [*(s for piece in data.draw(st.lists(PIECE, max_size=3)) for s in piece), *data.draw(LOOSE)]
        for _ in range(size)
    ]

    def opinions(tuples: list[Any]) -> list[Opinion]:
        return [Opinion((a, b + 1), (c, d + 1), liked) for a, b, c, d, liked in tuples]

    ours = [opinions(row) for row in truth], [Question("triplet").decode(row).opinions for row in said]
    for subtask, f1 in released.peng(truth, said).items():
        found: Any = subtask
        assert opinion_scores(found, *ours).official["f1"] == pytest.approx(f1, abs=1e-9)
