"""Whoever keeps to the grammar says opinions, and ends; whoever says opinions keeps to it."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.answers import Inexpressible
from quire.core.grammar import END, Columns, Grammar
from quire.core.opinions import Opinion, Polarity
from quire.core.subtasks import OF_ASPECT, SUBTASKS, Question, Subtask

LABELS = ("positive", "negative", "ae", "neutral")
FIRST = np.array([1, 2, -1, 5, 6, 9])
"""Six words, of which one has no token; the first is at position 1, behind [CLS]."""


def question(subtask: Subtask) -> Question:
    return Question(subtask, (1, 3) if subtask in OF_ASPECT else None)


@given(st.sampled_from(SUBTASKS), st.integers(2, 40), st.integers(0, 9999))
def test_any_choice_among_what_is_allowed_is_valid_and_ends(subtask: Subtask, limit: int, seed: int) -> None:
    asked, columns, draw = question(subtask), Columns(LABELS, FIRST), random.Random(seed)
    state, said = Grammar.of(asked, columns, limit=limit), list[int]()
    while not said or said[-1] != END:
        allowed = state.allowed().tolist()
        assert allowed == sorted(set(allowed))
        said.append(draw.choice(allowed[1:] or allowed if draw.random() < 0.9 else allowed))
        state = state.after(said[-1])
        assert len(said) <= limit
    told = asked.decode([columns.symbol(column) for column in said[:-1]])
    assert told.invalid == 0
    assert len(told.opinions) == 1 if asked.once else len(said) == 1 or told.opinions


def test_choices_use_the_room_there_is() -> None:
    """Without it the law above would hold of a grammar that always ends at once."""
    state, said = Grammar.of(question("pair"), Columns(LABELS, FIRST), limit=10), list[int]()
    while not said or said[-1] != END:
        said.append(int(state.allowed()[-1]))
        state = state.after(said[-1])
    assert len(said) == 9  # two pairs and an end


@st.composite
def said(draw: st.DrawFn) -> list[Opinion]:
    def run() -> tuple[int, int]:
        first, last = sorted(draw(st.lists(st.sampled_from([0, 1, 3, 4, 5]), min_size=2, max_size=2)))
        return first, last + 1

    polarity: list[Polarity] = ["positive", "negative", "neutral"]
    return [Opinion((1, 3), run(), draw(st.sampled_from(polarity))) for _ in range(draw(st.integers(1, 4)))]


@given(st.sampled_from(SUBTASKS), said())
def test_whatever_can_be_said_is_allowed(subtask: Subtask, opinions: list[Opinion]) -> None:
    asked = question(subtask)
    if asked.once:
        opinions = opinions[:1]
    opinions = [Opinion((1, 2), one.opinion, one.polarity) for one in opinions] if "aspect" in asked.parts else opinions
    columns, symbols = Columns(LABELS, FIRST), asked.encode(opinions)
    state = Grammar.of(asked, columns, limit=len(symbols) + 1)
    for column in (*(columns.of(symbol) for symbol in symbols), END):
        assert column in state.allowed()
        state = state.after(column)


def test_what_may_follow_in_a_triplet() -> None:
    state = Grammar.of(Question("triplet"), Columns(LABELS, FIRST), limit=11)
    words = [6, 7, 10, 11, 14]
    for column, allowed in ((7, [END, *words]), (10, words[1:]), (6, words), (6, words), (4, [1, 2, 4])):
        assert state.allowed().tolist() == allowed
        state = state.after(column)
    for column in (14, 14, 14, 14, 1):
        state = state.after(column)
    assert state.allowed().tolist() == [END]


def test_a_review_without_words_has_no_opinions() -> None:
    columns = Columns(LABELS, np.array([-1, -1]))
    assert Grammar.of(Question("triplet"), columns, limit=50).allowed().tolist() == [END]
    assert Grammar.of(question("alsc"), columns, limit=2).allowed().tolist() == [1, 2, 4]
    with pytest.raises(ValueError, match="no room"):
        Grammar.of(question("alsc"), columns, limit=1)


def test_a_position_inside_a_word_stands_for_it() -> None:
    columns = Columns(LABELS, FIRST)
    assert [columns.symbol(column) for column in range(1, 15)] == [*LABELS, 0, 0, 1, 1, 1, 3, 4, 4, 4, 5]
    assert all(columns.symbol(columns.of(symbol)) == symbol for symbol in (*LABELS, 0, 1, 3, 4, 5))
    with pytest.raises(Inexpressible, match="word 2 begins with no token"):
        columns.of(2)
    with pytest.raises(Inexpressible, match="word 6"):
        columns.of(6)
