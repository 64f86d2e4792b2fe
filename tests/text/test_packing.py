"""Laws of packing: nothing lost, nothing twice, and the same for every batch size."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.core.example import Passage
from quire.core.random import rng
from quire.text import packing
from quire.text.packing import Chunks, Plan, SentencePairs, order, truncated
from quire.text.shards import Shards
from quire.text.tokenizers import Tokenizer
from quire.text.writing import write

LENGTHS = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=8), min_size=1, max_size=12)  # [D][sentences]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["a b c d e f g h"] * 3, kind="wordpiece", size=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpora")


def corpus(folder: Path, tokenizer: Tokenizer, lengths: list[list[int]]) -> Shards:
    """A corpus with these sentence lengths; tokens vary so that a wrong place shows."""
    letters = iter("abcdefgh" * 2000)
    documents = ["\n".join(" ".join(next(letters) for _ in range(n)) for n in document) for document in lengths]
    name = f"{abs(hash(tuple(map(tuple, lengths)))):x}"
    if (folder / name).exists():
        return Shards.open(folder / name)
    return write(folder / name, documents, tokenizer=tokenizer, shard_tokens=30)


def tokens(shards: Shards) -> list[int]:
    found: list[int] = shards.slice(0, len(shards)).tokens.tolist()
    return found


@settings(max_examples=40, deadline=None)
@given(LENGTHS, st.integers(1, 20), st.booleans())
def test_chunks_laid_end_to_end_are_the_corpus(
    folder: Path, tokenizer: Tokenizer, lengths: list[list[int]], length: int, full: bool
) -> None:
    shards = corpus(folder, tokenizer, lengths)
    chunks = Chunks(shards, length=length, full=full)
    found = [chunks.chunk(i) for i in range(len(chunks))]
    assert [t for chunk in found for t in chunk.tokens.tolist()] == tokens(shards)
    assert all(1 <= len(chunk) <= length for chunk in found)
    if full:
        assert all(len(chunk) == length for chunk in found[:-1])
    else:
        places = [chunks.place(i) for i in range(len(chunks))]
        for chunk, (start, stop) in zip(found, places, strict=True):
            first, last = shards.document_bounds[chunk.document : chunk.document + 2]
            assert first <= start < stop <= last
            assert len(chunk) == length or stop == last
    with pytest.raises(IndexError):
        chunks.chunk(len(chunks))


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_visits_everything_once(n: int, seed: int, epoch: int) -> None:
    assert sorted(order(n, seed=seed, epoch=epoch).tolist()) == list(range(n))


def test_orders_differ_by_epoch_and_seed() -> None:
    orders = {tuple(order(50, seed=seed, epoch=epoch).tolist()) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
    assert order(50, seed=1, epoch=2).tolist() == order(50, seed=1, epoch=2).tolist()


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 3), st.integers(1, 9), st.lists(st.integers(0, 30), max_size=8))
def test_any_step_equals_the_sequence_of_epochs(n: int, seed: int, batch: int, steps: list[int]) -> None:
    plan = Plan(n, seed=seed)
    epochs = range(31 * batch // n + 1)
    sequence = [(epoch, i) for epoch in epochs for i in order(n, seed=seed, epoch=epoch).tolist()]
    for step in steps:  # in any order
        assert plan.at(step, batch) == sequence[step * batch : (step + 1) * batch]


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 9))
def test_the_batch_size_does_not_change_the_sequence(n: int, one: int, other: int) -> None:
    plan = Plan(n, seed=0)
    found = [[place for step in range(36) for place in plan.at(step, batch)][:36] for batch in (one, other)]
    assert found[0] == found[1]


def test_an_empty_plan_is_refused() -> None:
    with pytest.raises(ValueError, match="one example or more"):
        Plan(0, seed=0)


@settings(max_examples=40, deadline=None)
@given(LENGTHS, st.integers(2, 20), st.integers(0, 3))
def test_pairs_are_neighbours_within_one_document(
    folder: Path, tokenizer: Tokenizer, lengths: list[list[int]], length: int, epoch: int
) -> None:
    shards = corpus(folder, tokenizer, lengths)
    pairs = SentencePairs(shards, length=length, seed=1)
    assert pairs.first[-1] == shards.index.sentences
    for i, (first, last) in enumerate(pairwise(pairs.first.tolist())):
        a, b = pairs.pair(i, epoch=epoch)
        again = pairs.pair(i, epoch=epoch)
        assert [p.tokens.tolist() for p in (a, b)] == [p.tokens.tolist() for p in again]
        assert 1 <= len(a) <= length - len(b)
        assert a.document == b.document
        bounds = shards.sentence_bounds[first : last + 1]
        document = np.searchsorted(shards.document_bounds, bounds[:-1], side="right") - 1
        assert set(document.tolist()) == {a.document}
        assert bounds[-2] - bounds[0] < length  # the last sentence reaches the target, none stands behind it
        assert bounds[-1] - bounds[0] >= length or bounds[-1] in shards.document_bounds
        if len(a) + len(b) < length:  # nothing was cut: whole sentences from the chunk's first on
            joined = a.tokens.tolist() + b.tokens.tolist()
            assert joined == tokens(shards)[bounds[0] : bounds[0] + len(joined)]
            assert {len(a), len(joined)} <= set((bounds - bounds[0]).tolist())


def greedy(lengths: list[list[int]], length: int) -> list[int]:
    """The sentence where each chunk begins, a sentence at a time."""
    begins, held, number = list[int](), 0, 0
    for document in lengths:
        held = length  # a document begins a chunk
        for sentence in document:
            if held >= length:
                begins.append(number)
                held = 0
            held += sentence
            number += 1
    return [*begins, number]


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(2, 20), st.integers(1, 9))
def test_pairs_are_laid_out_greedily_however_many_sentences_are_looked_at_together(
    folder: Path, tokenizer: Tokenizer, lengths: list[list[int]], length: int, walked: int
) -> None:
    shards = corpus(folder, tokenizer, lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "WALKED", walked)
        patch.setattr(Shards, "kept", lambda self, name, make: make())
        assert SentencePairs(shards, length=length, seed=0).first.tolist() == greedy(lengths, length)


def test_pairs_are_laid_out_once_for_each_length(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = [[3, 4, 5, 6], [9, 1]]
    shards = corpus(tmp_path, tokenizer, lengths)
    for length in (6, 8):
        assert SentencePairs(shards, length=length, seed=0).first.tolist() == greedy(lengths, length)
    monkeypatch.setattr(SentencePairs, "_begins", lambda pairs: pytest.fail("a second walk"))
    for length in (6, 8):
        again = SentencePairs(Shards.open(shards.folder), length=length, seed=1)
        assert again.first.tolist() == greedy(lengths, length)


def test_pairs_vary_in_length_and_division_as_bert_does(folder: Path, tokenizer: Tokenizer) -> None:
    shards = corpus(folder, tokenizer, [[1] * 4000])
    pairs = SentencePairs(shards, length=20, seed=0)
    assert len(pairs) == 200
    found = [pairs.pair(i, epoch=epoch) for epoch in range(20) for i in range(200)]
    short = np.mean([len(a) + len(b) < 20 for a, b in found])
    assert 0.075 < short < 0.115  # 0.1 * 18 / 19, for the target may be the whole length
    divisions = np.bincount([len(a) for a, b in found if len(a) + len(b) == 20], minlength=20)
    assert divisions[0] == 0
    assert divisions[1:].min() > 0.75 * divisions[1:].mean()  # uniform over 1..19
    whole = tokens(shards)
    for i, (a, b) in enumerate(found[:200]):
        joined = a.tokens.tolist() + b.tokens.tolist()
        assert joined == whole[i * 20 : i * 20 + len(joined)]


def test_a_lone_sentence_has_no_second_part(folder: Path, tokenizer: Tokenizer) -> None:
    shards = corpus(folder, tokenizer, [[5], [30]])
    pairs = SentencePairs(shards, length=10, seed=0)
    assert [[len(p) for p in pairs.pair(i, epoch=0)] for i in range(2)] == [[5, 0], [10, 0]]


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(2, 40), st.integers(0, 9))
def test_truncation_takes_one_token_at_a_time_from_the_longer(a: int, b: int, length: int, seed: int) -> None:
    one, other = (Passage(np.arange(n), np.ones(n, dtype=bool)) for n in (a, b))
    x, y = truncated(one, other, length=length, rng=rng(seed))
    while a + b > length:
        a, b = (a - 1, b) if a > b else (a, b - 1)
    assert (len(x), len(y)) == (a, b)
    assert all(np.diff(p.tokens).tolist() == [1] * (len(p) - 1) for p in (x, y) if len(p))


def test_truncation_takes_from_both_ends() -> None:
    one, none = Passage(np.arange(1000), np.ones(1000, dtype=bool)), Passage(np.zeros(0, np.int64), np.zeros(0, bool))
    fronts = [int(truncated(one, none, length=900, rng=rng(seed))[0].tokens[0]) for seed in range(50)]
    assert 40 < np.mean(fronts) < 60
