"""The Star-Transformer against its formula, and its laws. Legend: L positions of one sequence, W width, D of a head."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quire.compress.quantize import DynamicInt8
from quire.core.bodies import Star
from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Vocab
from quire.core.heads import TokenHead
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.core.visibility import Causal, Full, Visibility
from quire.nn.model import Model, Packed, Step
from quire.nn.star import Topology
from quire.train.machine import counted
from quire.train.weights import read_model, save_model

SPEC = Star(vocab=60, depth=2, width=24, heads=3, positions=400, segments=0, init_std=0.3, dropout=0.0)


def model(**changes: Any) -> Model:
    return Model(SPEC.model_copy(update=changes), {}, seed=3).eval()


def example(tokens: Sequence[int], sees: Visibility | None = None) -> Example:
    ids, free = np.array(tokens), np.ones(len(tokens), dtype=bool)
    return Example(ids, ids, free, free, np.zeros(len(ids), dtype=int), sees=sees or Full())


def states(body: Model, *sequences: Sequence[int]) -> list[Tensor]:
    """[L, W] of each, in one batch."""
    batch = Batch.pack([example(tokens) for tokens in sequences])
    with torch.no_grad():
        found = Step(body, Packed(batch)).encode().numpy()
    return [torch.from_numpy(piece.copy()) for piece in batch.unpack(found)]


def drawn(length: int) -> list[int]:
    found: list[int] = rng("star", length).permutation(60)[:length].tolist()
    return found


def layers(body: Model) -> list[Any]:
    return list(body.get_submodule("backbone.blocks").children())


def looked(attention: Any, query_W: Tensor, seen: Sequence[Tensor]) -> Tensor:
    """Multi-head attention of one query to some vectors, by the book."""
    q_HD = attention.query(query_W).view(SPEC.heads, -1)
    both = torch.stack([attention.keyvalue(x) for x in seen]).view(len(seen), 2, SPEC.heads, -1)
    scores = torch.einsum("hd,nhd->nh", q_HD, both[:, 0]) / (SPEC.width / SPEC.heads) ** 0.5
    mixed = torch.einsum("nh,nhd->hd", scores.softmax(0), both[:, 1]).flatten()
    return F.leaky_relu(attention.out(mixed))


@pytest.mark.parametrize("ring", [False, True])
@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_it_is_the_formula(length: int, ring: bool) -> None:
    body, tokens = model(ring=ring), drawn(length)
    with torch.no_grad():
        e: list[Tensor] = list(body.backbone.embeddings.tokens(torch.tensor(tokens)))
        h, s = e, torch.stack(e).mean(0)
        for block in layers(body):
            n: list[Tensor] = [block.norm(x) for x in h]
            beside = [
                [n[k % length] for k in (i - 1, i, i + 1) if ring or 0 <= k < length] + [e[i], s] for i in range(length)
            ]
            h = [looked(block.ring, n[i], beside[i]) for i in range(length)]
            s = looked(block.star, s, [s, *h])
    torch.testing.assert_close(states(body, tokens)[0], torch.stack([s, *h[1:]]), atol=1e-5, rtol=1e-5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=7), st.booleans())
@settings(max_examples=40)
def test_a_sequence_in_a_batch_equals_itself_alone(lengths: list[int], ring: bool) -> None:
    body, sequences = model(ring=ring), [drawn(length) for length in lengths]
    for together, tokens in zip(states(body, *sequences), sequences, strict=True):
        torch.testing.assert_close(together, states(body, tokens)[0], atol=1e-5, rtol=1e-5)


def test_a_layer_sees_one_neighbour_on_either_side() -> None:
    """The relay held fixed; another vector, not another constant, which a norm would take away."""
    body, x_LW = model(depth=1), torch.randn(9, 24, generator=torch.Generator().manual_seed(0))
    topology = Topology.of(Packed(Batch.pack([example(drawn(9))])).layout, x_LW.device, ring=False)
    other_LW = x_LW.clone()
    other_LW[4] = torch.randn(24, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        was, now = (layers(body)[0](x, x_LW[:1], x, topology)[0] for x in (x_LW, other_LW))
    assert ((was - now).abs().amax(1) > 1e-4).tolist() == [i in (3, 4, 5) for i in range(9)]


@pytest.mark.parametrize(("ring", "ends"), [(False, set()), (True, {11})])
def test_swapped_tokens_reach_others_through_the_relay_alone(ring: bool, ends: set[int]) -> None:
    """The first relay is a mean, which does not see the swap: in one layer only neighbours do, in two layers all."""
    tokens = drawn(12)
    swapped = [tokens[5], *tokens[1:5], tokens[0], *tokens[6:]]
    moved = [
        ((states(body, tokens)[0] - states(body, swapped)[0]).abs().amax(1) > 1e-5).nonzero().flatten().tolist()
        for body in (model(depth=1, ring=ring), model(depth=2, ring=ring))
    ]
    assert set(moved[0]) == {0, 1, 4, 5, 6} | ends
    assert moved[1] == list(range(12))


def test_the_ring_closes_at_the_true_length() -> None:
    """In a batch with a longer sequence too, the last token's right neighbour is the first."""
    tokens, longer = drawn(12), drawn(15)
    swapped = [tokens[5], *tokens[1:5], tokens[0], *tokens[6:]]
    for ring in (False, True):
        body = model(depth=1, ring=ring)
        was, now = states(body, longer, tokens)[1], states(body, longer, swapped)[1]
        assert bool((was[-1] - now[-1]).abs().max() > 1e-5) == ring


