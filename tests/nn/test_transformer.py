"""The parts of a block and how an encoder strings them. Legend: N positions, W width, F inner width, L one sequence."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.example import Batch, Example
from quire.core.spec import Backbone
from quire.core.visibility import Backward, Causal, Full, Prefix
from quire.nn.activations import activate
from quire.nn.attention import Layout
from quire.nn.embeddings import Embeddings
from quire.nn.model import Model, Packed, Step
from quire.nn.norms import norm
from quire.nn.positions import sinusoids
from quire.nn.transformer import Block, Encoder, FeedForward

TINY: dict[str, Any] = {
    "vocab": 60, "depth": 2, "width": 24, "heads": 3, "ffn": 20, "positions": 64,
    "dropout": 0.0, "attention_dropout": 0.0, "init_std": 0.3,
}  # fmt: skip
MODERN: dict[str, Any] = {
    "position": "rotary", "gated": True, "bias": False, "norm_first": True, "segments": 0,
    "window": 2, "global_every": 2, "rotary_base_local": 100.0,
}  # fmt: skip
BODIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "modern": MODERN,
    "rms": {"position": "rotary", "gated": True, "activation": "silu", "norm": "rms", "norm_first": True, "window": 1},
    "albert": {"groups": 1, "embedding": 10, "activation": "gelu_tanh"},
    "vaswani": {"position": "sinusoidal", "scale_embedding": True, "activation": "relu", "segments": 0},
    "additive": {"score": "additive", "position": "none"},
    "bilinear": {"score": "bilinear", "position": "rotary"},
    "dot": {"score": "dot", "languages": 3},
}


def build(**fields: Any) -> Backbone:
    return Backbone.model_validate({**TINY, **fields})


def drawn(*shape: int, key: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(key))


def batch(*lengths: int) -> Packed:
    draw, rules = np.random.default_rng(0), [Full(), Causal(), Backward(), Prefix(2)]

    def example(i: int, length: int) -> Example:
        tokens, free = draw.integers(60, size=length), np.ones(length, dtype=bool)
        return Example(tokens, tokens, free, free, tokens % 2, sees=rules[i % 4], languages=tokens % 3)

    return Packed(Batch.pack([example(i, length) for i, length in enumerate(lengths)]))


def encode(model: Model, packed: Packed) -> Tensor:
    with torch.no_grad():
        return Step(model.eval(), packed).encode()


@pytest.mark.parametrize("body", BODIES)
def test_every_body_is_the_same_packed_and_alone_and_asked_for_a_part(body: str) -> None:
    """Visibilities are mixed within the batch; 120 tokens take the blocks of a window."""
    model, packed = Model(build(**{**BODIES[body], "positions": 128}), {}, seed=3), batch(7, 3, 7, 7, 120, 1)
    whole = encode(model, packed)
    assert whole.isfinite().all()
    for start, length, rule in zip(packed.first, packed.lengths, _rules(packed), strict=True):
        here = slice(int(start), int(start + length))
        alone = model.backbone(model.embed(packed)[here], Layout.of([int(length)], [rule]))
        torch.testing.assert_close(alone, whole[here], atol=2e-5, rtol=1e-4)
    with torch.no_grad():
        part = Step(model, packed).states(packed.first)
    torch.testing.assert_close(part, whole[packed.first], atol=2e-5, rtol=1e-4)


def _rules(packed: Packed) -> list[Any]:
    return [run.sees for run in packed.layout.runs for _ in range(run.sequences)]


@pytest.mark.parametrize("body", BODIES)
def test_every_body_begins_with_gains_of_1_biases_of_0_and_the_rest_drawn(body: str) -> None:
    for name, parameter in Model(build(**BODIES[body], init_std=0.05), {}, seed=1).state_dict().items():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            assert abs(float(parameter.std()) / 0.05 - 1) < 5 / (2 * parameter.numel()) ** 0.5, name


@pytest.mark.parametrize("body", BODIES)
def test_every_parameter_learns(body: str) -> None:
    model = Model(build(**BODIES[body]), {}, seed=3)
    states = Step(model, batch(7, 5, 9)).encode()
    (states * drawn(*states.shape)).sum().backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-6, name


def test_shared_layers_are_one_whatever_the_depth() -> None:
    counts = {depth: Model(build(depth=depth, groups=1), {}).parameter_count() for depth in (1, 2, 12)}
    assert len(set(counts.values())) == 1
    encoder = Encoder(build(depth=6, groups=2))
    first, second = encoder.blocks
    assert [encoder.block(i) for i in range(6)] == [first] * 3 + [second] * 3
    assert Model(build(depth=6, groups=6), {}).parameter_count() == Model(build(depth=6), {}).parameter_count()


def test_gradients_of_shared_layers_sum_over_depth() -> None:
    shared, apart, packed = Model(build(groups=1, depth=3), {}), Model(build(depth=3), {}), batch(5, 3)
    apart.load_state_dict(
        {
            name: shared.state_dict()[".".join(["0" if part in "012" else part for part in name.split(".")])]
            for name in apart.state_dict()
        }
    )
    for model in (shared, apart):
        states = Step(model, packed).encode()
        (states * drawn(*states.shape)).sum().backward()  # type: ignore[no-untyped-call]
    grads = dict(apart.named_parameters())
    for name, parameter in shared.get_submodule("backbone.blocks.0").named_parameters():
        each = [grads[f"backbone.blocks.{k}.{name}"].grad for k in range(3)]
        total = torch.stack([g for g in each if g is not None]).sum(dim=0)
        torch.testing.assert_close(parameter.grad, total, atol=1e-5, rtol=1e-4)


def test_factorised_embeddings_are_narrow_tables_and_a_projection() -> None:
    names = {name: tuple(t.shape) for name, t in Model(build(embedding=5), {}).state_dict().items()}
    assert names["backbone.embeddings.tokens.weight"] == (60, 5)
    assert names["backbone.embeddings.norm.weight"] == (5,)
    assert names["backbone.project.weight"] == (24, 5)
    assert not any("project" in name for name in Model(build(embedding=24), {}).state_dict())


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("gelu", lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2),
        ("gelu_tanh", lambda x: x / 2 * (1 + torch.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3)))),
        ("relu", lambda x: x.clamp(min=0)),
        ("silu", lambda x: x / (1 + torch.exp(-x))),
    ],
)
def test_activations_and_their_gates_are_the_formulas(name: str, formula: Any) -> None:
    x_NF = drawn(50, 24) * 3
    torch.testing.assert_close(activate(name, x_NF), formula(x_NF), atol=1e-6, rtol=1e-5)
    for bias in (True, False):
        layer = FeedForward(build(activation=name, gated=True, bias=bias))
        gate, up = layer.up.weight.chunk(2)  # two matrices, as Shazeer 2020 writes it
        gate_bias, up_bias = layer.up.bias.chunk(2) if bias else (0, 0)
        expected = layer.down(formula(x_NF @ gate.T + gate_bias) * (x_NF @ up.T + up_bias))
        torch.testing.assert_close(layer(x_NF), expected, atol=1e-6, rtol=1e-5)


def test_norms_are_the_formulas() -> None:
    x_NW, gain, shift = drawn(7, 24) * 3 + 1, drawn(24, key=1), drawn(24, key=2)
    layer, plain, rms = (norm(build(norm_eps=1e-3, **f), 24) for f in ({}, {"bias": False}, {"norm": "rms"}))
    layer.load_state_dict({"weight": gain, "bias": shift})
    for module in (plain, rms):
        module.load_state_dict({"weight": gain})
    centred = x_NW - x_NW.mean(dim=1, keepdim=True)
    whitened = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-3).sqrt()
    torch.testing.assert_close(layer(x_NW), whitened * gain + shift)
    torch.testing.assert_close(plain(x_NW), whitened * gain)
    torch.testing.assert_close(rms(x_NW), x_NW / (x_NW.square().mean(dim=1, keepdim=True) + 1e-3).sqrt() * gain)


def test_norms_stand_after_the_sums_or_before_the_layers() -> None:
    x_NW, layout = drawn(5, 24), Layout.of([5], [Full()])
    for first in (False, True):
        block = Block(build(norm_first=first, embedding_norm=False))
        for i, parameter in enumerate(block.parameters()):
            nn.init.constant_(parameter, 0.5) if parameter.ndim == 1 else parameter.data.copy_(
                drawn(*parameter.shape, key=i) / 4
            )
        attend, ffn, one, two = block.attention, block.ffn, block.attention_norm, block.ffn_norm
        if first:
            middle = x_NW + attend(one(x_NW), layout)
            expected = middle + ffn(two(middle))
        else:
            middle = one(x_NW + attend(x_NW, layout))
            expected = two(middle + ffn(middle))
        torch.testing.assert_close(block(x_NW, layout), expected)


@pytest.mark.parametrize(
    ("fields", "left_out"),
    [
        ({"norm_first": True}, True),  # ModernBERT: the embeddings have just been normed
        ({"norm_first": True, "embedding_norm": False}, False),  # NeoBERT
        ({"norm_first": True, "groups": 1}, False),  # the block serves later layers too
        ({"norm_first": True, "embedding": 8}, False),  # a projection stands between
        ({}, False),
    ],
)
def test_the_first_norm_is_left_out_only_right_after_another(fields: dict[str, Any], left_out: bool) -> None:
    names = Model(build(**fields), {}).state_dict()
    assert ("backbone.blocks.0.attention_norm.weight" not in names) == left_out
    assert "groups" in fields or "backbone.blocks.1.attention_norm.weight" in names
    assert ("backbone.norm.weight" in names) == fields.get("norm_first", False)
    assert ("backbone.embeddings.norm.weight" in names) == fields.get("embedding_norm", True)


def test_a_pre_norm_body_ends_in_its_norm() -> None:
    model, packed = Model(build(norm_first=True, norm="rms"), {}, seed=3), batch(5, 9)
    states = encode(model, packed)
    torch.testing.assert_close(states.square().mean(dim=1), torch.ones(14), atol=1e-4, rtol=0)


def test_no_bias_is_none_in_the_body() -> None:
    assert not [name for name in Model(build(**MODERN), {}).state_dict() if name.endswith("bias")]


@pytest.mark.parametrize(
    ("fields", "reach"),
    [
        ({"depth": 2, "window": 2}, 4),  # local twice
        ({"depth": 1, "window": 2}, 2),
        ({"depth": 2, "window": 2, "global_every": 2}, 30),  # global, then local
        ({"depth": 1, "window": 2, "global_every": 3}, 30),
        ({"depth": 2}, 30),
    ],
)
def test_what_a_token_reaches_through_windows(fields: dict[str, Any], reach: int) -> None:
    model, length, place = Model(build(**fields), {}, seed=3), 30, 15
    packed = batch(length)
    other = packed.tokens.clone()
    other[place] = (other[place] + 7) % 60
    moved = (encode(model, packed) - encode(model, packed.showing(other))).abs().amax(dim=1) > 1e-5
    assert moved.tolist() == [abs(i - place) <= reach for i in range(length)]


def test_a_rule_for_local_layers_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="global_every: give `window` too"):
        build(global_every=3)
    with pytest.raises(ValueError, match="rotary positions turn products"):
        build(position="rotary", score="additive")


def test_tokens_are_scaled_only_where_asked() -> None:
    places = torch.tensor([0, 3, 1])
    for scale in (1.0, 24**0.5):
        spec = build(position="sinusoidal", segments=0, embedding_norm=False, scale_embedding=scale != 1)
        layer = Embeddings(spec)
        expected = layer.tokens(places) * scale + sinusoids(places, width=24)
        torch.testing.assert_close(layer(places, places, places, None), expected)


def test_dropout_of_0_is_not_drawn_and_copies_nothing() -> None:
    x_NW = drawn(5, 24)
    assert nn.Dropout(0.0).train()(x_NW).data_ptr() == F.dropout(x_NW, 0.0).data_ptr() == x_NW.data_ptr()
    model, packed = Model(build(), {}).train(), batch(5, 3)
    before = torch.random.get_rng_state()
    first = Step(model, packed).encode()
    assert torch.equal(first, Step(model, packed).encode())
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("body", BODIES)
def test_every_body_runs_in_bf16_and_stays_near(body: str) -> None:
    """As the loop trains on CUDA: autocast, where turned queries and masks meet values of another type."""
    model, packed = Model(build(**{**BODIES[body], "positions": 128}), {}, seed=3), batch(7, 120, 7)
    exact = encode(model, packed)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = Step(model, packed).encode()
    near.float().sum().backward()  # type: ignore[no-untyped-call]
    assert torch.corrcoef(torch.stack([near.float().flatten(), exact.flatten()]))[0, 1] > 0.99
