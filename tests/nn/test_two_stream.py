"""XLNet's two streams: transformers is the oracle, with its mask turned round (1 is blocked) and its memory fed in.

Legend: L positions of a sequence, P asked ones, B sequences, m memory.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quire.core.example import Batch, Example, Ints
from quire.core.heads import HeadSpec, QueryHead, TokenHead
from quire.core.random import rng, seed_of
from quire.core.spec import Backbone
from quire.core.visibility import Causal, Full, Permuted, Visibility
from quire.nn.losses import cross_entropy
from quire.nn.model import Model, Packed, Step
from quire.nn.transformer import Encoder
from quire.nn.two_stream import query_states
from quire.objectives.plm import QUERY, Plm
from quire.train.convert import import_tensors

transformers = pytest.importorskip("transformers")
VOCAB = 23


@dataclass(frozen=True)
class Sizes:
    """What hypothesis draws of a model."""

    heads: int = 3
    head_width: int = 6
    depth: int = 2
    ffn: int = 13
    key: int = 0

    @property
    def ours(self) -> Backbone:
        return Backbone(
            vocab=VOCAB,
            depth=self.depth,
            width=self.heads * self.head_width,
            heads=self.heads,
            ffn=self.ffn,
            segments=3,
            position="relative",
            embedding_norm=False,
            dropout=0.0,
            attention_dropout=0.0,
        )


SIZES = st.builds(
    Sizes,
    heads=st.sampled_from([1, 3, 5]),
    head_width=st.sampled_from([2, 6]),
    depth=st.integers(1, 3),
    ffn=st.sampled_from([7, 16]),
    key=st.integers(0, 99),
).filter(lambda sizes: sizes.heads * sizes.head_width > 2)
"""A norm of two numbers is little but their sign, and its gradient the noise of fp32."""
FEW = settings(max_examples=8)
PARTS: dict[str, HeadSpec] = {"plm": TokenHead(transform=False), QUERY: QueryHead()}


def theirs(sizes: Sizes, **changes: Any) -> Any:
    """Their model with every parameter drawn, `mask_emb` among them."""
    config = transformers.XLNetConfig(
        vocab_size=VOCAB,
        d_model=sizes.heads * sizes.head_width,
        n_layer=sizes.depth,
        n_head=sizes.heads,
        d_inner=sizes.ffn,
        dropout=0.0,
        **changes,
    )
    model = transformers.XLNetLMHeadModel(config).eval()
    draw = torch.Generator().manual_seed(seed_of("xlnet", sizes.key))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3, generator=draw)
    return model


def renamed(other: Any, named: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors, or gradients, under our names."""
    config = {**other.config.to_dict(), "attn_type": "bi"}  # who sees whom is ours to say
    return import_tensors(named, config, where=Path("theirs"), heads=PARTS).state


def twins(sizes: Sizes, **changes: Any) -> tuple[Model, Any]:
    other = theirs(sizes, **changes)
    model = Model(sizes.ours, PARTS).eval()
    model.load_state_dict(renamed(other, other.state_dict()))
    return model, other


def example(
    length: int, draw: np.random.Generator, *, sees: Visibility, where: Ints | None = None, reverse: bool = False
) -> Example:
    tokens, free = draw.integers(VOCAB, size=length), np.ones(length, dtype=bool)
    segments = np.sort(draw.integers(3, size=length))
    positions = np.arange(length)[::-1].copy() if reverse else None
    made = Example(tokens, tokens, free, free, segments, sees=sees, positions=positions)
    if where is None:
        return made
    asked = np.zeros(length, dtype=bool)
    asked[where] = True
    return made.ask("plm", asked, tokens)


def order(length: int, draw: np.random.Generator) -> Permuted:
    """Some share rank 0, the others come one by one."""
    ranks = draw.permutation(length) + 1
    ranks[draw.random(length) < 0.4] = 0
    return Permuted.of(ranks)


def scores(model: Model, examples: list[Example]) -> tuple[Step, Tensor]:
    step, plm = Step(model, Packed(Batch.pack(examples))), Plm()
    return step, plm.scores(step, plm.queried(step)).scores()


