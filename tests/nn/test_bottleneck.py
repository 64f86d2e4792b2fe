"""Laws of the Transformer with bottlenecks; `test_parity` holds its numbers to those of transformers."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quire.core.config import parse
from quire.core.errors import BadInput
from quire.core.example import Batch, Example
from quire.core.heads import HeadSpec, SequenceHead, TokenHead
from quire.core.spec import Backbone
from quire.core.visibility import Causal, Full, Visibility, Window
from quire.nn.model import Model, Packed, Step
from quire.train.families import read_config

SIZES = {"vocab": 60, "depth": 2, "width": 14, "heads": 3, "ffn": 7, "positions": 20, "embedding": 5, "bottleneck": 9}
TINY = {"trigrams": False, "apart": False, "norm": "layer"}


def spec_of(**changes: Any) -> Backbone:
    return parse(Backbone, {"kind": "bottleneck", **SIZES, **changes}, where="here")


def example(length: int, sees: Visibility | None = None, *, shift: int = 0) -> Example:
    ids, free = np.arange(length) * 7 % 50 + shift, np.ones(length, dtype=bool)
    return Example(ids, ids, free, free, 0 * ids, sees=sees or Full())


def layers(spec: Backbone, *examples: Example) -> list[list[Tensor]]:
    """The states of each example, from the embedded tokens on."""
    batch = Batch.pack(list(examples))
    model = Model(spec, {}, seed=3).double().eval()
    with torch.no_grad():
        found = Step(model, Packed(batch)).layers()
    each = zip(*(batch.unpack(x.numpy()) for x in found), strict=True)
    return [[torch.as_tensor(state) for state in states] for states in each]


@pytest.mark.parametrize("changes", [{}, TINY], ids=["MobileBERT", "tiny"])
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
@settings(max_examples=10)
def test_a_sequence_in_a_batch_equals_itself_alone(changes: dict[str, Any], lengths: list[int]) -> None:
    spec, examples = spec_of(**changes), [example(n, shift=i) for i, n in enumerate(lengths)]
    for together, one in zip(layers(spec, *examples), examples, strict=True):
        for state, alone in zip(together, layers(spec, one)[0], strict=True):
            torch.testing.assert_close(state, alone, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(("trigrams", "reach"), [(True, [3, 4, 5]), (False, [4])])
def test_a_token_is_embedded_with_its_neighbours(trigrams: bool, reach: list[int]) -> None:
    was, other = example(9), example(9)
    other.tokens[4] = 59
    (before, *_), (after, *_) = layers(spec_of(trigrams=trigrams), was, other)
    assert (before - after).abs().amax(1).gt(1e-9).nonzero().flatten().tolist() == reach


def test_what_neighbours_tell_cannot_be_hidden() -> None:
    for sees in (Causal(), Window(2)):
        layers(spec_of(trigrams=False), example(5, sees))
        with pytest.raises(BadInput, match="kind bottleneck: a token is embedded with its neighbours on either side"):
            Step(Model(spec_of(), {}), Packed(Batch.pack([example(5, sees)]))).encode()


def test_every_weight_is_reached() -> None:
    model = Model(spec_of(init_std=0.3), {"mlm": TokenHead(), "pair": SequenceHead(outputs=2, activation="none")})
    asked = [example(n).label("pair", n % 2) for n in (2, 9, 7)]
    step = Step(model, Packed(Batch.pack([e.ask("mlm", e.tokens >= 0, e.tokens) for e in asked])))
    (step.logits("mlm").square().sum() + step.logits("pair").square().sum()).backward()  # type: ignore[no-untyped-call]
    unreached = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert unreached == ["backbone.placed.segments.weight"] or not unreached


def test_published_sizes_have_their_published_number_of_parameters() -> None:
    """25.3 M with a pooler and a head (table 1), but for that head's columns beside the table; 24.6 M without."""
    published: dict[str, Any] = {
        "model_type": "mobilebert", "vocab_size": 30522, "hidden_size": 512, "num_hidden_layers": 24,
        "num_attention_heads": 4, "intermediate_size": 512, "max_position_embeddings": 512,
    }  # fmt: skip
    family, backbone = read_config(published, where=Path("config.json"))
    assert backbone == parse(Backbone, {"kind": "bottleneck"}, where="here")
    heads: dict[str, HeadSpec] = {"mlm": TokenHead(), "pair": SequenceHead(outputs=2)}
    body, whole = (sum(math.prod(row.shape) for row in family.rows(backbone, found)) for found in ({}, heads))
    assert body == 24_581_888
    assert whole - 30522 * (512 - 128) == pytest.approx(25.3e6, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bottleneck": 10}, "here: width 10 is not a multiple of heads 3"),
        ({"feeds": 17}, "here.feeds: Input should be less than or equal to 16"),
        ({"decoder": 2}, "here: decoder: a Transformer with bottlenecks has none; leave it out"),
        ({"position": "rotary"}, "here.position: Input should be 'learned'"),
    ],
)
def test_mistakes_are_one_line_with_their_path(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        spec_of(**changes)
    assert "\n" not in str(caught.value)


def test_another_size_is_the_same_architecture() -> None:
    small = spec_of().resized(depth=1, width=64, heads=4, ffn=32, positions=64, vocab=99)
    assert parse(Backbone, small.model_dump(), where="here") == small
    assert (small.width, small.shared % 4, small.embedding) == (64, 0, 23)
