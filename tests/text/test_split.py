"""Splits keep classes on both sides and equal texts on one; draws are nested."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.errors import BadInput
from quire.text.audit import normalised
from quire.text.records import Record
from quire.text.split import few, few_splits, split


def records(texts: list[str], labels: list[str]) -> list[Record]:
    return [Record(t, v, f"a.csv:{i}") for i, (t, v) in enumerate(zip(texts, labels, strict=True))]


@st.composite
def data_sets(draw: st.DrawFn) -> list[Record]:
    """Some classes, texts that often repeat within a class, in other case and blanks."""
    rows = draw(
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.sampled_from(["{}", " {} "])), min_size=4)
    )
    return records([form.format(f"{label.upper()} text {n}") for label, n, form in rows], [row[0] for row in rows])


@given(data_sets(), st.floats(0.05, 0.95), st.integers(0, 99))
def test_a_split_is_a_partition_with_each_class_on_both_sides_and_each_text_on_one(
    data: list[Record], share: float, seed: int
) -> None:
    texts = {label: {normalised(r.text) for r in data if r.label == label} for label in {r.label for r in data}}
    if all(len(own) < 2 for own in texts.values()):
        with pytest.raises(BadInput, match="cannot split"):
            split(data, share=share, seed=seed)
        return
    rest, drawn = split(data, share=share, seed=seed)
    assert sorted(rest + drawn, key=data.index) == data
    assert rest == [r for r in data if r in rest]
    assert not {normalised(r.text) for r in rest} & {normalised(r.text) for r in drawn}
    for label, own in texts.items():
        assert label in {r.label for r in rest}
        assert (label in {r.label for r in drawn}) == (len(own) > 1)
    assert (rest, drawn) == split(data, share=share, seed=seed)


def test_a_split_takes_its_share_of_each_class() -> None:
    data = records([f"text {i}" for i in range(500)], ["a"] * 400 + ["b"] * 100)
    _, drawn = split(data, share=0.2, seed=1)
    assert Counter(r.label for r in drawn) == {"a": 80, "b": 20}
    assert drawn != split(data, share=0.2, seed=2)[1]
    assert [data.index(r) for r in drawn] != list(range(80)) + list(range(400, 420))  # drawn, not cut off


def test_a_text_that_fills_its_class_does_not_overrun_the_share() -> None:
    data = records(["same"] * 50 + [f"text {i}" for i in range(50)], ["a"] * 100)
    for seed in range(20):
        assert len(split(data, share=0.1, seed=seed)[1]) == 10


def test_a_share_outside_0_and_1_is_refused() -> None:
    for share in (0.0, 1.0, 20.0):
        with pytest.raises(BadInput, match="share between 0 and 1"):
            split(records(["a", "b"], ["x", "x"]), share=share, seed=0)


def test_few_draws_so_many_of_each_class_and_larger_draws_contain_smaller_ones() -> None:
    data = records([f"text {i}" for i in range(60)], ["a", "b", "b"] * 20)
    draws = [few(data, per_class=k, seed=3) for k in (2, 5, 100)]
    assert [Counter(r.label for r in draw) for draw in draws] == [
        {"a": 2, "b": 2},
        {"a": 5, "b": 5},
        {"a": 20, "b": 40},
    ]
    assert set(draws[0]) < set(draws[1]) < set(draws[2])
    assert draws[2] == data
    assert draws[0] != few(data, per_class=2, seed=4)
    with pytest.raises(BadInput, match="at least 1"):
        few(data, per_class=0, seed=3)


@given(data_sets(), st.integers(1, 4), st.integers(1, 4), st.lists(st.integers(0, 99), max_size=3, unique=True))
def test_few_splits_share_no_text_and_repeat_themselves(
    data: list[Record], per_class: int, dev: int, seeds: list[int]
) -> None:
    found = few_splits(data, per_class=per_class, dev_per_class=dev, seeds=seeds)
    assert len(found) == len(seeds)
    for train, held_out in found:
        assert not {normalised(r.text) for r in train} & {normalised(r.text) for r in held_out}
        assert Counter(r.label for r in train).keys() == {r.label for r in data}
        assert max(Counter(r.label for r in train).values()) <= per_class
        assert max(Counter(r.label for r in held_out).values(), default=0) <= dev
        assert train == [r for r in data if r in train]
    assert found == few_splits(data, per_class=per_class, dev_per_class=dev, seeds=seeds)


def test_dev_is_as_large_as_train_and_a_small_class_is_shared() -> None:
    data = records([f"text {i}" for i in range(60)], ["a", "b", "b"] * 20)
    (train, dev), (other, _) = few_splits(data, per_class=8, seeds=(3, 4))
    assert Counter(r.label for r in train) == Counter(r.label for r in dev) == {"a": 8, "b": 8}
    assert train == few(data, per_class=8, seed=3)
    assert train != other
    ((train, dev),) = few_splits(data, per_class=16, dev_per_class=8, seeds=[3])  # of 20, 16 and 8 are wanted
    assert Counter(r.label for r in train) == {"a": 13, "b": 16}
    assert Counter(r.label for r in dev) == {"a": 7, "b": 8}
    with pytest.raises(BadInput, match="at least 1, got 2 to train and 0 for dev"):
        few_splits(data, per_class=2, dev_per_class=0, seeds=[3])
