"""Auxiliary sentences: the strings of Sun et al. 2019, all pairs and no more, and back to a label for each."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.errors import BadInput
from quire.core.opinions import Opinion, Review
from quire.core.random import rng
from quire.text.auxiliary import BINARY, FORMS, SEMEVAL_2014, SENTIHOOD, Form, Scheme, Sheet, scheme_of, sheet

PLACES = Review.of_words(
    ["LOCATION2", "is", "Cheaper", "than", "LOCATION1", ",", "and", "Lively"],
    (
        Opinion((4, 5), polarity="negative", category="price"),
        Opinion((4, 5), polarity="positive", category="price"),  # the first counts
        Opinion((0, 1), polarity="positive", category="price"),
        Opinion((0, 1), polarity="positive", category="nightlife"),  # not asked for
        Opinion((4, 5), polarity="positive", category="transit-location"),
    ),
    "sentence 7",
)
PLAIN = Review.of_words(["LOCATION1", "it", "is"], (), "sentence 8")
MEAL = Review.of_words(
    ["Good", "food"],
    (
        Opinion(category="food", polarity="positive"),
        Opinion(category="anecdotes/miscellaneous", polarity="conflict"),
        Opinion((1, 2), polarity="positive"),
    ),
    "sentence 9",
)
HOOD = "location - 2 is cheaper than location - 1 , and lively"


def texts(reviews: list[Review], scheme: Scheme, form: Form) -> list[tuple[str, ...]]:
    return [problem.texts for problem in sheet(reviews, scheme=scheme, form=form).problems]


def test_sentihood_is_asked_in_the_published_words() -> None:
    both = [PLACES, PLAIN]
    assert texts(both, SENTIHOOD, "single")[::4] == [(HOOD,), (HOOD,), ("location - 1 it is",)]
    assert texts(both, SENTIHOOD, "qa_m")[2:6] == [
        (HOOD, "what do you think of the transit location of location - 1 ?"),
        (HOOD, "what do you think of the safety of location - 1 ?"),
        (HOOD, "what do you think of the general of location - 2 ?"),
        (HOOD, "what do you think of the price of location - 2 ?"),
    ]
    assert texts(both, SENTIHOOD, "nli_m")[2] == (HOOD, "location - 1 - transit location")
    assert texts(both, SENTIHOOD, "nli_m")[-1] == ("location - 1 it is", "location - 1 - safety")
    assert texts(both, SENTIHOOD, "qa_b")[3:6] == [
        ("the polarity of the aspect price of location - 1 is None .", HOOD),
        ("the polarity of the aspect price of location - 1 is Positive .", HOOD),
        ("the polarity of the aspect price of location - 1 is Negative .", HOOD),
    ]
    assert texts(both, SENTIHOOD, "nli_b")[3:6] == [
        ("None - location - 1 - price", HOOD),
        ("Positive - location - 1 - price", HOOD),
        ("Negative - location - 1 - price", HOOD),
    ]


def test_semeval_is_asked_in_the_published_words() -> None:
    assert texts([MEAL], SEMEVAL_2014, "single") == [("Good food",)] * 5
    assert texts([MEAL], SEMEVAL_2014, "qa_m")[1] == ("Good food", "what do you think of the anecdotes of it ?")
    assert [pair[1] for pair in texts([MEAL], SEMEVAL_2014, "nli_m")] == [
        "price",
        "anecdotes",
        "food",
        "ambience",
        "service",
    ]
    assert texts([MEAL], SEMEVAL_2014, "qa_b")[5:7] == [
        ("the polarity of the aspect anecdotes is positive .", "Good food"),
        ("the polarity of the aspect anecdotes is neutral .", "Good food"),
    ]
    assert texts([MEAL], SEMEVAL_2014, "nli_b")[9] == ("none - anecdotes", "Good food")


def test_every_pair_has_its_answer() -> None:
    none, positive, negative = range(3)
    found = sheet([PLACES, PLAIN], scheme=SENTIHOOD, form="nli_m")
    assert [(review.where, target) for review, target in found.blocks] == [
        ("sentence 7", "LOCATION1"),
        ("sentence 7", "LOCATION2"),
        ("sentence 8", "LOCATION1"),
    ]
    np.testing.assert_array_equal(
        found.truth, [[none, negative, positive, none], [none, positive, none, none], [none] * 4]
    )
    assert [problem.answer for problem in found.problems][:4] == ["None", "Negative", "Positive", "None"]
    binary = sheet([PLACES, PLAIN], scheme=SENTIHOOD, form="nli_b").problems
    assert [problem.answer for problem in binary][:6] == ["yes", "no", "no", "no", "no", "yes"]
    assert {problem.where for problem in binary} == {"sentence 7", "sentence 8"}
    np.testing.assert_array_equal(sheet([MEAL], scheme=SEMEVAL_2014, form="qa_b").truth, [[4, 3, 0, 4, 4]])


def test_single_is_a_model_for_each_place_and_aspect() -> None:
    found = sheet([PLACES, PLAIN], scheme=SENTIHOOD, form="single")
    assert found.parts["LOCATION1 price"] == [1, 9]
    assert found.parts["LOCATION2 safety"] == [7]
    assert sorted(number for part in found.parts.values() for number in part) == [*range(12)]
    assert len(found.parts) == 8
    assert {*sheet([MEAL], scheme=SEMEVAL_2014, form="single").parts} == {*SEMEVAL_2014.aspects}
    assert sheet([MEAL], scheme=SEMEVAL_2014, form="qa_b").parts == {"all": [*range(25)]}


REVIEW = st.builds(
    lambda said: Review("fine", ((0, 4),), tuple(said), "here"),
    st.lists(
        st.builds(
            lambda category, polarity: Opinion(category=category, polarity=polarity),
            st.sampled_from([*SEMEVAL_2014.aspects]),
            st.sampled_from(["positive", "neutral", "negative", "conflict"]),
        ),
        max_size=3,
    ),
)


def certain(found: Sheet) -> np.ndarray:
    """What a perfect model says of each problem."""
    return np.eye(len(found.labels))[[found.labels.index(str(problem.answer)) for problem in found.problems]]


@given(reviews=st.lists(REVIEW, min_size=1, max_size=3), form=st.sampled_from(FORMS))
def test_perfect_answers_give_the_labels_back(reviews: list[Review], form: Form) -> None:
    found = sheet(reviews, scheme=SEMEVAL_2014, form=form)
    np.testing.assert_array_equal(found.shares(certain(found)).argmax(axis=-1), found.truth)


@pytest.mark.parametrize("form", sorted(BINARY))
def test_yes_is_shared_out_among_the_labels(form: Form) -> None:
    found = sheet([PLAIN], scheme=SENTIHOOD, form=form)
    yes = np.array([0.2, 0.6, 0.0, 0.3, 0.5, 0.5, 0, 0, 0, 1, 1, 1])
    shares = found.shares(np.stack([1 - yes, yes], axis=1))
    third = 1 / 3
    np.testing.assert_allclose(
        shares, [[[0.25, 0.75, 0], [3 / 13, 5 / 13, 5 / 13], [third, third, third], [third, third, third]]]
    )
    assert shares.argmax(axis=-1).tolist() == [[1, 1, 0, 0]]  # ties to the lower


def test_shuffled_aspects_trade_their_sentences_within_a_block() -> None:
    plain, mixed, again = (
        sheet([PLACES, PLAIN], scheme=SENTIHOOD, form="qa_b", shuffled=random)
        for random in (None, rng(3, "aspects"), rng(3, "aspects"))
    )
    assert mixed.problems == again.problems
    np.testing.assert_array_equal(mixed.truth, plain.truth)
    assert [problem.answer for problem in mixed.problems] == [problem.answer for problem in plain.problems]
    moved = 0
    for block in range(3):
        here = slice(12 * block, 12 * (block + 1))
        one, two = ([problem.texts for problem in of.problems[here]] for of in (plain, mixed))
        assert sorted(one) == sorted(two)  # of the same review and the same place
        moved += one != two
    assert moved


def test_a_polarity_that_is_no_label_is_refused() -> None:
    neutral = Review.of_words(["LOCATION1"], (Opinion((0, 1), polarity="neutral", category="price"),), "sentence 3")
    with pytest.raises(BadInput, match="sentence 3: price has the polarity neutral; it must be positive, negative"):
        sheet([neutral], scheme=SENTIHOOD, form="qa_m")
    unknown = Review.of_words(["fine"], (Opinion(category="food"),), "sentence 4")
    with pytest.raises(BadInput, match="food has no polarity"):
        sheet([unknown], scheme=SEMEVAL_2014, form="qa_m")


def test_a_person_is_asked_in_their_own_categories() -> None:
    ours = scheme_of(["DRINKS#PRICES", "口味", "..."], ("negative", "positive"))
    said = Review.of_words(["dear"], (Opinion(category="DRINKS#PRICES", polarity="negative"),), "sentence 5")
    made = sheet([said], scheme=ours, form="nli_m")
    assert [(problem.texts[1], problem.answer) for problem in made.problems] == [
        ("drinks prices", "negative"),
        ("口味", "none"),
        ("...", "none"),
    ]
    assert made.labels == ("negative", "positive", "none")
    plain = sheet([replace(said, opinions=(Opinion(category="口味"),))], scheme=scheme_of(["口味"], ()), form="nli_b")
    assert [problem.texts[0] for problem in plain.problems] == ["mentioned - 口味", "none - 口味"]
    assert plain.truth.tolist() == [[0]]
