"""The decoder of an LSTM: Luong's formula, who may look at what, and a packed batch is its pairs one by one.

Legend: T written positions, N of the source, W width.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quire.core.bodies import Lstm
from quire.core.example import Batch, Example
from quire.core.random import rng
from quire.nn.lstm import Course, LstmDecoder
from quire.nn.model import Model, Packed, Step

SPEC = Lstm(vocab=60, depth=2, decoder=2, width=12, embedding=7, dropout=0.0, init_std=0.5)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(SPEC, {}, seed=3).eval()


def pair(source: int, target: int, key: int) -> Example:
    draw = rng("lstm decoder", key)
    read, written = draw.integers(5, 60, size=source), draw.integers(5, 60, size=target)
    free, zeros = np.ones(source, dtype=bool), np.zeros(source, dtype=np.int64)
    return Example(read, read, free, free, zeros).recast(read, Example.written("s", written, start=2))


def states(model: Model, *examples: Example) -> list[Tensor]:
    batch = Batch.pack(examples)
    assert batch.target is not None
    with torch.no_grad():
        found = Step(model, Packed(batch)).target.encode().numpy()
    return [torch.from_numpy(piece.copy()) for piece in batch.target.unpack(found)]


@given(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=1, max_size=6), st.integers(0, 99))
@settings(max_examples=15)
def test_a_packed_batch_equals_its_pairs_one_by_one(model: Model, lengths: list[tuple[int, int]], key: int) -> None:
    examples = [pair(s, t, key + i) for i, (s, t) in enumerate(lengths)]
    for together, example in zip(states(model, *examples), examples, strict=True):
        torch.testing.assert_close(together, states(model, example)[0], atol=1e-5, rtol=1e-5)


def test_a_place_knows_what_was_written_before_it_and_the_whole_source(model: Model) -> None:
    example = pair(5, 6, 1)
    assert example.target is not None
    other = example.target.tokens.copy()
    other[3] = 5 + (other[3] - 4) % 55
    before, after = states(model, example, replace(example, target=replace(example.target, tokens=other)))
    assert ((before - after).abs().amax(1) > 1e-6).tolist() == [False] * 3 + [True] * 3
    for at in range(5):
        read = example.tokens.copy()
        read[at] = 5 + (read[at] - 4) % 55
        assert (before - states(model, replace(example, tokens=read))[0]).abs().amax(1).min() > 1e-7


def test_it_is_luongs_global_attention(model: Model) -> None:
    example = pair(4, 3, 2)
    packed = Packed(Batch.pack([example]))
    decoder = model.backbone.decoder
    assert isinstance(decoder, LstmDecoder)
    assert packed.target is not None
    with torch.no_grad():
        source = Step(model, packed).encode()
        table = model.backbone.embeddings.tokens
        h, course = table(packed.target.tokens), Course.of([3], torch.device("cpu"))
        for block in decoder.blocks:
            [h] = block([h], course)
        key, value = decoder.cross.kv(source).chunk(2, dim=1)
        a = (decoder.cross.query(h) @ key.T).softmax(dim=1)
        c = decoder.cross.out(a @ value)
        expected = torch.tanh(torch.cat([c, h], dim=1) @ decoder.join.weight.T)
    torch.testing.assert_close(states(model, example)[0], expected, atol=1e-5, rtol=1e-5)


def test_states_where_asked_are_those_of_all(model: Model) -> None:
    packed, at = Packed(Batch.pack([pair(5, 4, 0), pair(3, 6, 1)])), torch.tensor([0, 3, 7])
    part, whole = Step(model, packed).target, Step(model, packed).target.encode()
    part.batch.wanted = at
    torch.testing.assert_close(part.states(at), whole[at])
