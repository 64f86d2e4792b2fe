"""Too long a text: what is kept of it in one piece, and its windows."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.example import Passage
from quire.text.cut import KEPT, Cut, cut, in_windows


def passage(length: int) -> Passage:
    return Passage(np.arange(length), np.arange(length) % 2 == 0, document=3)


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        ("head", [0, 1, 2, 3, 4]),
        ("tail", [7, 8, 9, 10, 11]),
        ("head+tail", [0, 8, 9, 10, 11]),
        ("windows", list(range(12))),
    ],
)
def test_what_is_kept(how: Cut, kept: list[int]) -> None:
    found = cut(passage(12), limit=5, how=how)
    assert found.tokens.tolist() == kept
    assert found.starts.tolist() == [token % 2 == 0 for token in kept]
    assert cut(passage(5), limit=5, how=how).tokens.tolist() == [0, 1, 2, 3, 4]


def test_a_report_can_say_each() -> None:
    assert KEPT.keys() == set(get_args(Cut))


@given(length=st.integers(0, 90), room=st.integers(1, 20), most=st.integers(1, 6))
def test_windows_cover_the_text_once_in_as_few_equal_parts_as_can_be(length: int, room: int, most: int) -> None:
    found = in_windows(passage(length), room=room, most=most)
    sizes = [len(window) for window in found]
    assert np.concatenate([w.tokens for w in found]).tolist() == list(range(min(length, room * most)))
    assert max(sizes) <= room
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == max(min(-(-length // room), most), 1)
    assert {w.document for w in found} == {3}