@given(sizes=SIZES, length=st.sampled_from([1, 2, 5, 9]), reverse=st.booleans())
@FEW
def test_content_stream_is_an_encoder(sizes: Sizes, length: int, reverse: bool) -> None:
    """Bidirectional, causal and permuted, forwards and backwards."""
    model, other = twins(sizes, bi_data=False)
    draw = rng("content", sizes.key, length)
    for sees in (Full(), Causal(), order(length, draw)):
        one = example(length, draw, sees=sees, reverse=reverse)
        ids, kinds = (torch.from_numpy(x[None].copy()) for x in (one.tokens, one.segments))
        blocked = torch.from_numpy(~sees.mask(length))[None].float()
        if reverse:  # the same as reading everything from the other end
            ids, kinds, blocked = ids.flip(1), kinds.flip(1), blocked.flip(1, 2)
        states = other.transformer(ids, perm_mask=blocked, token_type_ids=kinds).last_hidden_state[0]
        ours = model(Packed(Batch.pack([one])))
        torch.testing.assert_close(ours, states.flip(0) if reverse else states, atol=1e-5, rtol=1e-5)


@given(sizes=SIZES, lengths=st.lists(st.sampled_from([2, 3, 7, 11]), min_size=1, max_size=3))
@FEW
def test_both_streams_loss_and_gradients(sizes: Sizes, lengths: list[int]) -> None:
    model, other = twins(sizes)
    draw = rng("streams", sizes.key, *lengths)
    examples, losses = [], []
    for length in lengths:
        sees = order(length, draw)
        seen = sees.mask(length) & ~np.eye(length, dtype=bool)
        able = np.flatnonzero((sees.ranks > 0) & seen.any(axis=1))  # theirs looks at all when nothing may be seen
        examples.append(example(length, draw, sees=sees, where=able))
    for one in examples:
        where = np.flatnonzero(one.answers["plm"] >= 0)
        if not len(where):
            continue
        assert isinstance(one.sees, Permuted)
        blocked = torch.from_numpy(~(one.sees.ranks[:, None] > one.sees.ranks))[None].float()
        shared = torch.from_numpy(one.sees.ranks == 0)
        blocked[0, shared[:, None] & shared] = 0  # who shares a rank sees each other; their diagonal is opened for h
        mapping = torch.zeros(1, len(where), len(one))
        mapping[0, torch.arange(len(where)), torch.from_numpy(where)] = 1
        ids, kinds = (torch.from_numpy(x[None]) for x in (one.tokens, one.segments))
        found = other(ids, perm_mask=blocked, target_mapping=mapping, token_type_ids=kinds).logits[0]
        _, ours = scores(model, [one])
        torch.testing.assert_close(ours, found, atol=1e-5, rtol=1e-5)
        losses.append((found, ids[0, where]))
    if not losses:
        return
    loss = cross_entropy(torch.cat([x for x, _ in losses]), torch.cat([x for _, x in losses]))
    mine = Plm().loss(Step(model, Packed(Batch.pack(examples))))
    torch.testing.assert_close(mine, loss, atol=1e-5, rtol=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    mine.backward()  # type: ignore[no-untyped-call]
    named = {name: p.grad if p.grad is not None else torch.zeros_like(p) for name, p in other.named_parameters()}
    expected = renamed(other, named)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-5, rtol=1e-4, msg=f"gradient of {name}")


