"""Batch t is a function of (examples, objectives, seed, t): seeking, and cutting into micro-batches, change nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.example import IGNORE, Batch, Example, Passage, World
from quire.core.random import Rng, rng
from quire.objectives import Objective
from quire.objectives.mlm import Mlm
from quire.objectives.pair import Pair
from quire.text.packing import Chunks, SentencePairs
from quire.text.tokenizers import Tokenizer
from quire.text.writing import write
from quire.train.feed import Corpus, Feed, Fixed

Draw = Callable[[int, Rng], Passage]


def feed(passage: Draw, world: World, *, seed: int = 3, batch: int = 5) -> Feed:
    examples = [Example.of(world.vocab, passage(1 + i % 7, rng(i)), passage(3, rng(i, 2))) for i in range(13)]
    objectives: tuple[Objective, ...] = (Pair(), Mlm())
    return Feed(Fixed(examples, "x"), objectives, world, batch=batch, seed=seed)


def sequences(batches: list[Batch]) -> list[tuple[list[int], ...]]:
    """What is shown and asked of each sequence, in any order."""
    found = []
    for batch in batches:
        slots = [batch.answers.get(slot, np.full(len(batch.tokens), IGNORE)) for slot in ("mlm", "pair")]
        found += list(zip(*(map(np.ndarray.tolist, batch.unpack(v)) for v in (batch.tokens, *slots)), strict=True))
    return sorted(found)


@given(step=st.integers(0, 40), parts=st.integers(1, 8))
def test_seeking_and_micro_batches_change_nothing(passage: Draw, world: World, step: int, parts: int) -> None:
    walked, sought = feed(passage, world), feed(passage, world)
    for t in range(step):
        walked.at(t)
    expected = sequences(walked.at(step))
    assert len(expected) == 5
    found = sought.at(step, parts=parts)
    assert sequences(found) == expected
    assert len(found) == min(parts, 5)
    sizes = [len(batch.lengths) for batch in found]
    assert max(sizes) - min(sizes) <= 1


def test_every_epoch_sees_every_example_damaged_anew(passage: Draw, world: World) -> None:
    made = feed(passage, world, batch=13)
    epochs = [made.at(t) for t in range(3)]
    assert all(len(batch.lengths) == 13 for (batch,) in epochs)
    assert sequences(epochs[0]) != sequences(epochs[1]) != sequences(epochs[2])


def test_the_batch_size_only_cuts_the_same_sequence_of_examples(passage: Draw, world: World) -> None:
    small = feed(passage, world, batch=2)
    six = [sequence for t in range(3) for sequence in sequences(small.at(t))]
    assert sorted(six) == sequences(feed(passage, world, batch=6).at(0))


def test_another_seed_is_another_feed(passage: Draw, world: World) -> None:
    assert sequences(feed(passage, world).at(0)) != sequences(feed(passage, world, seed=4).at(0))


@pytest.mark.parametrize("shape", ["chunks", "pairs"])
def test_a_corpus_gives_examples_and_its_fingerprint_tells_data_and_length(
    tmp_path: Path, texts: list[str], shape: str
) -> None:
    tokenizer = Tokenizer.train(texts, kind="wordpiece", size=100)
    shards = write(tmp_path / "a", texts, tokenizer=tokenizer)
    other = write(tmp_path / "b", texts[1:], tokenizer=tokenizer)

    def corpus(of: object = shards, length: int = 20) -> Corpus:
        assert isinstance(of, type(shards))
        chunks = SentencePairs(of, length=length, seed=1) if shape == "pairs" else Chunks(of, length=length)
        return Corpus(chunks, tokenizer.vocab)

    made = corpus()
    example = made.example(len(made) - 1, epoch=0)
    assert example.tokens[0] == tokenizer.vocab.cls
    assert len(example) <= 20 + (3 if shape == "pairs" else 2)
    assert len({made.fingerprint, corpus(other).fingerprint, corpus(length=21).fingerprint}) == 3
    assert made.fingerprint == corpus().fingerprint
