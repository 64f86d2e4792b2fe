"""Spans, n-grams and trigrams: beside the official algorithms, written here as plainly as they are published."""

import math
from collections import Counter
from collections.abc import Callable
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from quire.core.example import Bools
from quire.core.random import Rng, rng
from quire.noise.select import Ngrams, Spans, Trigrams, WholeWord

WORDS = [1, 2, 1, 1, 3, 1, 1, 2, 1, 1, 1, 4, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 3, 1, 1, 1, 2, 1, 1, 1]
STARTS = np.concatenate([[True] + [False] * (size - 1) for size in WORDS])
FREE = np.ones(len(STARTS), dtype=bool)
MANY = 2500


def runs(where: Bools) -> list[tuple[int, int]]:
    """(begin, end) of each run of chosen tokens."""
    edges = np.flatnonzero(np.diff(where, prepend=False, append=False))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def spanbert(starts: Bools, rate: float, p: float, longest: int, draw: Rng) -> Bools:
    """facebookresearch/SpanBERT, pretraining/fairseq/data/masking.py, PairWithSpanMaskingScheme.mask."""
    n = len(starts)
    shares = np.array([p * (1 - p) ** k for k in range(longest)])
    begins = [*np.flatnonzero(starts).tolist(), n]
    mask: set[int] = set()
    while len(mask) < math.ceil(n * rate):
        length = draw.choice(longest, p=shares / shares.sum()) + 1
        anchor = int(draw.integers(n))
        if anchor in mask:
            continue
        word = max(w for w, begin in enumerate(begins) if begin <= anchor)
        for i in range(begins[word], begins[min(word + length, len(begins) - 1)]):
            if len(mask) < math.ceil(n * rate):
                mask.add(i)
    return np.isin(np.arange(n), list(mask))


def albert(starts: Bools, budget: int, shares: list[float], draw: Rng) -> Bools:
    """google-research/albert, create_pretraining_data.py, create_masked_lm_predictions."""
    words = [word.tolist() for word in np.split(np.arange(len(starts)), np.flatnonzero(starts)[1:])]
    candidates = [[words[i : i + n] for n in range(1, len(shares) + 1)] for i in range(len(words))]
    covered: set[int] = set()
    for k in draw.permutation(len(words)):
        n = int(draw.choice(len(shares), p=np.array(shares) / sum(shares)))
        tokens = list(chain(*candidates[k][n]))
        while len(covered) + len(tokens) > budget and n > 0:
            n -= 1
            tokens = list(chain(*candidates[k][n]))
        if len(covered) + len(tokens) <= budget and not covered & set(tokens):
            covered |= set(tokens)
    return np.isin(np.arange(len(starts)), list(covered))


def same_law(ours: Callable[[Rng], Bools], theirs: Callable[[Rng], Bools]) -> None:
    """The lengths of runs, and how often each place is chosen, do not tell the two apart."""
    sides = [[draw(rng(name, i)) for i in range(MANY)] for name, draw in (("ours", ours), ("theirs", theirs))]
    lengths = [Counter(b - a for where in side for a, b in runs(where)) for side in sides]
    table = np.array([[found[k] for k in range(1, len(FREE) + 1)] for found in lengths])
    table = np.column_stack([table[:, :9], table[:, 9:].sum(axis=1)])  # few are longer
    assert chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue > 1e-3
    places = np.array([np.sum(side, axis=0) for side in sides])
    for chosen in places.T:
        assert chi2_contingency([chosen, MANY - chosen]).pvalue > 1e-4


@pytest.mark.parametrize("rate", [0.15, 0.5])
def test_spans_have_the_law_of_the_release(rate: float) -> None:
    spans = Spans(rate=rate)
    same_law(lambda draw: spans.choose(FREE, STARTS, draw), lambda draw: spanbert(STARTS, rate, 0.2, 10, draw))


def test_the_lengths_are_geometric_with_the_tail_discarded() -> None:
    """Far from each other, spans neither merge nor meet the budget's end, but for the last one of each text."""
    free = np.ones(4000, dtype=bool)
    spans = Spans(rate=0.01)
    found = Counter(b - a for i in range(600) for a, b in runs(spans.choose(free, free, rng("law", i))))
    shares = 0.8 ** np.arange(10) / (0.8 ** np.arange(10)).sum()
    assert shares[[0, 1, 9]].round(4).tolist() == [0.2241, 0.1792, 0.0301]
    lengths = np.array([found[k] for k in range(1, 11)])
    assert abs(lengths / sum(found.values()) - shares).max() < 0.03
    assert sum(n for k, n in found.items() if k > 10) < 0.05 * sum(found.values())  # two that touch