@pytest.mark.parametrize("m", [1, 5])
def test_memory_is_their_mems(m: int) -> None:
    """States of the past from a pass of their own, without gradient: logits, loss and gradients are the same."""
    sizes, length = Sizes(depth=3, key=7), 8
    model, other = twins(sizes, use_mems_eval=True, mem_len=None, reuse_len=None)
    draw = rng("mems", m)
    ranks = np.array([0, 3, 0, 1, 0, 2, 0, 4])
    where = np.flatnonzero(ranks)
    one = example(
        m + length, draw, sees=Permuted.of(np.concatenate([np.full(m, -1), ranks]), memory=m), where=m + where
    )
    one.segments[:m] = 0  # theirs too takes all of the past for the first segment
    ids, kinds = (torch.from_numpy(x[None]) for x in (one.tokens, one.segments))
    with torch.no_grad():
        mems = other.transformer(ids[:, :m], token_type_ids=kinds[:, :m]).mems
    blocked = torch.from_numpy(~(ranks[:, None] > ranks))[None].float()
    blocked[0, torch.from_numpy((ranks[:, None] == 0) & (ranks == 0))] = 0
    mapping = torch.zeros(1, len(where), length)
    mapping[0, torch.arange(len(where)), torch.from_numpy(where)] = 1
    found = other(ids[:, m:], mems=mems, perm_mask=blocked, target_mapping=mapping, token_type_ids=kinds[:, m:]).logits[
        0
    ]
    step, ours = scores(model, [one])
    torch.testing.assert_close(ours, found, atol=1e-5, rtol=1e-5)
    cross_entropy(found, ids[0, m + where]).backward()  # type: ignore[no-untyped-call]
    Plm().loss(step).backward()  # type: ignore[no-untyped-call]
    expected = renamed(other, {name: p.grad for name, p in other.named_parameters()})
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-5, rtol=1e-4, msg=f"gradient of {name}")


def test_second_segment_with_their_mems_is_one_causal_pass_of_ours() -> None:
    sizes, length = Sizes(key=3), 6
    model, other = twins(sizes, attn_type="uni", use_mems_eval=True, mem_len=None, reuse_len=None)
    one = example(2 * length, rng("uni"), sees=Causal())
    ids = torch.from_numpy(one.tokens[None])
    kinds = torch.zeros_like(ids)
    with torch.no_grad():
        first = other.transformer(ids[:, :length], token_type_ids=kinds[:, :length])
        second = other.transformer(ids[:, length:], mems=first.mems, token_type_ids=kinds[:, length:])
        one.segments[:] = 0
        ours = model(Packed(Batch.pack([one])))
    theirs = torch.cat([first.last_hidden_state[0], second.last_hidden_state[0]])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_no_gradient_reaches_the_words_of_the_memory() -> None:
    model = Model(Sizes().ours, PARTS, seed=1).eval()
    place = np.arange(9)
    one = Example(place, place, place >= 4, place >= 4, place * 0, sees=Permuted.of(place // 4, memory=4))
    batch = Packed(Batch.pack([one.ask("plm", place == 8, place)]))
    x_NE = model.embed(batch).detach().requires_grad_()
    body, query = model.backbone, model.heads[QUERY]()
    assert isinstance(body, Encoder)
    query_states(body, x_NE, query, batch.asked["plm"], batch.layout).square().sum().backward()  # type: ignore[no-untyped-call]
    assert x_NE.grad is not None
    assert x_NE.grad.any(dim=1).tolist() == [False] * 4 + [True] * 4 + [False]


def test_query_stream_needs_an_order() -> None:
    model = Model(Sizes().ours, PARTS, seed=1)
    one = example(4, rng("order"), sees=Full(), where=np.array([1]))
    with pytest.raises(ValueError, match="a query stream needs an order of its sequence"):
        scores(model, [one])


def test_base_has_the_parameters_of_the_release() -> None:
    with torch.device("meta"):
        spec = Backbone(vocab=32000, segments=3, position="relative", embedding_norm=False)
    assert Model(spec, PARTS).parameter_count() == 116_750_336


def test_mixed_precision_and_dropout_run() -> None:
    spec = Sizes().ours.model_copy(update={"dropout": 0.3, "attention_dropout": 0.3})
    model = Model(spec, PARTS, seed=1).train()
    draw = rng("bf16")
    sees = order(12, draw)
    one = example(12, draw, sees=sees, where=np.flatnonzero(sees.ranks))
    with torch.autocast("cpu", torch.bfloat16):
        loss = Plm().loss(Step(model, Packed(Batch.pack([one, one]))))
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
