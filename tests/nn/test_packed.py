"""Laws of the packed forward pass. Legend: L positions of one sequence, N of all sequences of a batch, W width."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quire.core.example import Batch, Example
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.core.visibility import Backward, Both, Causal, Full, Prefix, Visibility, Window
from quire.nn.attention import Attention, Layout
from quire.nn.model import Model, Packed, Step

RULES: st.SearchStrategy[Visibility] = st.sampled_from(
    [Full(), Causal(), Backward(), Prefix(0), Prefix(2), Window(0), Window(1), Both(Causal(), Window(2))]
)
SEQUENCES = st.lists(st.tuples(st.integers(1, 9), RULES), min_size=1, max_size=7)


@pytest.fixture(scope="module")
def model() -> Model:
    spec = Backbone(vocab=60, depth=2, width=24, heads=3, ffn=20, positions=12, init_std=0.3)
    return Model(spec, {}, seed=3).eval()


def example(length: int, sees: Visibility, key: int) -> Example:
    draw = rng("packed", key)
    tokens, free = draw.integers(60, size=length), np.ones(length, dtype=bool)
    return Example(tokens, tokens, free, free, draw.integers(2, size=length), sees=sees)


def states(model: Model, examples: Sequence[Example]) -> list[Tensor]:
    batch = Batch.pack(examples)
    with torch.no_grad():
        found = Step(model, Packed(batch)).encode().numpy()
    return [torch.from_numpy(piece.copy()) for piece in batch.unpack(found)]


@given(SEQUENCES, st.integers(0, 99))
@settings(max_examples=60)
def test_a_packed_batch_equals_its_sequences_one_by_one(
    model: Model, sequences: list[tuple[int, Visibility]], key: int
) -> None:
    examples = [example(length, sees, key + i) for i, (length, sees) in enumerate(sequences)]
    alone = [states(model, [one])[0] for one in examples]
    for together, single in zip(states(model, examples), alone, strict=True):
        torch.testing.assert_close(together, single, atol=1e-5, rtol=1e-5)


@given(st.integers(1, 9), RULES, st.data())
@settings(max_examples=60)
def test_what_a_position_cannot_see_changes_nothing_there(
    model: Model, length: int, rule: Visibility, data: st.DataObject
) -> None:
    """Depth 1: with more layers a neighbour's neighbour is seen. Another token is a vector of another direction."""
    one_layer = Model(model.spec.model_copy(update={"depth": 1}), {}, seed=5).eval()
    before = example(length, rule, 1)
    place = data.draw(st.integers(0, length - 1))
    tokens = before.tokens.copy()
    tokens[place] = (tokens[place] + data.draw(st.integers(1, 59))) % 60
    after = Example(tokens, tokens, before.free, before.free, before.segments, sees=rule)
    (was,), (now,) = states(one_layer, [before]), states(one_layer, [after])
    moved = (was - now).abs().amax(dim=1) > 1e-4
    assert moved.tolist() == rule.mask(length)[:, place].tolist()


@given(st.integers(1, 9), st.integers(1, 4))
def test_prefix_of_nothing_is_causal_and_of_everything_is_full(model: Model, length: int, copies: int) -> None:
    for plain, built in ((Causal(), Prefix(0)), (Full(), Prefix(length)), (Full(), Window(length))):
        one = states(model, [example(length, plain, i) for i in range(copies)])
        two = states(model, [example(length, built, i) for i in range(copies)])
        for a, b in zip(one, two, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@given(SEQUENCES)
def test_runs_cover_the_batch_and_build_masks_only_where_needed(sequences: list[tuple[int, Visibility]]) -> None:
    batch = Batch.pack([example(length, sees, i) for i, (length, sees) in enumerate(sequences)])
    found = Layout.of(batch.lengths.tolist(), batch.sees).runs
    assert [place for run in found for place in range(run.start, run.start + run.sequences * run.length)] == list(
        range(len(batch.tokens))
    )
    rules = [rule for run in found for rule in [batch.sees[int(np.searchsorted(batch.offsets, run.start))]]]
    for run, rule in zip(found, rules, strict=True):
        assert run.causal == isinstance(rule, Causal)
        assert (run.mask is None) == isinstance(rule, Full | Causal)


def test_equal_neighbours_are_one_call() -> None:
    assert len(Layout.of([3, 3, 3, 5], [Full()] * 4).runs) == 2
    assert len(Layout.of([3, 3, 3, 5], [Full(), Prefix(1), Prefix(1), Full()]).runs) == 3


def test_neighbours_of_equal_length_are_one_call_under_all_their_masks() -> None:
    rules = [Full(), Full(), Prefix(1), Prefix(2), Prefix(2), Backward(), Backward(), Causal()]
    layout = Layout.of([9, 9, 5, 5, 5, 5, 4, 3], rules)
    calls = layout.calls(4096, learning=False)
    assert [(call.start, call.sequences, call.length) for call in calls] == [
        *[(0, 2, 9), (18, 4, 5)],
        *[(38, 1, 4), (42, 1, 3)],
    ]
    given = calls[1].given
    assert given is not None
    expected = np.stack([rule.mask(5) for rule in rules[2:6]])
    assert ((given[:, 0] == 0).numpy() == expected).all()


def test_attention_is_the_formula() -> None:
    attention = Attention(Backbone(width=6, heads=2, attention_dropout=0.0))
    torch.nn.init.normal_(attention.qkv.weight)
    x_NW = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    q, k, v = attention.qkv(x_NW).view(4, 3, 2, 3).permute(1, 2, 0, 3)  # [H, L, D]
    weights = (q @ k.transpose(1, 2) / 3**0.5).softmax(dim=-1)
    expected = attention.out((weights @ v).transpose(0, 1).reshape(4, 6))
    torch.testing.assert_close(attention(x_NW, Layout.of([4], [Full()])), expected)


def test_attention_dropout_is_drawn_in_training_alone() -> None:
    attention, x_NW = Attention(Backbone(width=6, heads=2, attention_dropout=0.5)), torch.randn(4, 6)
    layout = Layout.of([4], [Full()])
    assert not torch.equal(attention.train()(x_NW, layout), attention(x_NW, layout))
    assert torch.equal(attention.eval()(x_NW, layout), attention(x_NW, layout))
