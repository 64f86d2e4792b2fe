"""A text is one example, whatever its length: a sequence, or windows that do not see each other."""

import numpy as np
import pytest

from quire.core.answers import Item
from quire.core.example import Example, Passage, Vocab, World
from quire.core.heads import MOST
from quire.core.visibility import Apart, Full
from quire.paradigms.classify import Classify

TASK = Classify(labels=("bad", "good"))


def text(length: int) -> Passage:
    return Passage(5 + np.arange(length) % 50, np.ones(length, dtype=bool), document=4)


def test_what_fits_is_read_as_ever(vocab: Vocab) -> None:
    (example,) = TASK.format(Item((text(8),)), "good", World(vocab, length=10))
    same = Example.of(vocab, text(8))
    assert example.tokens.tolist() == same.tokens.tolist()
    assert (example.positions, example.sees) == (None, Full())


def test_what_does_not_is_read_in_windows_that_begin_anew_each(vocab: Vocab) -> None:
    (example,) = TASK.format(Item((text(9),)), "good", World(vocab, length=10))
    assert example.tokens.tolist() == [2, 5, 6, 7, 8, 3, 2, 9, 10, 11, 12, 13, 3]
    assert example.positions is not None
    assert example.positions.tolist() == [*range(6), *range(7)]
    assert (example.sees, example.document, example.free.sum()) == (Apart((6, 7)), 4, 9)
    assert TASK.gold(example).tolist() == [0, 1]
    assert (example.answers["classify"] >= 0).tolist() == [True] + [False] * 12


def test_there_are_no_more_than_a_batch_can_hold(vocab: Vocab) -> None:
    (example,) = TASK.format(Item((text(900),)), None, World(vocab, length=10))
    assert example.sees == Apart((10,) * MOST)
    assert example.tokens[1:9].tolist() == text(8).tokens.tolist()


@pytest.mark.parametrize("length", [3, 40])
def test_a_pair_is_read_in_one(length: int, vocab: Vocab) -> None:
    (example,) = TASK.format(Item((text(length), text(2))), None, World(vocab, length=10))
    assert (len(example), example.sees) == (length + 5, Full())
