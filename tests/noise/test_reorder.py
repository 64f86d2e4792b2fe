"""Orders of a text: sentences change places whole, and a rotation can be turned back."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from quire.core.catalogue import Component, catalogue
from quire.core.example import Ints, Vocab
from quire.core.random import rng
from quire.noise.reorder import Reorder, Rotation, Sentences

STOP = 7
VOCAB = Vocab(
    size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)), stops=frozenset({STOP, 8}), sentinels=()
)
NAMES = list(catalogue(Reorder))  # type: ignore[type-abstract]


@pytest.mark.parametrize("name", NAMES)
@given(length=st.integers(0, 30), key=st.integers(0, 2**20))
def test_contract(name: str, member: Callable[[type[Component], str], Reorder], length: int, key: int) -> None:
    tokens = rng(key).integers(5, 12, size=length)
    before = tokens.copy()
    order = member(Reorder, name).order(tokens, VOCAB, rng(key, "order"))
    assert (np.sort(order) == np.arange(length)).all()
    assert (order == member(Reorder, name).order(tokens, VOCAB, rng(key, "order"))).all()
    assert (tokens == before).all()


def cut(tokens: list[int]) -> list[tuple[int, ...]]:
    """At every stop that no other follows."""
    found: list[tuple[int, ...]] = []
    sentence: list[int] = []
    for at, token in enumerate(tokens):
        sentence.append(token)
        if token in VOCAB.stops and tokens[at + 1 : at + 2] and tokens[at + 1] not in VOCAB.stops:
            found.append(tuple(sentence))
            sentence = []
    return [*found, tuple(sentence)]


@given(st.lists(st.sampled_from([5, 6, STOP, 8, 9]), min_size=1, max_size=30), st.integers(0, 2**20))
def test_sentences_stay_whole(tokens: list[int], key: int) -> None:
    text = np.array(tokens)
    shown = text[Sentences().order(text, VOCAB, rng(key))].tolist()
    sentences = cut(tokens)
    left = Counter(sentences)
    while shown:  # the longest that fits: shorter ones may begin it
        fitting = max((s for s in left if tuple(shown[: len(s)]) == s and left[s]), key=len)
        left[fitting] -= 1
        shown = shown[len(fitting) :]
    assert not +left


def text_of(sentences: int) -> Ints:
    return np.concatenate([[10 + i, STOP] for i in range(sentences)])


def test_every_order_of_sentences_is_as_likely() -> None:
    orders = Counter(tuple(Sentences().order(text_of(3), VOCAB, rng("law", i))) for i in range(3000))
    assert len(orders) == 6
    assert chisquare(list(orders.values())).pvalue > 1e-4


def test_a_share_of_the_sentences_moves() -> None:
    text = text_of(20)
    places = np.array([Sentences(share=0.3).order(text, VOCAB, rng("share", i)) for i in range(400)])
    moved = (places != np.arange(len(text))).sum(axis=1) // 2
    assert moved.max() == 6
    assert abs(moved.mean() - 5) < 0.3  # one of those that are drawn comes back to its place
    assert (Sentences(share=0).order(text, VOCAB, rng(0)) == np.arange(len(text))).all()


def test_a_text_without_stops_stays() -> None:
    assert (Sentences().order(np.full(9, 20), VOCAB, rng(0)) == np.arange(9)).all()


@given(st.integers(1, 30), st.integers(0, 2**20))
def test_rotating_back_restores(length: int, key: int) -> None:
    order = Rotation().order(np.arange(length), VOCAB, rng(key))
    assert (np.roll(order, int(order[0])) == np.arange(length)).all()


def test_offsets_are_uniform_and_two_are_the_identity() -> None:
    begins = Counter(int(Rotation().order(np.arange(9), VOCAB, rng("offset", i))[0]) for i in range(4000))
    shares = np.array([2, *[1] * 8]) / 10
    assert chisquare([begins[i] for i in range(9)], shares * 4000).pvalue > 1e-4


def test_a_text_is_rotated_with_its_chance() -> None:
    still = sum(Rotation(chance=0.25).order(np.arange(9, 108), VOCAB, rng("chance", i))[0] == 0 for i in range(2000))
    assert binomtest(still, 2000, 0.75 + 0.25 * 2 / 100).pvalue > 1e-4