def flops(spec: Backbone, length: int) -> int:
    body = Model(spec, {})
    batch = Packed(Batch.pack([example(rng(length).integers(60, size=length).tolist())]))
    return counted(lambda: torch.autograd.grad(Step(body, batch).encode().sum(), list(body.parameters())))[1]


def test_cost_is_linear() -> None:
    full = Backbone(vocab=60, depth=2, width=24, heads=3, ffn=20, positions=400, attention_dropout=0.0)
    for spec, linear in ((SPEC, True), (full, False)):
        costs = [flops(spec, length) for length in (100, 200, 300)]
        steps = [b - a for a, b in pairwise(costs)]
        assert (steps[0] == steps[1]) == linear


def test_what_is_hidden_cannot_be_kept_from_the_relay() -> None:
    with pytest.raises(BadInput, match=r"backbone.kind star: .* an objective wants Causal\(\); take a Transformer"):
        Step(model(), Packed(Batch.pack([example([1, 2], Causal())]))).encode()


def test_asked_states_are_those_of_all() -> None:
    body, batch = model(), Packed(Batch.pack([example(drawn(n)) for n in (3, 5)]))
    at = torch.tensor([0, 2, 3, 7])
    torch.testing.assert_close(body(batch, at), body(batch)[at])


def test_int8_is_near() -> None:
    body = model(init_std=0.1)
    small = DynamicInt8().apply(body, DynamicInt8().plan(body))
    was, now = states(body, drawn(9))[0], states(small, drawn(9))[0]
    assert F.cosine_similarity(was, now).min() > 0.95


def test_a_folder_keeps_it(tmp_path: Path, vocab: Vocab) -> None:
    """No class of theirs has its shape, so the folder is in our names."""
    saved, heads = Model(SPEC, {"mlm": TokenHead()}, seed=3), {"mlm": TokenHead()}
    save_model(
        tmp_path / "model",
        backbone=SPEC,
        heads=heads,
        state=saved.state_dict(),
        labels=None,
        tokenizer_saver=lambda _: None,
        vocab=vocab,
        card="",
        extra={},
    )
    found = read_model(tmp_path / "model")
    assert found.backbone == SPEC
    torch.testing.assert_close(dict(found.state), dict(saved.state_dict()), rtol=0, atol=0)
