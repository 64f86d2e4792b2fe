"""ELMo's mix of layers: laws, a hand calculation, and AllenNLP's formula for the normed one."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from quire.core.config import parse
from quire.core.example import Batch, Example, Passage, Vocab
from quire.core.heads import SequenceHead
from quire.core.spec import Backbone
from quire.nn.mix import Mix
from quire.nn.model import Model, Packed, Step

LAYERS = list(torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)))
KINDS: list[dict[str, Any]] = [
    {"depth": 2, "heads": 2, "ffn": 9, "norm_first": True, "embedding": 6},
    {"kind": "star", "depth": 3, "heads": 2},
    {"kind": "bottleneck", "depth": 2, "heads": 2, "bottleneck": 2, "embedding": 3},
    {"kind": "lstm", "directions": "apart", "embedding": 4},
    {"kind": "cnn", "depth": 2},
    {"kind": "tree"},
    {"kind": "bag"},
]


def mixed(weights: list[float], scale: float = 1.0, *, norm: bool = False) -> Tensor:
    mix = Mix(3, norm=norm)
    with torch.no_grad():
        mix.weights.copy_(torch.tensor(weights))
        mix.gamma.fill_(scale)
        found: Tensor = mix(LAYERS)
    return found


def test_weights_of_zero_are_the_mean_and_a_large_one_picks_its_layer() -> None:
    torch.testing.assert_close(mixed([0, 0, 0]), torch.stack(LAYERS).mean(0))
    torch.testing.assert_close(mixed([0, 0, 90]), LAYERS[2])


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=3), st.floats(-3, 3), st.floats(-9, 9))
def test_it_is_linear_in_the_scale_and_blind_to_a_constant(weights: list[float], scale: float, constant: float) -> None:
    one = mixed(weights)
    torch.testing.assert_close(mixed(weights, scale), scale * one, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mixed([w + constant for w in weights]), one, atol=1e-5, rtol=1e-5)


def test_by_hand() -> None:
    shares = np.exp([0.5, -1.0, 2.0]) / np.exp([0.5, -1.0, 2.0]).sum()
    expected = 1.5 * sum(share * layer.numpy() for share, layer in zip(shares, LAYERS, strict=True))
    np.testing.assert_allclose(mixed([0.5, -1.0, 2.0], 1.5), expected, atol=1e-6)


def test_the_norm_is_one_over_the_whole_batch() -> None:
    """As in AllenNLP's ScalarMix, not a layer norm for each token."""
    normed = [(x - x.mean()) / torch.sqrt(((x - x.mean()) ** 2).sum() / x.numel() + 1e-12) for x in LAYERS]
    torch.testing.assert_close(mixed([0, 0, 0], norm=True), torch.stack(normed).mean(0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("data", KINDS, ids=[str(data.get("kind")) for data in KINDS])
def test_a_head_may_stand_on_a_mix_of_any_body(data: dict[str, Any], vocab: Vocab) -> None:
    sizes = {"vocab": 60, "width": 8, "positions": 20, "dropout": 0, "init_std": 0.5}
    spec = parse(Backbone, {**sizes, **data}, where="x")
    plain = SequenceHead(outputs=3, pool="mean")
    model = Model(spec, {"plain": plain, "mixed": plain.model_copy(update={"mix": "plain"})}, seed=2)
    model.eval()
    head: Any = model.heads["mixed"]
    bare: Any = model.heads["plain"]
    head.load_state_dict({**head.state_dict(), **bare.state_dict()})
    made = [Example.of(vocab, Passage(np.arange(5, 5 + n), np.ones(n, dtype=bool))) for n in (4, 2)]
    step = Step(model, Packed(Batch.pack([e.label("mixed", 0).label("plain", 1) for e in made])))
    with torch.no_grad():
        assert len(step.layers()) == spec.layers
        torch.testing.assert_close(step.layers()[-1], Step(model, step.batch).encode(), atol=1e-6, rtol=1e-6)
        head.mix.weights[-1] = 90.0
        torch.testing.assert_close(step.logits("mixed"), step.logits("plain"), atol=1e-5, rtol=1e-5)
        head.mix.weights.zero_()
        mean = torch.stack(step.layers()).mean(0)
        pooled = torch.stack([part.mean(0) for part in torch.split(mean, step.batch.lengths.tolist())])
        expected = bare(pooled, step.table)
        torch.testing.assert_close(step.logits("mixed"), expected, atol=1e-5, rtol=1e-5)
