"""Dynamic int8: one scale a row, so that one large row costs the others nothing. Legend: O outputs, I inputs."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from quire.compress.quantize import DynamicInt8, Int8Embedding, Int8Linear, quantise_rows
from quire.core.spec import Backbone
from quire.nn.model import Model


def drawn(*shape: int, key: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(key))


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 99))
def test_rows_are_rounded_to_nearest_on_scales_of_their_own(rows: int, columns: int, key: int) -> None:
    weight_OI = drawn(rows, columns, key=key) * torch.logspace(-3, 3, rows)[:, None]
    q, scale = quantise_rows(weight_OI)
    assert q.dtype == torch.int8
    assert int(q.abs().max()) == 127
    assert (q.abs().amax(dim=1) == 127).all()  # each row uses its whole range
    error = (q * scale[:, None] - weight_OI).abs()
    assert (error <= scale[:, None] / 2 * 1.001).all()


def test_a_row_of_zeros_stays_zero() -> None:
    q, scale = quantise_rows(torch.tensor([[0.0, 0.0], [1.0, -1.0]]))
    assert q.tolist() == [[0, 0], [127, -127]]
    assert scale[0] == 1


def bound(x: Tensor, weight_OI: Tensor, *, reduce_range: bool) -> Tensor:
    """The most that rounding can do: half a step of each weight of the row, half a step of each input."""
    levels = 127 if reduce_range else 255
    step = (x.amax().clamp(min=0) - x.amin().clamp(max=0)) / levels
    row = weight_OI.abs().amax(dim=1) / 127
    inputs = x.abs().sum(dim=-1, keepdim=True) + step * weight_OI.shape[1]
    return inputs * row / 2 + step * (weight_OI.abs().sum(dim=1) + row * weight_OI.shape[1])


@pytest.mark.parametrize("reduce_range", [True, False])
def test_int8_is_fp32_within_what_rounding_can_do_beside_an_outlier(reduce_range: bool) -> None:
    linear = nn.Linear(48, 16)
    with torch.no_grad():
        linear.weight.copy_(drawn(16, 48) * 0.02)
        linear.weight[3] *= 5000  # one scale for all would round every other row to 0
        linear.bias.copy_(drawn(16, key=1))
        x = drawn(40, 48, key=2)
        exact, found = linear(x), Int8Linear(linear, reduce_range=reduce_range)(x)
    error = (found - exact).abs()
    assert (error <= bound(x, linear.weight.detach(), reduce_range=reduce_range) + 1e-5).all()
    small = [i for i in range(16) if i != 3]
    relative = error[:, small].norm() / (exact - linear.bias)[:, small].norm()
    assert relative < 0.03, "a scale for the whole matrix has a relative error of about 1 here"


@pytest.mark.parametrize("bias", [True, False])
def test_a_copied_and_a_loaded_layer_answer_the_same(bias: bool) -> None:
    one, x = Int8Linear(nn.Linear(8, 4, bias=bias), reduce_range=True), drawn(3, 8)
    expected = one(x)
    assert torch.equal(copy.deepcopy(one)(x), expected)
    other = Int8Linear(nn.Linear(8, 4, bias=bias), reduce_range=True)
    assert not torch.equal(other(x), expected)  # packed by now
    other.load_state_dict(one.state_dict())
    assert torch.equal(other(x), expected)


def test_a_table_is_looked_up_and_tied_alike() -> None:
    table = nn.Embedding(9, 6)
    small = Int8Embedding(table)
    indices = torch.tensor([[3, 0], [8, 3]])
    assert torch.equal(small(indices), small.weight[indices])
    step = table.weight.detach().abs().amax(dim=1, keepdim=True) / 127
    assert ((small.weight - table.weight).abs() <= step / 2 * 1.001).all()


def test_all_linears_of_the_body_and_the_token_table_are_named(tiny: Backbone) -> None:
    plan = DynamicInt8().plan(Model(tiny, {}))
    assert len(plan.linears) == 4 * tiny.depth
    assert plan.tables == ("backbone.embeddings.tokens",)
    small = DynamicInt8().apply(Model(tiny, {}), plan)
    assert not any(isinstance(m, nn.Linear) for m in small.backbone.modules())
    assert small.get_buffer("backbone.blocks.1.ffn.up.weight").dtype == torch.int8
