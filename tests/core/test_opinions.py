"""What a review says is a value: it has an order, quotes its text, and knows what is wrong with it."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.opinions import Opinion, Review, Words

WORDS = ("The", "wine", "list", "is", "long", "but", "dear", ".")
WINE, LONG, DEAR = (1, 3), (4, 5), (6, 7)


def review(*opinions: Opinion) -> Review:
    return Review.of_words(WORDS, opinions, "here")


def test_words_are_found_again_in_the_text() -> None:
    found = review(Opinion(WINE, LONG, "positive"))
    assert found.words == WORDS
    assert found.quoted(WINE) == "wine list"
    assert found.quoted((7, 8)) == "."
    assert replace(found, text="酒单很长", places=((0, 2), (2, 4))).words == ("酒单", "很长")


def test_order_is_aspect_first_and_what_has_no_words_comes_before() -> None:
    ordered = [
        Opinion(category="food"),
        Opinion(category="wine"),
        Opinion(opinion=LONG),
        Opinion(WINE),
        Opinion(WINE, LONG, "negative"),
        Opinion(WINE, LONG, "positive"),
        Opinion(WINE, DEAR, "negative"),
        Opinion((1, 4), LONG, "negative"),
    ]
    shuffled = ordered[:]
    random.Random(1).shuffle(shuffled)
    assert shuffled != ordered
    assert sorted(shuffled) == ordered


@pytest.mark.parametrize(
    ("opinion", "why"),
    [
        (Opinion(), "neither aspect"),
        (Opinion(polarity="positive"), "neither aspect"),
        (Opinion((2, 2)), "words 2 to 2 are none"),
        (Opinion(WINE, (7, 9)), "words 7 to 9 are none, or outside the 8"),
        (Opinion((-1, 2)), "words -1 to 2"),
    ],
)
def test_a_fault_is_told(opinion: Opinion, why: str) -> None:
    assert why in str(review(Opinion(WINE), opinion).fault())


def test_what_is_no_review_is_told() -> None:
    unknown: Any = "posititve"
    assert "posititve" in str(review(Opinion(WINE, polarity=unknown)).fault())
    assert Review("", (), (), "here").fault() == "the review has no words"
    assert Review("a  b", ((0, 1), (1, 2)), (), "here").fault() == "a word is blank"
    assert review().fault() is None
    assert review(Opinion(WINE, LONG, "positive"), Opinion(category="drinks", polarity="conflict")).fault() is None


RUN = st.tuples(st.integers(0, 6), st.integers(1, 3)).map(lambda run: (run[0], min(run[0] + run[1], len(WORDS))))


@given(runs=st.lists(st.tuples(RUN, RUN), max_size=4))
def test_crossing_runs_share_a_word(runs: list[tuple[Words, Words]]) -> None:
    found = review(*(Opinion(aspect, opinion) for aspect, opinion in runs)).crossing()

    def share(one: Words, two: Words) -> bool:
        return bool({*range(*one)} & {*range(*two)})

    alike = [(a[part], b[part]) for part in (0, 1) for a in runs for b in runs if a[part] != b[part]]
    assert (found is not None) == any(share(*pair) for pair in [*alike, *runs])
    assert found is None or share(*found)
