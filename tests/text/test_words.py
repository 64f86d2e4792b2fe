"""Where words begin."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.core.errors import BadInput
from quire.text.words import chinese, starts, word_places


def cut(text: str, pieces: str) -> list[bool]:
    """starts of one token a character of `text`, segmented as `pieces` shows with bars."""
    offsets = [(i, i + 1) for i in range(len(text))]
    return [bool(begins) for begins in starts(offsets, text, lambda _: pieces.split("|"))]


def test_a_token_begins_a_word_where_the_segmenter_cuts() -> None:
    assert cut("我们在动物园", "我们|在|动物园") == [True, False, True, True, False, False]


def test_a_token_over_two_words_joins_them() -> None:
    found = starts([(0, 1), (1, 3), (3, 4), (4, 5)], "abcde", lambda _: ["ab", "cd", "e"])
    assert found.tolist() == [True, False, False, True]


def test_bytes_of_one_character_stay_together() -> None:
    assert starts([(0, 1), (0, 1), (0, 1), (1, 2)], "😀a", lambda _: ["😀", "a"]).tolist() == [True, False, False, True]


def test_a_space_before_a_token_does_not_join_it_to_the_word_before() -> None:
    found = starts([(0, 1), (1, 3), (3, 4)], "a bc", lambda _: ["a", " ", "bc"])
    assert found.tolist() == [True, True, False]


def test_empty_tokens_and_empty_texts_are_borne() -> None:
    assert starts([], "", lambda _: []).tolist() == []
    assert starts([(0, 0), (0, 1), (1, 1)], "a", lambda _: ["a"]).tolist() == [True, False, False]


def test_a_segmenter_that_alters_the_text_is_refused() -> None:
    with pytest.raises(BadInput, match="must keep every character"):
        starts([(0, 1)], "a b", lambda text: text.split())


@settings(deadline=None)  # the first call loads the dictionary
@given(st.text(alphabet="我们在野生动物园玩 ab3。，\n😀", max_size=40))
def test_rjieba_keeps_every_character(text: str) -> None:
    pytest.importorskip("rjieba")
    offsets = [(i, i + 1) for i in range(len(text))]
    assert starts(offsets, text, chinese()).sum() == len(chinese()(text))


def test_without_rjieba_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rjieba", None)
    with pytest.raises(BadInput, match=r"pip install 'quire\[zh\]'"):
        chinese()


def test_words_without_a_segmenter_are_runs_single_han_and_signs() -> None:
    text = "Don't stop, 北京2008年 x_y!"
    spelled = [text[start:end] for start, end in word_places(text)]
    assert spelled == ["Don", "'", "t", "stop", ",", "北", "京", "2008", "年", "x_y", "!"]
    assert word_places(" \n") == ()


def test_marks_belong_to_their_letters() -> None:
    text = "हिन्दी है। cafe\u0301s か\u3099か"
    spelled = [text[start:end] for start, end in word_places(text)]
    assert spelled == ["हिन्दी", "है", "।", "cafe\u0301s", "か\u3099", "か"]
