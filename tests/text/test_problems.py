"""Words over tokens: every word knows where it begins, in any tokenizer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.errors import BadInput
from quire.text.problems import Problem, first_tokens, in_order, items
from quire.text.tokenizers import Tokenizer

TEXTS = ["the unbelievable house's door", "北京 大学 in 1998", "a b c d e f g", "café naïve"] * 3


@pytest.fixture(scope="module", params=["wordpiece", "bpe", "unigram"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer.train(TEXTS, kind=request.param, size=320)


@given(words=st.lists(st.sampled_from([*" ".join(TEXTS[:4]).split(), "zzz", "'s", "1998年"]), min_size=1, max_size=9))
def test_the_first_token_of_a_word_spells_its_beginning(tokenizer: Tokenizer, words: list[str]) -> None:
    problem = Problem.of_words(words, None, "here:1")
    (item,) = items([problem], tokenizer)
    (passage,) = item.passages
    assert [problem.word(i) for i in range(len(words))] == words
    assert problem.quoted(0, len(words)) == " ".join(words)
    first = item.words
    assert (first >= 0).all(), "every word has a token of its own: blanks part them"
    assert (np.diff(first) > 0).all()
    assert passage.starts[first].all()
    _, offsets = tokenizer.located([problem.texts[0]])[0]
    assert problem.words is not None
    for token, (start, end) in zip(first.tolist(), problem.words, strict=True):
        assert offsets[token][0] <= start < offsets[token][1] <= end


def test_a_token_over_several_words_is_the_first_ones() -> None:
    offsets = np.array([[0, 2], [2, 7], [7, 9]])
    assert first_tokens(offsets, [(0, 2), (2, 4), (4, 6), (6, 9)], 9).tolist() == [0, 1, -1, 2]


def test_what_is_read_before_the_words_is_kept(tokenizer: Tokenizer) -> None:
    question = Problem(("which house", "the house"), None, "here", words=((0, 3), (4, 9)))
    pair, asked = items([Problem(("a b", "c"), "same", "here"), question], tokenizer)
    assert len(pair.passages) == len(asked.passages) == 2
    with pytest.raises(ValueError, match="not counted"):
        _ = pair.words
    assert len(asked.words) == 2


def test_places() -> None:
    assert in_order([(0, 2), (2, 3)], 3)
    assert not in_order([(0, 2), (1, 3)], 3)
    assert not in_order([(0, 2), (2, 2)], 3)
    assert not in_order([(0, 4)], 3)


def test_a_blank_word_is_refused() -> None:
    with pytest.raises(BadInput, match=r"x.conll:3: a word is blank"):
        Problem.of_words(["a", " "], None, "x.conll:3")
