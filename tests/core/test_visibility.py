"""Laws of who sees whom. Legend: L positions of one sequence."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quire.core.visibility import Both, Causal, Full, Prefix, Visibility, Window

LENGTHS = st.integers(1, 9)
RULES: st.SearchStrategy[Visibility] = st.one_of(
    st.just(Full()), st.just(Causal()), st.builds(Prefix, st.integers(0, 11)), st.builds(Window, st.integers(0, 11))
)


@given(LENGTHS)
def test_prefix_runs_from_causal_to_full(length: int) -> None:
    assert (Prefix(0).mask(length) == Causal().mask(length)).all()
    assert (Prefix(1).mask(length) == Causal().mask(length)).all()
    assert Prefix(length).mask(length).all()


@given(LENGTHS)
def test_window_runs_from_self_to_full(length: int) -> None:
    assert (Window(0).mask(length) == np.eye(length, dtype=bool)).all()
    assert (Window(length).mask(length) == Full().mask(length)).all()


def test_masks_written_out() -> None:
    assert Causal().mask(3).tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert Prefix(2).mask(3).tolist() == [[True, True, False], [True, True, False], [True, True, True]]
    assert Window(1).mask(3).tolist() == [[True, True, False], [True, True, True], [False, True, True]]


@given(RULES, RULES, LENGTHS)
def test_a_join_is_where_both_agree(one: Visibility, two: Visibility, length: int) -> None:
    expected = one.mask(length) & two.mask(length)
    assert ((one & two).mask(length) == expected).all()
    assert ((two & one).mask(length) == expected).all()


@given(RULES, LENGTHS)
def test_everyone_sees_themselves_and_equal_rules_are_equal_values(rule: Visibility, length: int) -> None:
    assert rule.mask(length).diagonal().all()
    assert rule & rule == rule
    assert rule & Full() == rule == Full() & rule
    assert hash(rule & Full()) == hash(rule)


def test_a_join_of_two_rules_is_a_value_too() -> None:
    assert Causal() & Window(1) == Both(Causal(), Window(1))
    assert len({Prefix(1), Prefix(1), Prefix(2), Causal()}) == 3
