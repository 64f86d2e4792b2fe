"""Windows of a text: each has the vector that it has alone, and one is made of them as the formulas say."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from quire.core.example import Batch, Example, Ints
from quire.core.heads import MOST, SequenceHead, Windows
from quire.core.random import rng
from quire.core.spec import Backbone, Pool
from quire.nn.attention import Attention
from quire.nn.heads import SequenceScores
from quire.nn.model import Model, Packed, Step
from quire.nn.pooling import Attentive
from quire.nn.windows import Reread

SPEC = Backbone(vocab=60, depth=2, width=24, heads=3, ffn=20, positions=16, init_std=0.3)
HOW: tuple[Windows, ...] = get_args(Windows)
POOLS: tuple[Pool, ...] = ("first", "mean", "first+max+mean")
TEXTS = [[7], [5, 9, 4], [3, 3], [8, 1]]
every = pytest.mark.parametrize("how", HOW)


def texts() -> list[list[Ints]]:
    """The windows of four texts, one of which has one only."""
    draw = rng("windows")
    return [[draw.integers(5, 60, size=size) for size in sizes] for sizes in TEXTS]


def of(tokens: Ints) -> Example:
    return Example(tokens, tokens, tokens > 0, tokens > 0, np.zeros_like(tokens))


def laid(windows: Sequence[Ints]) -> Example:
    blocks = [of(window) for window in windows]
    return (blocks[0] if len(blocks) == 1 else Example.apart(*blocks)).label("classify", 1)


def step(model: Model, found: Sequence[Sequence[Ints]]) -> Step:
    return Step(model, Packed(Batch.pack([laid(windows) for windows in found])))


def scores(model: Model, found: Sequence[Sequence[Ints]]) -> Tensor:
    """[texts, C] in the order of the texts."""
    made = step(model, found)
    return made.logits("classify")[torch.from_numpy(np.argsort(made.batch.order))]


def network(how: Windows | None, pool: Pool = "first", *, mix: bool = False) -> tuple[Model, SequenceScores]:
    spec = SequenceHead(outputs=3, pool=pool, windows=how, mix="plain" if mix else "none")
    model = Model(SPEC, {"classify": spec}, seed=5).eval()
    head = model.heads["classify"]
    assert isinstance(head, SequenceScores)
    return model, head


def by_hand(how: Windows, x_PW: Tensor, joining: torch.nn.Module | None) -> Tensor:
    match how:
        case "mean":
            return x_PW.mean(dim=0)
        case "max":
            return x_PW.amax(dim=0)
        case "attention":
            assert isinstance(joining, Attentive)
            weights = [float(torch.exp(x @ joining.query)) for x in x_PW]
            return torch.stack([w / sum(weights) * x for w, x in zip(weights, x_PW, strict=True)]).sum(dim=0)
        case "transformer":
            assert isinstance(joining, Reread)
            block, z = joining.block, x_PW + joining.places.weight[: len(x_PW)]
            assert isinstance(block.attention, Attention)
            q, k, v = block.attention.qkv(block.attention_norm(z)).view(len(z), 3, SPEC.heads, -1).permute(1, 2, 0, 3)
            seen = torch.softmax(q @ k.transpose(1, 2) / q.shape[2] ** 0.5, dim=2) @ v
            z = z + block.attention.out(seen.transpose(0, 1).flatten(1))
            return (z + block.ffn(block.ffn_norm(z))).mean(dim=0)  # type: ignore[no-any-return]


@every
@pytest.mark.parametrize("pool", POOLS)
@torch.no_grad()
def test_a_text_is_what_is_made_of_its_windows_one_by_one(how: Windows, pool: Pool) -> None:
    model, head = network(how, pool, mix=pool == "mean")
    found = scores(model, texts())
    for row, windows in zip(found, texts(), strict=True):
        alone = [step(model, [[window]]) for window in windows]
        vectors = torch.cat([one.vectors("classify", one.batch.first) for one in alone])
        torch.testing.assert_close(row, head(by_hand(how, vectors, head.windows), model.table), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("how", ["mean", "max", "attention"])
@pytest.mark.parametrize("pool", POOLS)
def test_a_text_of_one_window_is_bit_for_bit_what_it_is_without_windows(how: Windows, pool: Pool) -> None:
    (plain, _), (model, _) = network(None, pool), network(how, pool)
    model.load_state_dict(plain.state_dict(), strict=False)
    short = [[text[0]] for text in texts()]
    one, two = scores(plain, short), scores(model, short)
    assert torch.equal(one, two)
    for scored in (one, two):
        scored.square().sum().backward()  # type: ignore[no-untyped-call]
    assert all(torch.equal(p.grad, model.get_parameter(n).grad) for n, p in plain.named_parameters())  # type: ignore[arg-type]


@every
@torch.no_grad()
def test_the_order_of_windows_counts_for_the_layer_alone(how: Windows) -> None:
    model, _ = network(how)
    found, turned = scores(model, texts()), scores(model, [windows[::-1] for windows in texts()])
    torch.testing.assert_close(found[0], turned[0], atol=1e-5, rtol=1e-4)
    assert torch.allclose(found[1:], turned[1:], atol=1e-5, rtol=1e-4) == (how != "transformer")


@torch.no_grad()
def test_another_token_changes_the_vector_of_its_own_window() -> None:
    model, _ = network("mean", "mean")
    before, windows = step(model, texts()), texts()
    windows[1][1][4] = 59 if windows[1][1][4] < 59 else 58
    after = step(model, windows)
    at_B, owner_B = after.batch.blocks_of(after.batch.first)
    changed = (before.vectors("classify", at_B) != after.vectors("classify", at_B)).any(dim=1)
    sizes = after.batch.blocks[1]
    assert sizes[changed].tolist() == [9]
    assert owner_B.bincount().tolist() == [len(TEXTS[i]) for i in after.batch.order]


def test_the_last_layer_is_computed_where_windows_begin_alone() -> None:
    model, _ = network("mean")
    made = step(model, texts())
    made.logits("classify")
    assert len(made.batch.wanted) == sum(map(len, TEXTS))
    assert made._states is None


@every
def test_windows_are_learnt_from_and_nothing_asked_is_nothing(how: Windows) -> None:
    model, head = network(how)
    full = [[of(np.array([5 + i])).tokens for i in range(MOST)]]
    scores(model, full).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.any() for p in head.parameters())
    unasked = Step(model, Packed(Batch.pack([of(np.array([5, 6]))])))
    assert unasked.logits("classify").shape == (0, 3)
