"""What is shown in place of the chosen tokens: 80/10/10, each token by its own coin."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from quire.core.catalogue import Component, catalogue
from quire.core.errors import BadInput
from quire.core.example import Ints, Vocab
from quire.core.random import rng
from quire.noise.rewrite import Drop, Infill, InPlace, Mask, Rewrite, Sentinels, Shuffle
from quire.noise.spans import covered

VOCAB = Vocab(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)), sentinels=(*range(99, 79, -1),))
MANY = 20_000
NAMES = list(catalogue(Rewrite))  # type: ignore[type-abstract]
IN_PLACE = list(catalogue(InPlace))  # type: ignore[type-abstract]


def cut(length: int, key: int) -> Ints:
    """Spans as a select may give them: some touch, some are empty."""
    at = np.sort(rng(key, "cut").integers(length + 1, size=8))
    return at.reshape(-1, 2)


@pytest.mark.parametrize("name", NAMES)
@given(length=st.integers(0, 30), key=st.integers(0, 2**20))
def test_what_no_span_covers_stays_in_order(
    name: str, member: Callable[[type[Component], str], Rewrite], length: int, key: int
) -> None:
    rewrite, tokens, spans = member(Rewrite, name), np.arange(1000, 1000 + length), cut(length, key)
    before = tokens.copy(), spans.copy()
    shown = rewrite.recast(tokens, spans, VOCAB, rng(key, "recast"))
    visible = tokens[~covered(spans, length)].tolist()
    assert [token for token in shown.tolist() if token in visible] == visible
    assert (tokens == before[0]).all()
    assert (spans == before[1]).all()
    assert (shown == rewrite.recast(tokens, spans, VOCAB, rng(key, "recast"))).all()


@pytest.mark.parametrize("name", IN_PLACE)
@given(length=st.integers(1, 30), key=st.integers(0, 2**20))
def test_contract_in_place(name: str, member: Callable[[type[Component], str], InPlace], length: int, key: int) -> None:
    rewrite, draw = member(InPlace, name), rng(key)
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


def test_random_tokens_come_as_often_as_in_the_corpus() -> None:
    counts = np.zeros(60, dtype=np.int64)
    counts[[1, 7, 30, 59]] = [1, 2, 0, 7]
    vocab = replace(VOCAB, counts=counts)
    rewrite = Mask(mask=0, random=1, random_from="corpus")
    shown = np.bincount(rewrite.apply(np.full(MANY, 9), np.ones(MANY, dtype=bool), vocab, rng(2)), minlength=60)
    assert chisquare(shown[[1, 7, 59]], np.array([0.1, 0.2, 0.7]) * MANY).pvalue > 1e-4
    with pytest.raises(BadInput, match="no corpus was counted"):
        rewrite.apply(np.full(9, 9), np.ones(9, dtype=bool), VOCAB, rng(2))


def test_a_span_has_one_coin_and_a_random_token_for_each_place() -> None:
    """SpanBERT: all of a span is hidden, replaced or kept, 80/10/10 of the spans."""
    vocab = replace(VOCAB, counts=np.r_[np.zeros(10, dtype=np.int64), np.ones(50, dtype=np.int64)])
    where = np.arange(MANY) % 5 < 4  # runs of four
    shown = Mask(random_from="corpus", by="span").apply(np.full(MANY, 7), where, vocab, rng(3))
    spans = shown.reshape(-1, 5)[:, :4]
    masked, kept = spans == VOCAB.mask, spans == 7
    assert (masked.all(axis=1) | ~masked.any(axis=1)).all()
    assert (kept.all(axis=1) | ~kept.any(axis=1)).all()
    random = ~masked[:, 0] & ~kept[:, 0]
    counts = [masked[:, 0].sum(), random.sum(), kept[:, 0].sum()]
    assert chisquare(counts, np.array([0.8, 0.1, 0.1]) * len(spans)).pvalue > 1e-4
    assert np.mean([len(set(span)) == 1 for span in spans[random].tolist()]) < 0.05  # drawn place by place


def test_trigrams_are_shuffled_inside_and_a_sixth_stays() -> None:
    tokens, where = np.arange(MANY) % 50 + 5, np.arange(MANY) % 10 < 6  # six chosen side by side are two groups
    shown = Shuffle().apply(tokens, where, VOCAB, rng(4))
    before, after = (values.reshape(-1, 10)[:, :6].reshape(-1, 3) for values in (tokens, shown))
    assert (np.sort(after, axis=1) == np.sort(before, axis=1)).all()
    order = np.argsort(np.argsort(after, axis=1), axis=1)
    orders = np.unique(order[(before[:, 2] - before[:, 0]) == 2], axis=0, return_counts=True)[1]
    assert len(orders) == 6
    assert chisquare(orders).pvalue > 1e-4


def test_pairs_and_a_rest_are_shuffled_too() -> None:
    tokens = np.arange(5, 12)
    found = {tuple(Shuffle(length=2).apply(tokens, np.arange(7) < 5, VOCAB, rng(k)).tolist()) for k in range(40)}
    assert {(shown[4], shown[5], shown[6]) for shown in found} == {(9, 10, 11)}  # the fifth stands alone
    assert {shown[:4] for shown in found} == {(a, b, c, d) for a, b in ((5, 6), (6, 5)) for c, d in ((7, 8), (8, 7))}


@pytest.mark.parametrize("shares", [{"mask": 0.9, "random": 0.2}, {"mask": -0.1}, {"mask": 0.5, "random": -0.1}])
def test_impossible_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be shares of at most 1 together"):
        Mask.model_validate(shares)


SPANS = np.array([[0, 2], [2, 3], [5, 5], [6, 8], [8, 8]])  # two touch, one is empty, one is behind the last token
TOKENS = np.arange(10, 18)


@pytest.mark.parametrize(
    ("rewrite", "shown"),
    [
        (Drop(), [13, 14, 15]),
        (Sentinels(), [99, 98, 13, 14, 97, 15, 96, 95]),
        (Infill(), [4, 4, 13, 14, 4, 15, 4, 4]),
        (Mask(mask=1, random=0), [4, 4, 4, 13, 14, 15, 4, 4]),
    ],
)
def test_what_stands_in_place_of_spans(rewrite: Rewrite, shown: list[int]) -> None:
    assert rewrite.recast(TOKENS, SPANS, VOCAB, rng(0)).tolist() == shown


@given(length=st.integers(1, 30), key=st.integers(0, 2**20))
def test_deletion_is_a_subsequence_and_infilling_one_mask_a_span(length: int, key: int) -> None:
    tokens, spans = rng(key).integers(5, 60, size=length), cut(length, key)
    hidden = covered(spans, length)
    assert (Drop().recast(tokens, spans, VOCAB, rng(key)) == tokens[~hidden]).all()
    filled = Infill().recast(tokens, spans, VOCAB, rng(key))
    assert len(filled) == (~hidden).sum() + len(spans)
    assert (filled[filled != VOCAB.mask] == tokens[~hidden]).all()


def test_some_masks_of_an_infilled_text_are_random_tokens() -> None:
    begins = np.arange(0, MANY, 2)
    spans = np.stack([begins, begins + 1], axis=1)
    shown = Infill(random=0.1).recast(np.full(MANY, 99), spans, VOCAB, rng(0))
    other = shown[(shown != 99) & (shown != VOCAB.mask)]
    assert binomtest(len(other), len(spans), 0.1).pvalue > 1e-4
    assert chisquare(np.bincount(other, minlength=60)[5:]).pvalue > 1e-4
    assert other.min() >= 5
