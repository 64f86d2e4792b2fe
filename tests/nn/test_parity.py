"""transformers is the oracle: the same weights give the same states, scores, losses and gradients to 1e-5 in fp32.

For every class that Quire reads (`benchmarks.zoo`). Theirs is padded and masked, ours is packed (`benchmarks.twins`).
"""

import numpy as np
import pytest
import torch
from benchmarks.twins import Twin
from benchmarks.zoo import CLASSES, VOCAB, Sizes, drawn
from hypothesis import Phase, given, settings
from tests.nn.parity import SIZES, close, mirrored, same_gradients

from quire.core.example import Batch, Example
from quire.core.random import rng
from quire.nn.model import Packed, Step

transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("name", CLASSES)
@given(sizes=SIZES)
@settings(max_examples=6, phases=[Phase.generate])
def test_it_computes_what_theirs_does(name: str, sizes: Sizes) -> None:
    twin = Twin(name, sizes)
    answered = twin.answers()
    told = twin.told(answered)
    assert told.keys() == twin.heads.keys() or not twin.heads
    for both in told.values():
        close(both)
    if (losses := twin.losses(answered)) is not None:
        same_gradients(twin, losses)


def test_classes_with_heads_are_asked_for_what_these_say() -> None:
    """Lest a head be compared in none: the places that the families have, but for XLNet's query, which says nothing."""
    sizes = Sizes()
    asked = {name: set(Twin(name, sizes).heads) for name in CLASSES}
    for name, family in CLASSES.items():
        (wanted, *_) = [set(places) for called, places in family.architectures if called == name]
        assert asked[name] == wanted - {"query"}, name


def test_far_distances_of_mpnet_share_their_buckets() -> None:
    config = transformers.MPNetConfig(
        vocab_size=VOCAB, hidden_size=15, num_hidden_layers=2, num_attention_heads=3, intermediate_size=13,
        max_position_embeddings=202,
    )  # fmt: skip
    theirs = drawn(transformers.MPNetModel(config), 3)
    tokens = rng("parity", "far").integers(2, VOCAB, size=200)
    free = np.ones(200, dtype=bool)
    step = Step(mirrored(theirs), Packed(Batch.pack([Example(tokens, tokens, free, free, 0 * tokens)])))
    expected = theirs(torch.from_numpy(tokens)[None]).last_hidden_state[0]
    torch.testing.assert_close(step.encode(), expected, atol=1e-5, rtol=1e-5)
