"""Laws of who sees whom. Legend: L positions of one sequence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.visibility import Apart, Both, Causal, Full, Permuted, Prefix, Visibility, Window

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


RANKS = st.lists(st.integers(-1, 5), min_size=1, max_size=9).map(np.array)


@given(RANKS)
def test_an_order_by_place_is_causal_and_one_rank_is_full(ranks: np.ndarray) -> None:
    length = len(ranks)
    assert (Permuted.of(np.arange(length)).mask(length) == Causal().mask(length)).all()
    assert (Permuted.of(ranks * 0).mask(length) == Full().mask(length)).all()
    assert (Permuted.of(-np.arange(length)).mask(length) == Causal().mask(length).T).all()


@given(RANKS)
def test_a_query_sees_what_comes_before_it_and_never_itself(ranks: np.ndarray) -> None:
    rule, length = Permuted.of(ranks), len(ranks)
    everyone = np.arange(length)
    assert not rule.query(everyone).diagonal().any()
    assert not (rule.query(everyone) & ~rule.mask(length)).any(), "content sees no less than a query"
    lone = np.array([(ranks == rank).sum() == 1 for rank in ranks])
    opened = rule.query(everyone) | np.eye(length, dtype=bool)
    assert (opened[lone] == rule.mask(length)[lone]).all(), "of one's own rank alone, content sees oneself besides"
    assert (rule.query(everyone[::2]) == rule.query(everyone)[::2]).all()


@given(RANKS)
def test_equal_orders_are_equal_values(ranks: np.ndarray) -> None:
    assert Permuted.of(ranks) == Permuted.of(ranks.astype(np.int32))
    assert hash(Permuted.of(ranks)) == hash(Permuted.of(ranks.copy()))
    assert Permuted.of(ranks) != Permuted.of(ranks, memory=1)
    assert (Permuted.of(ranks).ranks == ranks).all()
    with pytest.raises(ValueError, match="an order of"):
        Permuted.of(ranks).mask(len(ranks) + 1)


def test_blocks_stand_apart() -> None:
    assert Apart((1, 2)).mask(3).tolist() == [[True, False, False], [False, True, True], [False, True, True]]
    with pytest.raises(ValueError, match="blocks of 3 positions cannot rule 4"):
        Apart((1, 2)).mask(4)
