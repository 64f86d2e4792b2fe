"""Laws of examples and packed batches. Legend: L positions of one sequence, N of all sequences of a batch."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.example import IGNORE, Batch, Example, Passage, Vocab
from quire.core.random import Rng, rng
from quire.core.visibility import Causal, Prefix

VOCAB = Vocab(size=20, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)))


def run(*tokens: int) -> Passage:
    return Passage(np.array(tokens, dtype=np.int64), np.ones(len(tokens), dtype=bool), document=7)


def drawn(length: int, key: int) -> Example:
    """An example of `length` tokens with everything drawn, answers and visibility included."""
    draw = rng(key, "example", length)
    ids = draw.integers(5, 20, size=length)
    free = draw.random(length) < 0.8
    truth = draw.integers(5, 20, size=length)  # not what is shown: answers must come from here
    example = Example(ids, truth, free, free, draw.integers(2, size=length), sees=[Causal(), Prefix(2)][key % 2])
    return example.ask("mlm", free & (draw.random(length) < 0.5), draw.integers(5, 20, size=length))


def test_an_example_of_two_passages_written_out() -> None:
    example = Example.of(VOCAB, run(10, 11), run(12))
    assert example.tokens.tolist() == example.truth.tolist() == [2, 10, 11, 3, 12, 3]
    assert example.segments.tolist() == [0, 0, 0, 0, 1, 1]
    assert example.free.tolist() == [False, True, True, False, True, False]
    assert example.document == 7
    assert example.tokens.dtype == example.segments.dtype == np.int64


def test_empty_passages_are_left_out_and_nothing_at_all_is_two_specials() -> None:
    assert Example.of(VOCAB, run(), run(10)).segments.tolist() == [0, 0, 0]
    assert Example.of(VOCAB, run()).tokens.tolist() == [2, 3]
    assert Example.of(VOCAB).tokens.tolist() == [2, 3]


def test_unknown_tokens_may_be_asked_and_other_specials_may_not() -> None:
    assert Example.of(VOCAB, run(1, 0, 2, 3, 4, 9)).free.tolist() == [False, True, *[False] * 4, True, False]


def test_ordinary_ids_are_all_but_the_special_ones() -> None:
    vocab = Vocab(size=8, pad=0, unk=1, cls=2, sep=3, mask=6, special=frozenset({0, 1, 2, 3, 6}))
    assert vocab.ordinary.tolist() == [4, 5, 7]


@given(st.integers(1, 12), st.integers(0, 2**20), st.integers(0, 2**20))
def test_asking_keeps_truth_leaves_the_rest_and_never_asks_twice(length: int, key: int, salt: int) -> None:
    before, draw = drawn(length, key), rng(salt)
    where, shown = before.free & (draw.random(length) < 0.5), draw.integers(5, 20, size=length)
    after = before.ask("other", where, shown)
    assert (after.truth == before.truth).all()
    assert (after.tokens == np.where(where, shown, before.tokens)).all()
    assert (after.answers["other"] == np.where(where, before.truth, IGNORE)).all()
    assert (after.answers["mlm"] == before.answers["mlm"]).all()
    assert (after.free == (before.free & ~where)).all()
    if where.any():
        with pytest.raises(ValueError, match="third: asks at a position that is special or already asked"):
            after.ask("third", where, shown)


def test_asking_again_under_one_slot_adds_to_it() -> None:
    example = Example.of(VOCAB, run(10, 11))
    first, second = np.array([False, True, False, False]), np.array([False, False, True, False])
    both = example.ask("mlm", first, np.full(4, 4)).ask("mlm", second, np.full(4, 4))
    assert both.answers["mlm"].tolist() == [IGNORE, 10, 11, IGNORE]
    assert example.answers == {}
    assert example.tokens.tolist() == [2, 10, 11, 3]


def test_a_label_stands_at_one_position_and_shows_what_it_was() -> None:
    example = Example.of(VOCAB, run(10)).label("classify", 0)
    assert example.answers["classify"].tolist() == [0, IGNORE, IGNORE]
    assert example.label("other", 5, at=2).answers["other"].tolist() == [IGNORE, IGNORE, 5]
    assert example.tokens.tolist() == [2, 10, 3]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(0, 2**20))
def test_packing_then_unpacking_is_the_identity(lengths: list[int], key: int) -> None:
    examples = [drawn(length, key + i) for i, length in enumerate(lengths)]
    batch = Batch.pack(examples)
    for values, of in (
        (batch.tokens, lambda e: e.tokens),
        (batch.segments, lambda e: e.segments),
        (batch.positions, lambda e: np.arange(len(e))),
        (batch.answers["mlm"], lambda e: e.answers["mlm"]),
    ):
        assert [piece.tolist() for piece in batch.unpack(values)] == [of(example).tolist() for example in examples]
    assert batch.sees == tuple(examples[i].sees for i in batch.order)
    assert batch.lengths.tolist() == sorted(lengths)
    assert batch.offsets.dtype == np.int32
    assert len(batch.tokens) == sum(lengths) == batch.offsets[-1]


def test_a_slot_that_some_examples_lack_is_filled_with_ignore() -> None:
    batch = Batch.pack([Example.of(VOCAB, run(10, 11)), Example.of(VOCAB, run(12)).label("classify", 2)])
    assert batch.answers["classify"].tolist() == [2, *[IGNORE] * 6]


def test_the_shared_passages_are_ordinary(passage: Callable[[int, Rng], Passage], vocab: Vocab) -> None:
    assert Example.of(vocab, passage(30, rng(0))).free[1:-1].all()
