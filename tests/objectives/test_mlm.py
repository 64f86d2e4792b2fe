"""Masked language modelling as an objective: which, how many, and the loss as written."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Example, Passage, Vocab, World
from quire.core.heads import TokenHead
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.objectives.mlm import Mlm
from quire.objectives.pair import Pair
from quire.text.tokenizers import Tokenizer
from quire.text.words import chinese
from quire.train.loop import planned

Draw = Callable[[int, Rng], Passage]


@given(length=st.integers(1, 200), seed=st.integers(0, 99))
def test_bert_asks_for_fifteen_percent_of_all_positions(length: int, seed: int, passage: Draw, world: World) -> None:
    example = Example.of(world.vocab, passage(length, rng(seed)))
    asked = (Mlm().corrupt(example, world, rng(seed, "x")).answers["mlm"] != IGNORE).sum()
    assert asked == max(1, round(0.15 * (length + 2)))


def test_over_many_examples_eighty_ten_ten(passage: Draw, world: World) -> None:
    counts = np.zeros(3)
    for seed in range(400):
        example = Mlm().corrupt(Example.of(world.vocab, passage(100, rng(seed))), world, rng(seed, "x"))
        asked = example.answers["mlm"] != IGNORE
        masked, kept = example.tokens == world.vocab.mask, example.tokens == example.truth
        counts += [(asked & masked).sum(), (asked & kept).sum(), (asked & ~masked & ~kept).sum()]
    expected = np.array([0.8 + 0.1 / 60, 0.1 + 0.1 / 60, 0.1 * 58 / 60]) * counts.sum()
    assert counts.sum() == 400 * 15
    assert chisquare(counts, expected).pvalue > 1e-4


def test_chinese_words_are_asked_whole_and_still_eighty_ten_ten() -> None:
    """transformers' whole-word collator takes the sentence for one word and gives up 80/10/10 for 100/0/0."""
    text = "我们在北京大学学习自然语言处理技术，预训练模型的效果非常好。今天天气不错，大家一起去公园散步。"
    tokenizer = Tokenizer.train([text] * 3, kind="wordpiece", size=90)
    world = World(tokenizer.vocab)
    (passage,) = tokenizer.encode([text], segment=chinese())
    example = Example.of(tokenizer.vocab, passage)
    assert len(example) > 40  # characters, as BERT's Chinese vocabulary has them
    word_of = np.cumsum(example.starts)
    assert len(set(word_of.tolist())) < len(example) - 8  # and several words of more than one
    mlm, counts, touched = Mlm.model_validate({"select": "whole_word"}), np.zeros(3), set()
    for seed in range(1500):
        damaged = mlm.corrupt(example, world, rng(seed))
        asked = damaged.answers["mlm"] != IGNORE
        assert not asked[~np.isin(word_of, word_of[asked])].any()
        assert asked[np.isin(word_of, word_of[asked])].all(), "a word was asked in part"
        assert 0 < asked.sum() <= round(0.15 * len(example))
        masked, kept = damaged.tokens == world.vocab.mask, damaged.tokens == damaged.truth
        counts += [(asked & masked).sum(), (asked & kept).sum(), (asked & ~masked & ~kept).sum()]
        touched.update(word_of[asked].tolist())
    assert touched == set(word_of[1:-1].tolist()), "every word is asked now and then"
    size = tokenizer.vocab.size
    assert (
        chisquare(counts, np.array([0.8 + 0.1 / size, 0.1 + 0.1 / size, 0.1 - 0.2 / size]) * counts.sum()).pvalue > 1e-4
    )


def test_the_loss_is_the_mean_of_minus_log_p_of_the_truth(passage: Draw, world: World, tiny: Backbone) -> None:
    examples = [Mlm().corrupt(Example.of(world.vocab, passage(n, rng(n))), world, rng(n)) for n in (3, 9, 17)]
    model = Model(tiny, planned([Mlm()], tiny, world), seed=1).eval()
    batch = Batch.pack(examples)
    step = Step(model, Packed(batch))
    with torch.no_grad():
        log_p = torch.log_softmax(step.scores("mlm", torch.arange(len(batch.tokens))), dim=-1).numpy()
        loss = float(Mlm().loss(step))
    terms = [-log_p[n, answer] for n, answer in enumerate(batch.answers["mlm"]) if answer != IGNORE]
    assert loss == pytest.approx(np.mean(terms), rel=1e-5)


def test_two_that_mask_never_ask_for_the_same_token(passage: Draw, world: World) -> None:
    class Second(Mlm):
        pass

    for seed in range(30):
        example = Mlm.model_validate({"select": {"exact": 0.4}}).corrupt(
            Example.of(world.vocab, passage(30, rng(seed))), world, rng(seed)
        )
        both = Second.model_validate({"select": {"exact": 0.9}}).corrupt(example, world, rng(seed))
        one, two = both.answers["mlm"] != IGNORE, both.answers["second"] != IGNORE
        assert not (one & two).any()
        assert (one | two)[1:-1].sum() >= 20
        assert (both.answers["second"][two] == both.truth[two]).all()


def test_masks_and_pairs_share_one_sequence(passage: Draw, world: World) -> None:
    example = Example.of(world.vocab, passage(12, rng(0)), passage(12, rng(1)))
    both = Mlm().corrupt(Pair(rate=1.0).corrupt(example, world, rng(2)), world, rng(3))
    assert both.answers["pair"][0] == 1
    assert (both.answers["mlm"] != IGNORE).sum() == max(1, round(0.15 * len(both)))


@pytest.mark.parametrize("select", ["spans", {"ngrams": {"shares": [1] * 10}}, {"trigrams": {"length": 10}}])
def test_what_is_longer_than_the_text_is_refused_when_planning(select: object, tiny: Backbone, vocab: Vocab) -> None:
    mlm = Mlm.model_validate({"select": select})
    assert planned([mlm], tiny, World(vocab, length=12))
    with pytest.raises(BadInput, match=r"^objectives\.0\.mlm: select\.\w+ chooses up to 10 .* raise data\.length"):
        planned([mlm], tiny, World(vocab, length=11))


def test_word_order_beside_masks_asks_for_others_with_the_same_head(
    passage: Draw, tiny: Backbone, world: World
) -> None:
    """StructBERT: trigrams are shuffled among what is not hidden; both share one head and have answers of their own."""
    mlm, order = Mlm(), Mlm.model_validate({"slot": "order", "select": "trigrams", "rewrite": "shuffle"})
    assert planned([mlm, order], tiny, world) == {"mlm": TokenHead()}
    moved = 0
    for seed in range(40):
        example = Example.of(world.vocab, passage(28, rng(seed)))
        for objective in (mlm, order):
            example = objective.corrupt(example, world, rng(objective.slot, seed))
        hidden, shuffled = (example.answers[slot] != IGNORE for slot in ("mlm", "order"))
        assert not (hidden & shuffled).any()
        assert shuffled.sum() % 3 == 0
        assert sorted(example.tokens[shuffled]) == sorted(example.truth[shuffled])
        assert (example.answers["order"][shuffled] == example.truth[shuffled]).all()
        moved += int((example.tokens != example.truth)[shuffled].sum())
    assert moved > 40
