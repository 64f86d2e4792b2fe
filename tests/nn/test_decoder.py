"""Laws of the decoder: who may look at what, and a packed batch is its pairs one by one.

Legend: T written positions.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quire.core.example import IGNORE, Batch, Example, Ints
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.nn.buckets import DistanceBias, bucket
from quire.nn.model import Model, Packed, Step

LIKE: dict[str, dict[str, object]] = {
    "BART": {},
    "T5": {"position": "bucketed", "norm": "rms", "norm_first": True, "bias": False, "embedding_norm": False}
    | {"score": "dot", "head_width": 5, "activation": "relu", "furthest": 20},
    "Transformer": {"position": "sinusoidal", "scale_embedding": True, "embedding_norm": False},
    "rotary, narrow tables": {"position": "rotary", "embedding": 10},
}


@pytest.fixture(scope="module", params=LIKE)
def model(request: pytest.FixtureRequest) -> Model:
    plain = {"vocab": 60, "depth": 2, "decoder": 3, "width": 24, "heads": 3, "ffn": 20, "positions": 40, "segments": 0}
    return Model(Backbone.model_validate({**plain, "init_std": 0.3, **LIKE[request.param]}), {}, seed=3).eval()


def pair(source: int, target: int, key: int, *, hidden: tuple[int, ...] = ()) -> Example:
    draw = rng("decoder", key)
    read, written = draw.integers(5, 60, size=source), draw.integers(5, 60, size=target)
    covered = np.isin(np.arange(source), hidden)
    free, zeros = np.ones(source, dtype=bool), np.zeros(source, dtype=np.int64)
    return Example(read, read, free, free, zeros).recast(read, Example.written("s", written, start=2), hidden=covered)


def states(model: Model, *examples: Example) -> list[Tensor]:
    batch = Batch.pack(examples)
    assert batch.target is not None
    with torch.no_grad():
        found = Step(model, Packed(batch)).target.encode().numpy()
    return [torch.from_numpy(piece.copy()) for piece in batch.target.unpack(found)]


def other(tokens: Ints, at: int) -> Ints:
    changed = tokens.copy()
    changed[at] = 5 + (tokens[at] - 4) % 55
    return changed


@given(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=1, max_size=6), st.integers(0, 99))
@settings(max_examples=20)
def test_a_packed_batch_equals_its_pairs_one_by_one(model: Model, lengths: list[tuple[int, int]], key: int) -> None:
    examples = [pair(s, t, key + i, hidden=(0,) if s > 1 and i % 2 else ()) for i, (s, t) in enumerate(lengths)]
    for together, example in zip(states(model, *examples), examples, strict=True):
        torch.testing.assert_close(together, states(model, example)[0], atol=1e-5, rtol=1e-5)


@given(st.integers(2, 8), st.integers(2, 8), st.data())
@settings(max_examples=20)
def test_a_place_sees_what_was_written_before_and_the_whole_source(
    model: Model, source: int, target: int, data: st.DataObject
) -> None:
    example = pair(source, target, 1)
    assert example.target is not None
    before = states(model, example)[0]
    at = data.draw(st.integers(0, target - 1))
    after = states(model, replace(example, target=replace(example.target, tokens=other(example.target.tokens, at))))[0]
    assert torch.equal(before[:at], after[:at])
    assert (before[at:] - after[at:]).abs().amax(dim=1).min() > 1e-6
    read = replace(example, tokens=other(example.tokens, data.draw(st.integers(0, source - 1))))
    assert (before - states(model, read)[0]).abs().amax(dim=1).min() > 1e-7


def test_what_is_hidden_of_the_source_is_not_looked_at() -> None:
    """One encoder layer of local attention without neighbours, so that nobody else can tell what stands there."""
    spec = Backbone(vocab=60, depth=1, decoder=2, width=24, heads=3, ffn=20, positions=40, segments=0, window=1)
    model = Model(spec.model_copy(update={"init_std": 0.3}), {}, seed=1).eval()
    example = pair(9, 4, 2, hidden=(3, 4, 5))
    covered, seen = (replace(example, tokens=other(example.tokens, at)) for at in (4, 2))
    before, unmoved, moved = states(model, example, covered, seen)
    torch.testing.assert_close(before, unmoved)
    assert (before - moved).abs().max() > 1e-4


def test_states_where_asked_are_those_of_all() -> None:
    spec = Backbone(vocab=60, depth=1, decoder=2, width=24, heads=3, ffn=20, positions=40, segments=0)
    model = Model(spec, {}, seed=1).eval()
    packed = Packed(Batch.pack([pair(5, 4, 0), pair(3, 6, 1)]))
    at = torch.tensor([0, 3, 7])
    part, whole = Step(model, packed).target, Step(model, packed).target.encode()
    part.batch.wanted = at
    torch.testing.assert_close(part.states(at), whole[at])


def test_written_shows_what_stands_before_and_asks_for_what_comes() -> None:
    found = Example.written("s", np.array([7, 8, 3]), start=0, asked=np.array([True, False, True]))
    assert found.tokens.tolist() == [0, 7, 8]
    assert found.truth.tolist() == [7, 8, 3]
    assert found.answers["s"].tolist() == [7, IGNORE, 3]


def test_the_size_of_a_batch_counts_both_sides() -> None:
    batch = Batch.pack([pair(5, 2, 0), pair(3, 4, 1)])
    assert batch.size == Packed(batch).size == 5 + 2 + 3 + 4


def test_a_batch_where_some_write_and_some_do_not_is_refused() -> None:
    with pytest.raises(ValueError, match="beside some sequences and not beside others"):
        Batch.pack([pair(2, 2, 0), replace(pair(2, 2, 1), target=None)])


FAR = [-200, -128, -64, -16, -8, -1, 0, 1, 7, 8, 16, 64, 128, 200]


@pytest.mark.parametrize(
    ("two_sided", "expected"),
    [
        (True, [15, 15, 14, 10, 8, 1, 0, 17, 23, 24, 26, 30, 31, 31]),
        (False, [31, 31, 26, 16, 8, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_the_buckets_are_those_of_t5(two_sided: bool, expected: list[int]) -> None:
    assert bucket(torch.tensor(FAR), buckets=32, furthest=128, two_sided=two_sided).tolist() == expected


@pytest.mark.parametrize("two_sided", [True, False])
def test_a_bias_tells_sides_apart_where_it_has_two(two_sided: bool) -> None:
    bias = DistanceBias(Backbone(width=6, heads=2, position="bucketed", score="dot"), two_sided=two_sided)
    with torch.no_grad():
        bias.table.weight.copy_(torch.arange(64.0).view(32, 2))
    found = bias(torch.arange(-9, 10))
    assert found.shape == (2, 19)
    assert torch.equal(found[:, 9 + 5], found[:, 9]) == (not two_sided)
    assert not torch.equal(found[:, 9 - 5], found[:, 9 + 5])
