"""Word vectors: the loss against its formula, the laws of what is drawn, and what comes of it."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from quire.core.bodies import Bag
from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Example, Passage, Vocab, World
from quire.core.random import rng
from quire.nn.model import Model, Packed, Step
from quire.objectives.mlm import Mlm
from quire.objectives.neighbours import BLOCK, Neighbours, noise_words
from quire.train.feed import Fixed
from quire.train.loop import Job, fit, planned
from quire.train.optim import TrainPlan

KINDS: tuple[Literal["context", "centre"], ...] = ("context", "centre")


@pytest.fixture(scope="module")
def counted() -> Vocab:
    """15 ordinary words, each half as frequent as the one before; ids 0 to 4 are special, 1 is unknown."""
    counts = np.array([0, 50_000, 7, 7, 0, *(2**k for k in range(14, -1, -1))])
    return Vocab(size=20, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)), counts=counts)


def example(vocab: Vocab, *tokens: int) -> Example:
    return Example.of(vocab, Passage(np.array(tokens), np.ones(len(tokens), bool)))


def model(vocab: Vocab, objective: Neighbours, *, width: int = 6) -> Model:
    backbone = Bag(vocab=vocab.size, width=width, init_std=0.5)
    return Model(backbone, planned([objective], backbone, World(vocab)), seed=3)


def told(objective: Neighbours, made: Example, word_VW: Tensor, near_VW: Tensor) -> tuple[float, int]:
    """The formulas of the module word by word, in loops: the sum over the centres of one sequence, and their number."""
    tokens = made.truth.tolist()
    reach, noise = (made.answers[slot].tolist() for slot in (objective.reach, objective.noise))
    asked = [i for i, answer in enumerate(made.answers[objective.slot]) if answer != IGNORE]
    total = 0.0
    for t in asked:
        begin = t // BLOCK * BLOCK
        drawn = [noise[n] for n in asked if begin <= n < begin + BLOCK]
        js = [j for j in asked if j != t and abs(j - t) <= reach[t]]
        if not js:
            continue
        centre = objective.predict == "centre"
        h = word_VW[[tokens[j] for j in js]].mean(dim=0) if centre else word_VW[tokens[t]]
        for word in [tokens[t]] if centre else [tokens[j] for j in js]:
            total -= math.log(torch.sigmoid(near_VW[word] @ h).item())
            share = objective.negatives / len(drawn)
            total -= sum(share * math.log(torch.sigmoid(-near_VW[n] @ h).item()) for n in drawn)
    return total, len(asked)


@pytest.mark.parametrize("predict", KINDS)
def test_loss_and_gradient_are_those_of_the_formula(predict: Literal["context", "centre"], counted: Vocab) -> None:
    objective = Neighbours(predict=predict, window=3, negatives=4)
    draw = rng(1, "texts")
    texts = [example(counted, *draw.integers(5, 20, size=n).tolist()) for n in (1, 2, 7, 40)]
    made = [objective.corrupt(text, World(counted), rng(2, i)) for i, text in enumerate(texts)]
    learner = model(counted, objective)
    word_VW, near_VW = (p.detach().clone() for p in learner.parameters())
    loss = objective.loss(Step(learner, Packed(Batch.pack(made))))
    sums, counts = zip(*(told(objective, one, word_VW, near_VW) for one in made), strict=True)
    assert float(loss.detach()) == pytest.approx(sum(sums) / sum(counts), rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    for table_VW, parameter in zip((word_VW, near_VW), learner.parameters(), strict=True):
        assert parameter.grad is not None
        for row, column in ((5, 0), (6, 3), (19, 5)):
            slopes = []
            for side in (1e-3, -1e-3):
                table_VW[row, column] += side
                slopes.append(sum(told(objective, one, word_VW, near_VW)[0] for one in made) / sum(counts))
                table_VW[row, column] -= side
            assert float(parameter.grad[row, column]) == pytest.approx((slopes[0] - slopes[1]) / 2e-3, abs=2e-3)


def test_what_stands_beside_a_text_changes_nothing(counted: Vocab) -> None:
    objective, draw = Neighbours(), rng(4)
    learner = model(counted, objective)
    made = [objective.corrupt(example(counted, *draw.integers(5, 20, size=n).tolist()), World(counted), rng(n))
            for n in (3, 30, 50)]  # fmt: skip
    alone = [objective.loss(Step(learner, Packed(Batch.pack([one])))).detach() for one in made]
    whole = objective.loss(Step(learner, Packed(Batch.pack(made)))).detach()
    sizes = torch.tensor([3.0, 30.0, 50.0])
    assert float(whole) == pytest.approx(float((torch.stack(alone) * sizes).sum() / sizes.sum()), rel=1e-5)


def test_noise_follows_the_counts_to_the_power_of_three_quarters(counted: Vocab) -> None:
    assert counted.counts is not None
    expected = np.where(np.arange(20) < 5, 0, counted.counts**0.75)
    found = np.bincount(noise_words(200_000, counted, rng(5)), minlength=20)
    assert not found[:5].any(), "special words are no noise, nor the unknown one"
    assert chisquare(found[5:], expected[5:] / expected.sum() * 200_000).pvalue > 0.001
    linear = np.where(np.arange(20) < 5, 0, counted.counts)
    assert chisquare(found[5:], linear[5:] / linear.sum() * 200_000).pvalue < 1e-9


def test_windows_reach_evenly_from_one_to_the_widest(counted: Vocab) -> None:
    objective = Neighbours(window=4)
    text = example(counted, *[5] * 4000)
    made = objective.corrupt(text, World(counted), rng(6))
    reach = made.answers[objective.reach]
    assert chisquare(np.bincount(reach[reach != IGNORE], minlength=5)[1:]).pvalue > 0.001


def test_frequent_words_are_left_out_and_unknown_ones_always(counted: Vocab) -> None:
    objective = Neighbours(subsample=1e-2)
    words = np.repeat(np.arange(5, 20), 2000)
    made = objective.corrupt(example(counted, 1, *words, 1), World(counted), rng(7))
    assert made.tokens[[0, -1]].tolist() == [counted.cls, counted.sep]
    assert not (made.tokens == counted.unk).any()
    stayed = np.bincount(made.tokens, minlength=20)[5:] / 2000
    rarity = 1e-2 / counted.shares[5:]
    assert stayed == pytest.approx(np.minimum(np.sqrt(rarity) + rarity, 1), abs=0.035)
    assert (stayed[-5:] == 1).all()
    everything = Neighbours().corrupt(example(counted, *words), World(counted), rng(7))
    assert len(everything) == len(words) + 2


def test_it_stands_alone(counted: Vocab) -> None:
    masked = Mlm().corrupt(example(counted, 5, 6, 7), World(counted), rng(8))
    with pytest.raises(BadInput, match="take it alone"):
        Neighbours().corrupt(masked, World(counted), rng(8))


def topics(vocab: Vocab, *, texts: int) -> list[Example]:
    """Texts of 20 words, each about even or about odd words."""
    draw = rng(9, "topics")
    return [example(vocab, *(10 + 2 * draw.integers(20, size=20) + i % 2).tolist()) for i in range(texts)]


@pytest.mark.parametrize("predict", KINDS)
def test_words_of_one_topic_come_to_lie_together(predict: Literal["context", "centre"], tmp_path: Path) -> None:
    plain = Vocab(size=50, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)))
    vocab = replace(plain, counts=np.where(np.arange(50) < 10, 0, 100))
    objective = Neighbours(predict=predict)
    plan = TrainPlan(steps=60, batch=16, lr=0.2, warmup=0, optimizer="adagrad", weight_decay=0, clip=0)
    job = Job(Fixed(topics(vocab, texts=200), "topics"), (objective,), World(vocab), plan, seed=1)
    learner = model(vocab, objective, width=16)
    log = fit(learner, job)
    assert log[-1]["loss"] < 0.9 * log[0]["loss"]
    assert 0 < log[-1]["grad_norm"] < math.inf
    table = learner.backbone.embeddings.tokens.weight.detach()[10:]
    near_VV = torch.nn.functional.normalize(table) @ torch.nn.functional.normalize(table).T
    nearest = near_VV.fill_diagonal_(-1).topk(5, dim=1).indices
    assert float(((nearest - torch.arange(40)[:, None]) % 2 == 0).float().mean()) > 0.95
