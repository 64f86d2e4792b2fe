"""The padded forms say what packed batches say. Legend: B sequences, L the longest, N tokens of all, W width."""

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Batch, Example
from quire.core.heads import PrivateHead, SequenceHead
from quire.core.random import rng
from quire.core.spec import Backbone, Pool
from quire.nn.attention import Layout
from quire.nn.buckets import DistanceBias
from quire.nn.model import Model, Packed, Step
from quire.nn.padded import PaddedModel
from quire.train.evaluate import pooled

BODIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"segments": 0, "norm_eps": 1e-5},
    "mpnet": {"segments": 0, "position": "learned_bucketed", "furthest": 20},
    "albert": {"groups": 1, "embedding": 10},
    "albert, sinusoids": {"groups": 1, "embedding": 10, "position": "sinusoidal", "languages": 2, "segments": 0},
    "modern": {"position": "rotary", "gated": True, "bias": False, "norm_first": True, "window": 2}
    | {"global_every": 2, "rotary_base_local": 100.0, "segments": 0},
    "xlnet": {"position": "relative", "embedding_norm": False},
    "xlm": {"position": "sinusoidal", "languages": 3, "segments": 0},
    "mobile": {"kind": "bottleneck", "bottleneck": 12, "embedding": 8} | {"position": "sinusoidal", "init_std": 0.1},
    "bilinear": {"score": "bilinear", "position": "bucketed", "window": 3},
    "additive": {"score": "additive", "norm": "rms"},
    "prefix": {"prefix": 3, "window": 3, "global_every": 2},
    "prompt": {"prompt": 2, "position": "rotary", "segments": 0},
}
HEADS = {
    f"{pool}, {mix}": SequenceHead(outputs=3, pool=pool, mix=mix)
    for pool, mix in [*((pool, "none") for pool in get_args(Pool)), ("first", "plain")]
}


def model(body: str, head: SequenceHead | None = None, *, depth: int = 3) -> Model:
    sizes = {"vocab": 60, "depth": depth, "width": 24, "heads": 3, "ffn": 20, "positions": 14, "init_std": 0.3}
    spec = Backbone.model_validate({**sizes, **BODIES[body]})
    return Model(spec, {} if head is None else {"classify": head}, seed=5).eval()


def drawn(lengths: list[int], key: int, segments: int = 2) -> Batch:
    draw, examples = rng("padded", key), []
    for length in lengths:
        tokens, free = draw.integers(60, size=length), np.ones(length, dtype=bool)
        examples.append(Example(tokens, tokens, free, free, draw.integers(segments, size=length)))
    return Batch.pack(examples)


def inputs(batch: Batch, names: tuple[str, ...], *, wider: int = 0) -> dict[str, Tensor]:
    """In the packed order; `wider` by so much than the longest; what stands in the padding must not matter."""
    real = np.arange(batch.lengths.max() + wider) < batch.lengths[:, None]
    found = {"attention_mask": real.astype(np.int64)}
    for name, values in (("input_ids", batch.tokens), ("token_type_ids", batch.segments)):
        found[name] = np.ones(real.shape, dtype=np.int64)
        found[name][real] = values
    return {name: torch.from_numpy(found[name]) for name in names}


@pytest.mark.parametrize("body", BODIES)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=6), key=st.integers(0, 9), wider=st.integers(0, 2))
@settings(max_examples=12)
def test_states_are_those_of_packed_batches(body: str, lengths: list[int], key: int, wider: int) -> None:
    whole = model(body)
    padded = PaddedModel(whole)
    batch = drawn(lengths, key, segments=2 if "token_type_ids" in padded.inputs else 1)
    asked = inputs(batch, padded.inputs, wider=wider)
    with torch.no_grad():
        states, means = padded(**asked)
        step = Step(whole, Packed(batch))
        torch.testing.assert_close(states[asked["attention_mask"] > 0], step.encode(), atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(means[np.argsort(batch.order)], pooled(step), atol=2e-5, rtol=1e-4)
    assert states.isfinite().all(), "padding that nobody sees must stay a number: its keys are multiplied by 0"


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("body", ["bert", "modern", "xlnet"])
def test_scores_are_those_of_packed_batches(body: str, head: str) -> None:
    whole, batch = model(body, HEADS[head]), drawn([5, 1, 12, 7], 1, segments=1)
    padded = PaddedModel(whole, head="classify")
    with torch.no_grad():
        (scores,) = padded(**inputs(batch, padded.inputs, wider=1))
        expected = Step(whole, Packed(batch)).scores("classify", Packed(batch).first)
    torch.testing.assert_close(scores, expected, atol=2e-5, rtol=1e-4)
    assert padded.outputs == ("logits",)


def test_segments_are_asked_for_where_they_mean_something() -> None:
    asks = {body for body in BODIES if "token_type_ids" in PaddedModel(model(body)).inputs}
    assert asks == {"bert", "prefix", "albert", "xlnet", "mobile", "bilinear", "additive"}


REFUSED: Mapping[str, tuple[dict[str, Any], Any, str]] = {
    "lstm": ({"kind": "lstm", "segments": 0}, None, "an LSTM has no ONNX form"),
    "decoder": ({"decoder": 1, "heads": 3, "ffn": 8}, None, "a decoder has no ONNX form"),
    "private": ({"heads": 3, "ffn": 8}, PrivateHead(outputs=2, width=4), "without `private`"),
    "windows": ({"heads": 3, "ffn": 8}, SequenceHead(outputs=2, windows="transformer"), "a layer over windows has no"),
    "norm": ({"heads": 3, "ffn": 8}, SequenceHead(outputs=2, mix="norm"), "take mix: plain"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_padded_form_is_one_line(name: str) -> None:
    spec, head, why = REFUSED[name]
    sizes = {"vocab": 60, "depth": 2, "width": 12, "positions": 8}
    whole = Model(Backbone.model_validate({**sizes, **spec}), {"classify": head} if head else {})
    with pytest.raises(BadInput, match=why) as caught:
        PaddedModel(whole, head="classify" if head else None)
    assert "\n" not in str(caught.value)


def test_the_model_stays_as_it_is() -> None:
    whole = model("xlm")
    PaddedModel(whole)
    assert whole.backbone.embeddings.positions is None


def test_bias_of_short_runs_is_a_corner_of_that_of_the_longest() -> None:
    distances = model("mpnet").get_submodule("backbone.distances")
    assert isinstance(distances, DistanceBias)
    layouts = [Layout.of([n], drawn([n], 0).sees) for n in (3, 9)]
    short, long = (distances.biased(layout).runs[0].given for layout in layouts)
    both = distances.biased(Layout.of([3, 9], drawn([3, 9], 0).sees)).runs
    for run, alone in zip(both, (short, long), strict=True):
        assert run.given is not None
        assert alone is not None
        assert torch.equal(run.given, alone)
