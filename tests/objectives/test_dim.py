"""InfoWord: an n-gram is hidden, encoded by itself, and found among those of the batch."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Example, Passage, World
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.losses import info_nce, match_health
from quire.nn.model import Model, Packed, Step
from quire.objectives.dim import Dim
from quire.objectives.mlm import Mlm
from quire.train.loop import planned

Draw = Callable[[int, Rng], Passage]
PAIRS = st.tuples(st.integers(1, 9), st.integers(0, 99))


def vectors(k: int, key: int) -> tuple[Tensor, Tensor]:
    draw = rng(key, k)
    one, two = (torch.from_numpy(draw.normal(size=(k, 5))) for _ in range(2))
    return one, two


def example(world: World, *tokens: int) -> Example:
    return Example.of(world.vocab, Passage(np.array(tokens), np.ones(len(tokens), dtype=bool)))


def hidden(world: World, text: Example, *places: int) -> Example:
    where = np.isin(np.arange(len(text)), places)
    return text.ask("dim", where, np.full(len(text), world.vocab.mask))


@given(PAIRS)
def test_the_loss_is_the_formula_and_bounds_the_information(drawn: tuple[int, int]) -> None:
    one, two = vectors(*drawn)
    scores = (one @ two.T).numpy()
    expected = -np.mean([scores[i, i] - np.log(np.exp(scores[i]).sum()) for i in range(len(scores))])
    loss = float(info_nce(one, two))
    assert loss == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert loss >= -1e-6
    assert math.log(len(one)) - loss <= math.log(len(one)) + 1e-6


@given(PAIRS)
def test_the_order_of_negatives_means_nothing(drawn: tuple[int, int]) -> None:
    one, two = vectors(*drawn)
    order = torch.from_numpy(rng(drawn[1]).permutation(len(one)))
    assert float(info_nce(one[order], two[order])) == pytest.approx(float(info_nce(one, two)), abs=1e-5)


def test_equal_candidates_cost_the_logarithm_of_their_number_unless_left_out() -> None:
    one, two = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)), torch.ones(7, 5)
    assert float(info_nce(one, two)) == pytest.approx(math.log(7), rel=1e-6)
    assert float(info_nce(one, two, left_out_KK=~torch.eye(7, dtype=torch.bool))) == 0


def test_health_tells_a_constant_encoder() -> None:
    one, _ = vectors(6, 0)
    mean_of_pairs = torch.nn.functional.cosine_similarity(one[:, None], one[None], dim=2)
    assert match_health(one, one * 9) == pytest.approx(
        {"accuracy": 1.0, "cosine": float((mean_of_pairs.sum() - 6) / 30)}, abs=1e-5
    )
    constant = match_health(one[:1].expand(6, 5), one)
    assert constant["cosine"] == pytest.approx(1)
    assert constant["accuracy"] == pytest.approx(1 / 6)


@given(length=st.integers(1, 30), key=st.integers(0, 999), longest=st.integers(1, 6))
def test_one_run_of_free_tokens_is_hidden_a_mask_for_each(
    length: int, key: int, longest: int, passage: Draw, world: World
) -> None:
    text = Mlm().corrupt(Example.of(world.vocab, passage(length, rng(key))), world, rng(key, "mlm"))
    shown = Dim(longest=longest).corrupt(text, world, rng(key, "dim"))
    if not text.free.any():
        assert shown is text
        return
    places = np.flatnonzero(shown.answers["dim"] != IGNORE)
    assert 1 <= len(places) <= longest
    assert (np.diff(places) == 1).all()
    assert (shown.tokens[places] == world.vocab.mask).all()
    assert (shown.answers["dim"][places] == text.truth[places]).all()
    assert (shown.answers["mlm"] == text.answers["mlm"]).all()
    assert not (text.answers["mlm"][places] != IGNORE).any()


def test_lengths_are_drawn_evenly_and_every_place_is_hidden(passage: Draw, world: World) -> None:
    text = Example.of(world.vocab, passage(20, rng(0)))
    asked = [Dim().corrupt(text, world, rng(seed)).answers["dim"] != IGNORE for seed in range(2000)]
    counts = np.bincount([where.sum() for where in asked], minlength=6)
    assert counts[0] == 0
    assert (abs(counts[1:] - 400) < 5 * (400 * 0.8) ** 0.5).all()
    assert np.sum(asked, axis=0)[1:-1].all()


def test_the_ngram_is_a_sequence_of_its_own_and_equal_ones_are_no_negatives(world: World, tiny: Backbone) -> None:
    model = Model(tiny.model_copy(update={"init_std": 0.3}), planned([Dim()], tiny, world), seed=1).eval()
    texts = [
        hidden(world, example(world, 11, 12, 13, 14, 15), 2, 3),
        hidden(world, example(world, 20, 21, 22), 1, 2, 3),  # the longest n-gram in a short sentence
        example(world, 50, 51),  # takes no part
        hidden(world, example(world, 30, 12, 13), 2, 3),
    ]
    batch = Batch.pack(texts)
    sentences, ngrams, equal = Dim().views(Step(model, Packed(batch)))
    taking = [i for i in batch.order.tolist() if i != 2]
    pieces = {0: (12, 13), 1: (20, 21, 22), 3: (12, 13)}

    def first_state(text: Example) -> Tensor:
        return Step(model, Packed(Batch.pack([text]))).encode()[0]

    for row, i in enumerate(taking):
        torch.testing.assert_close(sentences[row], first_state(texts[i]), atol=1e-5, rtol=0)
        torch.testing.assert_close(ngrams[row], first_state(example(world, *pieces[i])), atol=1e-5, rtol=0)
    assert equal.tolist() == [[i != j and pieces[i] == pieces[j] for j in taking] for i in taking]


def test_the_gradient_goes_through_both_passes(passage: Draw, world: World, tiny: Backbone) -> None:
    model = Model(tiny.model_copy(update={"init_std": 0.3}), planned([Dim()], tiny, world), seed=1)
    texts = [Dim().corrupt(Example.of(world.vocab, passage(n, rng(n))), world, rng(n)) for n in (9, 12, 30)]
    views = Dim().views(Step(model, Packed(Batch.pack(texts))))
    for view in views[:2]:
        view.retain_grad()
    info_nce(views[0], views[1], left_out_KK=views[2]).backward()  # type: ignore[no-untyped-call]
    for view in views[:2]:
        assert view.grad is not None
        assert view.grad.abs().sum(dim=1).all()


def test_what_does_not_fit_is_refused_when_planning(world: World, tiny: Backbone) -> None:
    with pytest.raises(BadInput, match=r"objectives.0.dim: an n-gram of 31 tokens .* data.length 32; lower `longest`"):
        planned([Dim(longest=31)], tiny, world)
    with pytest.raises(ValueError, match="shortest 4 is above longest 3"):
        Dim(shortest=4, longest=3)
