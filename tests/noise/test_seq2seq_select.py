"""T5's, BART's and MASS's choices: exact counts, uniform partitions, and the official laws written as published."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from quire.core.example import Bools, Ints, Vocab
from quire.core.random import Rng, rng
from quire.noise.rewrite import Sentinels
from quire.noise.select import Fragment, Poisson, RandomSpans, Suffix
from quire.noise.spans import covered, runs_of

VOCAB = Vocab(
    size=200, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)), sentinels=(*range(199, 99, -1),)
)
WORDS = [1, 2, 1, 1, 3, 1, 1, 2, 1, 1, 1, 4, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 3, 1, 1, 1, 2, 1, 1, 1]
STARTS = np.concatenate([[True] + [False] * (size - 1) for size in WORDS])
FREE = np.ones(len(STARTS), dtype=bool)


def all_free(length: int) -> Bools:
    return np.ones(length, dtype=bool)


@given(st.integers(2, 600), st.floats(0.01, 0.95), st.floats(1, 12), st.integers(0, 2**20))
def test_random_spans_are_as_many_and_as_long_as_the_law_says(length: int, rate: float, mean: float, key: int) -> None:
    where = RandomSpans(rate=rate, mean=mean).choose(all_free(length), all_free(length), rng(key))
    noise = min(max(round(rate * length), 1), length - 1)
    assert where.sum() == noise
    assert len(runs_of(where)) == min(max(1, round(noise / mean)), noise, length - noise)
    assert not where[0]
    assert where[-1]


@pytest.mark.parametrize(("mean", "raw", "targets"), [(2, 552, 126), (3, 568, 114), (5, 581, 105), (10, 591, 99)])
def test_lengths_are_those_of_t5(mean: float, raw: int, targets: int) -> None:
    """What 512 tokens of input, [SEP] among them, are made of (t5, `random_spans_helper`)."""
    spans = RandomSpans(mean=mean).spans(all_free(raw), all_free(raw), rng(0))
    shown = Sentinels().recast(np.full(raw, 50), spans, VOCAB, rng(0))
    assert len(shown) + 1 == 512
    assert covered(spans, raw).sum() + len(spans) + 1 == targets


def test_partitions_are_uniform() -> None:
    """Six of twelve tokens in two spans: five ways to part them, and five for the visible ones."""
    select = RandomSpans(rate=0.5)
    found = Counter(select.choose(all_free(12), all_free(12), rng("parts", i)).tobytes() for i in range(5000))
    assert len(found) == 25
    assert chisquare(list(found.values())).pvalue > 1e-4


def test_one_span_is_the_tail() -> None:
    assert runs_of(RandomSpans().choose(all_free(20), all_free(20), rng(0))).tolist() == [[17, 20]]


def test_a_suffix_begins_anywhere_but_at_the_first_token() -> None:
    found = [Suffix().choose(all_free(9), all_free(9), rng("suffix", i)) for i in range(4000)]
    assert all(runs_of(where).tolist() == [[9 - where.sum(), 9]] for where in found)
    counts = np.bincount([int(where.sum()) for where in found], minlength=9)
    assert counts[0] == 0
    assert chisquare(counts[1:]).pvalue > 1e-4


@pytest.mark.parametrize("select", [Suffix(), RandomSpans()])
def test_a_token_alone_is_not_damaged(select: Suffix | RandomSpans) -> None:
    for length in (0, 1):
        assert not select.choose(all_free(length), all_free(length), rng(0)).any()


def fairseq(starts: Bools, rate: float, mean: float, draw: Rng) -> list[list[int]]:
    """fairseq, denoising_dataset.py, add_whole_word_mask with replace_length 1: for each mask what it covers."""
    shares = [math.exp(-mean) * mean**k / math.factorial(k) for k in range(40)]
    words = np.flatnonzero(starts).tolist()
    budget = math.ceil(len(words) * rate)
    sizes: list[int] = []
    while sum(sizes) < budget:
        sizes.append(int(draw.choice(40, p=np.array(shares) / sum(shares))))
    sizes[-1] -= sum(sizes) - budget
    inserts = sum(size == 0 for size in sizes)
    sizes = [size for size in sizes if size]
    begins = [words[i] for i in draw.permutation(len(words))[: len(sizes)]]
    ends = [*words[1:], len(starts)]
    owner = dict.fromkeys(range(len(starts)), -1)
    for begin, size in zip(begins, sizes, strict=True):
        for i in range(begin + 1, ends[min(words.index(begin) + size, len(words)) - 1]):
            owner[i] = -2  # deleted, whatever stood there: also the mask of another span
    masks = [begin for begin in begins if owner[begin] == -1]
    deleted = [i for i, who in owner.items() if who == -2]
    found = [[begin] for begin in sorted(masks)]
    for i in deleted:
        max((span for span in found if span[0] < i), key=lambda span: span[0]).append(i)
    return [*found, *[[] for _ in range(inserts)]]


def described(spans: list[list[int]]) -> tuple[int, int, int]:
    """Empty ones, others, tokens in them."""
    return sum(not span for span in spans), sum(bool(span) for span in spans), sum(map(len, spans))


@pytest.mark.parametrize(("rate", "mean"), [(0.3, 3.0), (0.5, 1.5)])
def test_poisson_spans_have_the_law_of_fairseq(rate: float, mean: float) -> None:
    select, many = Poisson(rate=rate, mean=mean), 1500
    ours = [[[*range(a, b)] for a, b in select.spans(FREE, STARTS, rng("ours", i)).tolist()] for i in range(many)]
    theirs = [fairseq(STARTS, rate, mean, rng("theirs", i)) for i in range(many)]
    for of_ours, of_theirs in zip(*(np.array([*map(described, side)]).T for side in (ours, theirs)), strict=True):
        most = np.quantile(of_theirs, 0.95)  # seldom ones together
        table = np.stack(
            [np.bincount(np.minimum(side, int(most)), minlength=int(most) + 1) for side in (of_ours, of_theirs)]
        )
        assert chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue > 1e-4
    chosen = [
        np.bincount([i for spans in side for span in spans for i in span], minlength=len(FREE))
        for side in (ours, theirs)
    ]
    for one, other in zip(*chosen, strict=True):
        assert chi2_contingency([[one, other], [many - one, many - other]]).pvalue > 1e-4


def test_masked_words_are_nearly_as_many_as_are_due() -> None:
    """Colliding spans lose some of them: 30 % are due."""
    starts = np.arange(600) % 2 == 0
    masked = [Poisson().choose(all_free(600), starts, rng("mean", i))[starts].sum() for i in range(60)]
    assert max(masked) <= 90
    assert 0.85 < np.mean(masked) / 90 < 0.97


@given(st.integers(1, 60), st.integers(0, 2**20))
def test_poisson_spans_are_whole_free_words(length: int, key: int) -> None:
    draw = rng(key, length)
    free, starts = draw.random(length) < 0.8, draw.random(length) < 0.5
    begins = starts | np.append(True, free[1:] != free[:-1])
    spans = Poisson(rate=0.5, mean=2).spans(free, starts, rng(key))
    for begin, end in spans[spans[:, 0] < spans[:, 1]].tolist():
        assert begins[begin]
        assert end == length or begins[end]
        assert free[begin:end].all()


def test_short_spans_are_mostly_insertions() -> None:
    """The shorter the mean, the more lengths are 0: exp(-mean) of them; in the limit all."""
    spans = np.concatenate([Poisson(mean=0.1).spans(FREE, STARTS, rng("empty", i)) for i in range(200)])
    empty = int((spans[:, 0] == spans[:, 1]).sum())
    merged = 0.02 * len(spans)  # others that have become one
    assert abs(empty - math.exp(-0.1) * len(spans)) < merged


def test_insertions_stand_anywhere_among_what_is_left() -> None:
    """As fairseq places them: every way to lay so many masks among the tokens that are left is as likely."""

    def ways(free: Bools) -> Counter[tuple[int, ...]]:
        drawn = (Poisson(rate=0.1, mean=0.4).spans(free, free, rng("where", i)) for i in range(20_000))
        empty = [tuple(a for a, b in spans.tolist() if a == b) for spans in drawn if spans[-1].tolist() == [3, 4]]
        return Counter(at for at in empty if len(at) == 2)

    found = ways(all_free(4))  # what is left: three tokens and a span of one, at the end
    assert set(found) <= {(a, b) for a in range(5) for b in range(a, 5)}
    closed = [found[a, b] for a in range(4) for b in range(a, 4)]
    assert chisquare(closed).pvalue > 1e-4


@given(st.integers(1, 200), st.floats(0.05, 1), st.integers(0, 2**20))
def test_a_fragment_is_one_run_of_its_size(length: int, rate: float, key: int) -> None:
    found = runs_of(Fragment(rate=rate).choose(all_free(length), all_free(length), rng(key)))
    assert np.diff(found).tolist() == [[max(1, round(rate * length))]]


def test_a_fragment_begins_first_last_or_anywhere() -> None:
    """A fifth each at the two ends, and three fifths over all places, these two among them."""
    begins = [int(Fragment().spans(all_free(10), all_free(10), rng("mass", i))[0, 0]) for i in range(5000)]
    shares = np.array([0.3, 0.1, 0.1, 0.1, 0.1, 0.3])
    assert chisquare(np.bincount(begins, minlength=6), shares * 5000).pvalue > 1e-4
    even = [int(Fragment(ends=0).spans(all_free(10), all_free(10), rng("even", i))[0, 0]) for i in range(3000)]
    assert chisquare(np.bincount(even, minlength=6)).pvalue > 1e-4


def test_a_fragment_counts_free_tokens_alone() -> None:
    free = np.arange(12) % 4 != 3
    where: Bools = Fragment(rate=1).choose(free, free, rng(0))
    assert (where == free).all()


@given(st.lists(st.booleans(), max_size=20))
def test_runs_and_what_they_cover(values: list[bool]) -> None:
    where = np.array(values, dtype=bool)
    runs: Ints = runs_of(where)
    assert (covered(runs, len(where)) == where).all()
    assert (runs[1:, 0] > runs[:-1, 1]).all()
