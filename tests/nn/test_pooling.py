"""One vector of a sequence: by hand, of the asked sequences alone, whatever stands beside them. Legend: L, W."""

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quire.core.example import Batch, Example, Passage, Vocab
from quire.core.heads import HeadSpec, SequenceHead, VectorHead
from quire.core.random import rng
from quire.core.spec import Backbone, Pool
from quire.nn.model import Model, Packed, Step
from quire.nn.pooling import Attentive, build_pooling, pooled_width, whole

HOW = get_args(Pool)
VOCAB = Vocab(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)))
SPEC = Backbone(vocab=60, depth=1, width=24, heads=3, ffn=20, positions=64, dropout=0.0, init_std=0.5)


def example(length: int) -> Example:
    return Example.of(VOCAB, Passage(rng("pool", length).integers(5, 60, size=length), np.ones(length, dtype=bool)))


def by_hand(how: Pool, states_LW: Tensor, module: torch.nn.Module | None) -> Tensor:
    match how:
        case "first":
            return states_LW[0]
        case "last":
            return states_LW[-1]
        case "first+max+mean" | "last+max+mean":
            return torch.cat([by_hand(part, states_LW, None) for part in how.split("+")])  # type: ignore[arg-type]
        case "mean":
            return states_LW.mean(0)
        case "max":
            return states_LW.amax(0)
        case "attention":
            assert isinstance(module, Attentive)
            return (states_LW @ module.query).softmax(0) @ states_LW


@pytest.mark.parametrize("how", HOW)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.data())
@settings(max_examples=20)
def test_it_is_the_formula_over_the_asked_sequences(how: Pool, lengths: list[int], data: st.DataObject) -> None:
    asked = data.draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths)))
    model = Model(SPEC, {"head": VectorHead(dense=False, pool=how)}, seed=3).eval()
    batch = Batch.pack([e.label("head", 0) if a else e for e, a in zip(map(example, lengths), asked, strict=True)])
    step = Step(model, Packed(batch))
    with torch.no_grad():
        found = step.logits("head")
        pieces = torch.split(step.encode(), batch.lengths.tolist())
    expected = [
        by_hand(how, piece, getattr(model.heads["head"], "pool", None))
        for piece, place in zip(pieces, batch.order.tolist(), strict=True)
        if asked[place]
    ]
    wanted = torch.stack(expected) if expected else torch.zeros(0, pooled_width(how, 24))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_sequences_that_nobody_asks_about_are_not_pooled() -> None:
    model = Model(SPEC, {"head": SequenceHead(outputs=2, pool="attention")}, seed=3)
    pooled: list[int] = []
    model.heads["head"].pool.register_forward_hook(lambda _, given, __: pooled.append(len(given[0])))  # type: ignore[union-attr]
    packed = Packed(Batch.pack([example(3).label("head", 1), example(7), example(4).label("head", 0)]))
    Step(model, packed).logits("head")
    assert pooled == [5 + 6]


def test_any_position_stands_for_its_sequence() -> None:
    at, owner = whole(torch.tensor([0, 5, 11]), torch.tensor([5, 6, 2]), torch.tensor([12, 3]))
    assert at.tolist() == [11, 12, 0, 1, 2, 3, 4]
    assert owner.tolist() == [0, 0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("how", HOW[1:])
def test_the_gradient_is_that_of_the_formula_and_large_scores_stay_finite(how: Pool) -> None:
    module = build_pooling(how, 4)
    assert module is not None
    if isinstance(module, Attentive):
        torch.nn.init.constant_(module.query, 300.0)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    owner = torch.tensor([0, 0, 0, 1, 1])
    weight = torch.arange(2.0 * pooled_width(how, 4)).view(2, -1)
    (ours,) = torch.autograd.grad((module(x, owner, 2) * weight).sum(), x)
    hand = torch.stack([by_hand(how, x[:3], module), by_hand(how, x[3:], module)])
    (expected,) = torch.autograd.grad((hand * weight).sum(), x)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
    assert torch.isfinite(ours).all()


def test_attention_without_a_query_is_the_mean() -> None:
    module = Attentive(3)
    torch.nn.init.zeros_(module.query)
    x = torch.randn(4, 3)
    torch.testing.assert_close(module(x, torch.zeros(4, dtype=torch.int64), 1), x.mean(0, keepdim=True))


@pytest.mark.parametrize("how", HOW)
def test_every_head_of_a_sequence_can_be_asked_with_nothing_asked(how: Pool) -> None:
    heads: dict[str, HeadSpec] = {"a": SequenceHead(outputs=3, pool=how), "b": VectorHead(pool=how)}
    step = Step(Model(SPEC, heads, seed=3), Packed(Batch.pack([example(3), example(4)])))
    assert step.logits("a").shape == (0, 3)
    assert step.logits("b").shape == (0, 24)
