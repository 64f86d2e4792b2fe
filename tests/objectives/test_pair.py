"""Next sentence prediction: half of the pairs keep their B, half get a random passage."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from quire.core.errors import BadInput
from quire.core.example import IGNORE, Example, Passage, Vocab, World
from quire.core.random import Rng, rng
from quire.objectives.mlm import Mlm
from quire.objectives.pair import Pair

Draw = Callable[[int, Rng], Passage]


def pair(vocab: Vocab, *lengths: int) -> Example:
    """Tokens 5, 6, ... so that every token tells where it came from; document 1."""
    first, passages = 5, []
    for length in lengths:
        passages.append(Passage(np.arange(first, first + length), np.ones(length, dtype=bool), document=1))
        first += length
    return Example.of(vocab, *passages)


def foreign(length: int, rng: Rng) -> Passage:
    return Passage(np.full(length, 59), np.ones(length, dtype=bool), document=2)


def test_a_kept_pair_is_untouched_and_labelled_zero(vocab: Vocab) -> None:
    example = pair(vocab, 4, 6)
    kept = Pair(rate=0.0).corrupt(example, World(vocab, foreign), rng(0))
    assert kept.tokens.tolist() == example.tokens.tolist()
    assert kept.answers["pair"].tolist() == [0, *[IGNORE] * (len(example) - 1)]


@given(st.integers(1, 20), st.integers(0, 20), st.integers(0, 99))
def test_a_random_b_comes_from_elsewhere_and_fits(one: int, two: int, seed: int) -> None:
    vocab = Vocab(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)))
    example = pair(vocab, one, two)
    other = Pair(rate=1.0).corrupt(example, World(vocab, foreign, length=48), rng(seed))
    assert other.answers["pair"][0] == 1
    # as long as the true pair, or filled up where there was none: the length tells nothing
    assert len(other) == (len(example) if two else 48)
    a, b = other.tokens[other.segments == 0], other.tokens[other.segments == 1]
    assert a[0] == vocab.cls
    assert a[-1] == b[-1] == vocab.sep
    assert (b[:-1] == 59).all()
    assert len(b) > 1
    assert len(a) > 2
    assert set(a[1:-1].tolist()) <= set(example.tokens[example.segments == 0].tolist())
    assert (np.diff(a[1:-1]) == 1).all()  # a run of A, cut at its ends only
    assert (other.tokens == other.truth).all()


def test_a_lone_passage_is_never_a_true_pair(vocab: Vocab) -> None:
    labels = {
        int(Pair(rate=0.0).corrupt(pair(vocab, 5), World(vocab, foreign), rng(s)).answers["pair"][0]) for s in range(9)
    }
    assert labels == {1}


def test_half_of_the_pairs(vocab: Vocab) -> None:
    example = pair(vocab, 4, 6)
    ones = sum(int(Pair().corrupt(example, World(vocab, foreign), rng(s)).answers["pair"][0]) for s in range(2000))
    assert binomtest(ones, 2000, 0.5).pvalue > 1e-4


def test_b_is_drawn_again_when_it_comes_from_the_same_document(vocab: Vocab) -> None:
    def mostly_own(length: int, draw: Rng) -> Passage:
        return replace(foreign(length, draw), document=1 if draw.random() < 0.5 else 2)

    def documents(passage: Draw) -> list[int]:
        seen: list[int] = []

        def spy(length: int, draw: Rng) -> Passage:
            seen.append((found := passage(length, draw)).document)
            return found

        Pair(rate=1.0).corrupt(pair(vocab, 4, 6), World(vocab, spy), rng(len(seen)))
        return seen

    found = [documents(mostly_own) for _ in range(3)]
    assert all(seen[-1] == 2 and set(seen[:-1]) <= {1} for seen in found)
    assert len(documents(lambda n, draw: replace(foreign(n, draw), document=1))) == 10  # then it gives up


def test_it_must_come_before_what_asks_for_tokens(vocab: Vocab) -> None:
    world = World(vocab, foreign)
    asked = Mlm().corrupt(pair(vocab, 4, 6), world, rng(0))
    with pytest.raises(BadInput, match="list it before them"):
        Pair().corrupt(asked, world, rng(1))


def test_it_needs_a_corpus(vocab: Vocab) -> None:
    with pytest.raises(ValueError, match="needs a corpus"):
        Pair(rate=1.0).corrupt(pair(vocab, 4, 6), World(vocab), rng(0))
