"""Which tokens are chosen: counts by formula, words whole, specials never; in English and in Chinese."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from quire.core.catalogue import Component, catalogue
from quire.core.example import Bools, Example
from quire.core.random import rng
from quire.noise.select import Bernoulli, Exact, Select, WholeWord, WithReplacement
from quire.noise.spans import covered
from quire.text.tokenizers import Tokenizer
from quire.text.words import chinese

CHINESE = [
    "我来到北京清华大学，参观了图书馆和实验室。",
    "预训练语言模型在自然语言处理任务中取得了很好的效果！",
    "这家酒店的服务态度非常好，房间也很干净，下次还会选择这里。",
    "中国的首都是北京，上海是最大的城市，广州的早茶很有名。",
]
ENGLISH = ["The tokenizer's subwords are unbelievably fragmentary: preprocessing, tokenization, word-pieces!"] * 3

NAMES = list(catalogue(Select))  # type: ignore[type-abstract]


def drawn(length: int, key: int) -> tuple[Bools, Bools]:
    """free and starts [L]; now and then nothing is free, or no word begins at 0."""
    draw = rng(key, length)
    return draw.random(length) < draw.choice([0.0, 0.7, 1.0]), draw.random(length) < 0.4


def words_of(starts: Bools) -> list[list[int]]:
    return [word.tolist() for word in np.split(np.arange(len(starts)), np.flatnonzero(starts)) if len(word)]


@pytest.mark.parametrize("name", NAMES)
@given(length=st.integers(1, 40), key=st.integers(0, 2**20))
def test_contract(name: str, member: Callable[[type[Component], str], Select], length: int, key: int) -> None:
    select, (free, starts) = member(Select, name), drawn(length, key)
    kept = free.copy(), starts.copy()
    where = select.choose(free, starts, rng(key, "choose"))
    assert where.dtype == bool
    assert where.shape == (length,)
    assert not (where & ~free).any()
    assert (where == select.choose(free, starts, rng(key, "choose"))).all()
    assert (free == kept[0]).all()
    assert (starts == kept[1]).all()
    spans = select.spans(free, starts, rng(key, "choose"))
    assert (spans[1:, 0] >= spans[:-1, 1]).all(), "in order, without overlap"
    assert (covered(spans, length) == where).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "everything"])
def test_another_seed_chooses_others(name: str, member: Callable[[type[Component], str], Select]) -> None:
    free = np.ones(200, dtype=bool)
    chosen = {member(Select, name).choose(free, free, rng(seed)).tobytes() for seed in range(5)}
    assert len(chosen) > 1


@pytest.mark.parametrize("name", ["bernoulli", "exact", "whole_word", "with_replacement"])
def test_every_place_has_the_same_chance(name: str, member: Callable[[type[Component], str], Select]) -> None:
    """Runs of several tokens reach the first and last places less often, here and in their official codes."""
    free = np.ones(20, dtype=bool)
    counts = np.sum([member(Select, name).choose(free, free, rng(seed)) for seed in range(2000)], axis=0)
    share = counts.sum() / (2000 * 20)
    assert all(binomtest(int(count), 2000, share).pvalue > 1e-5 for count in counts)


@given(st.integers(1, 600), st.sampled_from([0.15, 0.4]))
def test_exact_is_bert_count(length: int, rate: float) -> None:
    free = np.ones(length, dtype=bool)
    where = Exact(rate=rate).choose(free, free, rng(length))
    assert where.sum() == max(1, round(rate * length))


def test_exact_counts_specials_in_and_takes_no_more_than_there_is() -> None:
    free = np.zeros(100, dtype=bool)
    free[10:80] = True  # 30 specials: still 15 of 100
    assert Exact().choose(free, free, rng(0)).sum() == 15
    free[20:] = False  # ten left
    assert Exact().choose(free, free, rng(0)).sum() == 10


def test_random_rounding_has_the_mean_that_nearest_lacks() -> None:
    free = np.ones(9, dtype=bool)  # 1.35 expected
    counts = [int(Exact(rounding="random").choose(free, free, rng(seed)).sum()) for seed in range(4000)]
    assert set(counts) == {1, 2}
    assert binomtest(counts.count(2), len(counts), 0.35).pvalue > 1e-4
    assert Exact().choose(free, free, rng(0)).sum() == 1


def test_bernoulli_has_its_rate_and_its_spread() -> None:
    free = np.ones(100, dtype=bool)
    counts = np.array([Bernoulli().choose(free, free, rng(seed)).sum() for seed in range(1000)])
    assert binomtest(int(counts.sum()), 100_000, 0.15).pvalue > 1e-4
    assert 0.8 < counts.var() / (100 * 0.15 * 0.85) < 1.25  # a fixed count would have none
    assert Bernoulli(rate=0).choose(free, free, rng(0)).sum() == 0


def test_with_replacement_chooses_as_many_as_distinct_draws() -> None:
    """15 draws from 100 places: 100 * (1 - 0.99 ** 15) = 13.994 distinct ones on average, never more than 15."""
    free = np.ones(100, dtype=bool)
    counts = np.array([WithReplacement().choose(free, free, rng(seed)).sum() for seed in range(2000)])
    assert counts.max() == 15
    assert abs(counts.mean() - 100 * (1 - 0.99**15)) < 4 * counts.std() / 2000**0.5
    assert WithReplacement().choose(~free, free, rng(0)).sum() == 0


@given(st.integers(1, 60), st.integers(0, 2**20), st.sampled_from(["nearest", "random"]))
def test_whole_words_are_whole_free_and_within_the_budget(length: int, key: int, rounding: str) -> None:
    free, starts = drawn(length, key)
    where = WholeWord(rounding=rounding).choose(free, starts, rng(key))
    for word in words_of(starts):
        assert where[word].all() or not where[word].any()
    assert where.sum() <= max(1, round(0.15 * length)) + (rounding == "random")


def test_whole_words_spend_the_budget_when_words_are_small() -> None:
    free = np.ones(100, dtype=bool)
    assert WholeWord().choose(free, free, rng(0)).sum() == 15
    pairs = np.arange(100) % 2 == 0
    assert WholeWord().choose(free, pairs, rng(0)).sum() == 14
    long = np.arange(100) % 50 == 0  # two words of 50 tokens: neither fits
    assert WholeWord().choose(free, long, rng(0)).sum() == 0


@pytest.mark.parametrize("language", ["english", "chinese"])
def test_whole_words_of_a_real_segmenter(language: str) -> None:
    """The trap is to take a Chinese sentence for one word: then all of it is chosen, or nothing."""
    texts = CHINESE if language == "chinese" else ENGLISH
    tokenizer = Tokenizer.train(texts, kind="wordpiece", size=120 if language == "chinese" else 60)
    segment = chinese() if language == "chinese" else None
    several = lone = 0
    for text, passage in zip(texts, tokenizer.encode(texts, segment=segment), strict=True):
        example = Example.of(tokenizer.vocab, passage)
        words = words_of(example.starts)
        spelled = [tokenizer.decode(example.tokens[word]).replace(" ", "") for word in words[1:-1]]
        if segment:
            assert spelled == [word for word in segment(text) if word.strip()]
        for seed in range(60):
            where = WholeWord().choose(example.free, example.starts, rng(seed, text))
            chosen = [word for word in words if where[word].any()]
            assert all(where[word].all() for word in chosen)
            assert not where[[0, -1]].any()
            assert 0 < where.sum() <= max(1, round(0.15 * len(example)))
            several += sum(len(word) > 1 for word in chosen)
            lone += sum(len(word) == 1 for word in chosen)
    assert several > 20
    assert lone > 20
