"""Laws of sinusoids and rotations. Legend: N positions, H heads, D width of a head, L positions of one sequence."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from quire.core.example import Batch, Example
from quire.core.spec import Backbone
from quire.core.visibility import Full
from quire.nn.attention import Attention, Layout
from quire.nn.model import Model, Packed, Step
from quire.nn.positions import Rotation, angles, sinusoids

ROTARY = Backbone(vocab=60, depth=2, width=24, heads=3, ffn=20, positions=64, position="rotary", init_std=0.3)


def drawn(*shape: int, key: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(key))


def states(model: Model, *examples: Example) -> list[Tensor]:
    batch = Batch.pack(examples)
    with torch.no_grad():
        found = Step(model.eval(), Packed(batch)).encode().numpy()
    return [torch.from_numpy(piece.copy()) for piece in batch.unpack(found)]


def example(length: int, positions: list[int] | None = None, *, key: int = 0) -> Example:
    tokens, free = np.random.default_rng(key).integers(60, size=length), np.ones(length, dtype=bool)
    places = None if positions is None else np.array(positions)
    return Example(tokens, tokens, free, free, np.zeros(length, dtype=np.int64), positions=places)


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.sampled_from([2, 4, 10]))
def test_a_turned_product_depends_on_the_distance_alone_and_norms_stay(i: int, j: int, by: int, width: int) -> None:
    q, k = drawn(1, 3, width), drawn(1, 3, width, key=1)

    def turned(x: Tensor, at: int) -> Tensor:
        return Rotation.of(torch.tensor([at]), base=10_000.0, width=width)(x)

    here, there = (
        (turned(q, a) * turned(k, b)).sum(dim=-1, dtype=torch.float64) for a, b in ((i, j), (i + by, j + by))
    )
    torch.testing.assert_close(here, there, atol=2e-3, rtol=0)  # fp32 angles of 1000 are 6e-5 coarse
    torch.testing.assert_close(turned(q, i).norm(dim=-1), q.norm(dim=-1))


def test_position_0_stays_and_far_ones_do_not() -> None:
    q = drawn(2, 3, 8)
    turned = Rotation.of(torch.tensor([0, 1]), base=10_000.0, width=8)(q)
    torch.testing.assert_close(turned[0], q[0])
    assert (turned[1] - q[1]).abs().max() > 0.1


def test_halves_are_paired_as_transformers_pairs_them() -> None:
    theirs = pytest.importorskip("transformers.models.modernbert.modeling_modernbert")
    q, k, places = drawn(7, 3, 10), drawn(7, 3, 10, key=1), torch.tensor([0, 1, 2, 0, 1, 2, 3])
    turn = Rotation.of(places, base=160.0, width=10)
    both = torch.cat([angles(places, base=160.0, width=10)] * 2, dim=-1)[None]
    expected = theirs.apply_rotary_pos_emb(*(x.transpose(0, 1)[None] for x in (q, k)), both.cos(), both.sin())
    for found, oracle in zip((turn(q), turn(k)), expected, strict=True):
        torch.testing.assert_close(found, oracle[0].transpose(0, 1), atol=1e-6, rtol=1e-6)


def test_rotary_positions_come_from_the_batch() -> None:
    """Shifted positions change nothing, reset ones do (XLM's parallel text): only distances count."""
    model = Model(ROTARY, {}, seed=3)
    (plain,), (shifted,) = states(model, example(6)), states(model, example(6, [5, 6, 7, 8, 9, 10]))
    torch.testing.assert_close(plain, shifted, atol=1e-5, rtol=1e-5)
    (reset,) = states(model, example(6, [0, 1, 2, 0, 1, 2]))
    assert (plain - reset).abs().max() > 1e-2


def test_a_packed_rotary_batch_equals_its_sequences_one_by_one() -> None:
    model, examples = Model(ROTARY, {}, seed=3), [example(n, key=n) for n in (5, 2, 5, 1)]
    for together, one in zip(states(model, *examples), examples, strict=True):
        torch.testing.assert_close(together, states(model, one)[0], atol=1e-5, rtol=1e-5)


def test_local_layers_turn_by_their_own_base() -> None:
    spec = ROTARY.model_copy(update={"window": 9, "global_every": 2})
    plain, far = (spec.model_copy(update={"rotary_base_local": base}) for base in (None, 50.0))
    seen = []
    for one in (spec, plain, far):
        packed = Packed(Batch.pack([example(6)]))
        Step(Model(one, {}), packed).encode()
        seen.append({base for base, _ in packed.layout._rotations})
    assert seen == [{10_000.0}, {10_000.0}, {10_000.0, 50.0}]
    (a,), (b,) = (states(Model(one, {}, seed=3), example(6)) for one in (plain, far))
    assert (a - b).abs().max() > 1e-3


def test_a_rotation_is_made_once_for_all_layers_and_the_window_shares_it() -> None:
    layout = Layout.of([5, 3], [Full(), Full()])
    assert layout.positions.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert layout.rotation(base=10.0, width=4) is layout.within(2).rotation(base=10.0, width=4)
    assert layout.rotation(base=11.0, width=4) is not layout.rotation(base=10.0, width=4)


def test_rotary_keeps_the_type_of_a_bf16_model() -> None:
    attention = Attention(ROTARY).bfloat16()
    assert attention(drawn(4, 24).bfloat16(), Layout.of([4], [Full()])).dtype == torch.bfloat16


def test_sinusoids_are_the_formula() -> None:
    table = sinusoids(torch.tensor([3, 0, 7, 3]), width=6)
    for row, place in enumerate((3, 0, 7, 3)):
        for i in range(3):
            angle = place / 10_000 ** (2 * i / 6)
            assert float(table[row, 2 * i]) == pytest.approx(np.sin(angle), abs=1e-6)
            assert float(table[row, 2 * i + 1]) == pytest.approx(np.cos(angle), abs=1e-6)
    assert sinusoids(torch.arange(4), width=5).shape == (4, 5)


@given(st.integers(0, 60), st.integers(0, 60))
def test_a_step_is_a_fixed_rotation_of_every_sinusoid(start: int, step: int) -> None:
    """PE(p + k) = R(k) PE(p), whatever p is."""
    turn = angles(torch.tensor(step), base=10_000.0, width=8)
    here, there = sinusoids(torch.tensor([start, start + step]), width=8).view(2, 4, 2)
    sine = here[:, 0] * turn.cos() + here[:, 1] * turn.sin()
    cosine = here[:, 1] * turn.cos() - here[:, 0] * turn.sin()
    torch.testing.assert_close(torch.stack((sine, cosine), dim=1), there, atol=1e-5, rtol=0)


@pytest.mark.parametrize("position", ["sinusoidal", "rotary", "none"])
def test_positions_without_parameters_have_none(position: str) -> None:
    spec = Backbone.model_validate({**ROTARY.model_dump(), "position": position})
    assert not [name for name in Model(spec, {}).state_dict() if "position" in name]


@given(st.permutations(range(6)))
def test_without_positions_the_encoder_is_equivariant_to_permutations(order: list[int]) -> None:
    model, one = Model(ROTARY.model_copy(update={"position": "none"}), {}, seed=3), example(6)
    mixed = dataclasses.replace(one, tokens=one.tokens[order])
    torch.testing.assert_close(states(model, mixed)[0], states(model, one)[0][order], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("position", ["learned", "sinusoidal", "rotary"])
def test_with_positions_order_matters(position: str) -> None:
    spec = Backbone.model_validate({**ROTARY.model_dump(), "position": position})
    model, one = Model(spec, {}, seed=3), example(6)
    mixed = dataclasses.replace(one, tokens=one.tokens[::-1].copy())
    assert (states(model, mixed)[0] - states(model, one)[0].flip(0)).abs().max() > 1e-2