@given(st.integers(1, 300), st.integers(0, 2**20), st.sampled_from([0.15, 0.5, 0.9]))
def test_spans_spend_the_budget_exactly_and_begin_at_words(length: int, key: int, rate: float) -> None:
    starts = rng(key, length).random(length) < 0.6
    starts[0] = True
    where = Spans(rate=rate).choose(np.ones(length, dtype=bool), starts, rng(key))
    assert where.sum() == math.ceil(rate * length)
    found = runs(where)
    assert all(starts[begin] for begin, _ in found)
    assert sum(end < length and not starts[end] for _, end in found) <= 1, "more than the last one is cut in a word"


@given(st.integers(1, 60), st.integers(0, 2**20))
def test_spans_count_and_stay_within_what_is_free(length: int, key: int) -> None:
    draw = rng(key, length)
    free, starts = draw.random(length) < 0.7, draw.random(length) < 0.5
    where = Spans(rate=0.3).choose(free, starts, rng(key))
    assert where.sum() == math.ceil(0.3 * free.sum())
    assert not (where & ~free).any()
    gap = ~np.concatenate([[False], free[:-1]])
    assert all(starts[begin] or gap[begin] for begin, _ in runs(where))


def test_ngrams_have_the_law_of_albert() -> None:
    budget = max(1, round(0.15 * len(FREE)))
    shares = [1, 1 / 2, 1 / 3]
    same_law(lambda draw: Ngrams().choose(FREE, STARTS, draw), lambda draw: albert(STARTS, budget, shares, draw))


def test_a_run_is_made_shorter_to_fit_the_budget() -> None:
    free = np.ones(40, dtype=bool)
    assert Ngrams(rate=0.05, shares=(0.0, 0.0, 1.0)).choose(free, free, rng(0)).sum() == 2


def test_ngrams_of_one_word_are_whole_words() -> None:
    one = Ngrams(shares=(1.0,))
    same_law(lambda draw: one.choose(FREE, STARTS, draw), lambda draw: WholeWord().choose(FREE, STARTS, draw))


def test_unilm_takes_one_token_in_eighty_percent() -> None:
    """Far from each other, so that runs do not merge; the last one of a text may be cut to the budget."""
    free, starts = np.ones(4000, dtype=bool), np.arange(4000) % 3 == 0
    unilm = Ngrams(rate=0.01, shares=(0.8, 0.1, 0.1), of="tokens")
    found = Counter(b - a for i in range(400) for a, b in runs(unilm.choose(free, starts, rng("unilm", i))))
    share = np.array([found[k] for k in (1, 2, 3)]) / sum(found.values())
    assert abs(share - [0.8, 0.1, 0.1]).max() < 0.02


@given(st.integers(1, 80), st.integers(0, 2**20), st.sampled_from(["nearest", "random"]))
def test_ngrams_are_whole_words_within_the_budget(length: int, key: int, rounding: str) -> None:
    draw = rng(key, length)
    free, starts = draw.random(length) < draw.choice([0.5, 0.9, 1.0]), draw.random(length) < 0.5
    where = Ngrams.model_validate({"rounding": rounding}).choose(free, starts, rng(key))
    for word in np.split(np.arange(length), np.flatnonzero(starts)):
        assert where[word].all() or not where[word].any()
    assert not (where & ~free).any()
    assert where.sum() <= max(1, round(0.15 * length)) + (rounding == "random")


@given(st.integers(1, 200), st.integers(0, 2**20), st.sampled_from([3, 2]))
def test_trigrams_are_apart_and_as_many_as_their_share(length: int, key: int, of: int) -> None:
    free = rng(key, length).random(length) < 0.9
    where = Trigrams(length=of).choose(free, free, rng(key))
    places = sum(free[i : i + of].all() for i in range(length - of + 1))
    assert all((b - a) % of == 0 for a, b in runs(where))
    # a share of 5 % always finds its places: a run forbids five of them at most
    assert where.sum() == (of * max(1, round(0.05 * places)) if places else 0)
    assert not (where & ~free).any()


@pytest.mark.parametrize(("select", "longest"), [(Spans(), 10), (Ngrams(), 3), (Trigrams(), 3), (WholeWord(), 1)])
def test_how_long_a_text_must_be(select: Spans | Ngrams | Trigrams | WholeWord, longest: int) -> None:
    assert select.longest_run == longest


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="no length is left to draw"):
        Ngrams(shares=(0.0, 0.0))
