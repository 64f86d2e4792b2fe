"""What is shown in place of the chosen tokens: 80/10/10, each token by its own coin."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from quire.core.catalogue import Component, catalogue
from quire.core.example import Vocab
from quire.core.random import rng
from quire.noise.rewrite import Mask, Rewrite

VOCAB = Vocab(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)))
MANY = 20_000
NAMES = list(catalogue(Rewrite))  # type: ignore[type-abstract]


@pytest.mark.parametrize("name", NAMES)
@given(length=st.integers(1, 30), key=st.integers(0, 2**20))
def test_contract(name: str, member: Callable[[type[Component], str], Rewrite], length: int, key: int) -> None:
    rewrite, draw = member(Rewrite, name), rng(key)
    tokens, where = draw.integers(5, 60, size=length), draw.random(length) < 0.5
    before = tokens.copy()
    shown = rewrite.apply(tokens, where, VOCAB, rng(key, "apply"))
    assert (shown[~where] == before[~where]).all()
    assert (tokens == before).all()
    assert ((shown >= 0) & (shown < VOCAB.size)).all()
    assert (shown == rewrite.apply(tokens, where, VOCAB, rng(key, "apply"))).all()


def test_eighty_ten_ten() -> None:
    tokens, where = np.full(MANY, 7), np.ones(MANY, dtype=bool)
    shown = Mask().apply(tokens, where, VOCAB, rng(0))
    masked, kept = (shown == VOCAB.mask).sum(), (shown == 7).sum()
    other = MANY - masked - kept
    # a random token is the mask or the token itself once in 60
    expected = np.array([0.8 + 0.1 / 60, 0.1 + 0.1 / 60, 0.1 * 58 / 60]) * MANY
    assert chisquare([masked, kept, other], expected).pvalue > 1e-4


def test_the_tokens_of_a_word_have_coins_of_their_own() -> None:
    shown = Mask(random=0.0).apply(np.full(MANY, 7), np.ones(MANY, dtype=bool), VOCAB, rng(1)) == VOCAB.mask
    assert binomtest(int((shown[:-1] & shown[1:]).sum()), MANY - 1, 0.64).pvalue > 1e-4


@pytest.mark.parametrize(("source", "low"), [("all", 0), ("ordinary", 5)])
def test_random_tokens_are_uniform_over_their_source(source: str, low: int) -> None:
    rewrite = Mask.model_validate({"mask": 0, "random": 1, "random_from": source})
    shown = rewrite.apply(np.full(MANY, 7), np.ones(MANY, dtype=bool), VOCAB, rng(2))
    counts = np.bincount(shown, minlength=60)
    assert counts[:low].sum() == 0
    assert chisquare(counts[low:]).pvalue > 1e-4


@pytest.mark.parametrize("shares", [{"mask": 0.9, "random": 0.2}, {"mask": -0.1}, {"mask": 0.5, "random": -0.1}])
def test_impossible_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be shares of at most 1 together"):
        Mask.model_validate(shares)
