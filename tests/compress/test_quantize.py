"""Dynamic int8: one scale a row, so that one large row costs the others nothing.

Legend: M rows of states, V vocabulary, E width, O outputs, I inputs.
"""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from quire.compress.quantize import DynamicInt8, Int8Embedding, Int8Linear, Int8Plan, quantise_rows
from quire.core.example import Example
from quire.core.heads import TokenHead
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.core.visibility import Causal, Full
from quire.nn.model import Model
from quire.nn.stepwise import Stepwise


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
    small = Int8Embedding(table.weight, reduce_range=True)
    indices = torch.tensor([[3, 0], [8, 3]])
    assert torch.equal(small(indices), small.weight[indices])
    step = table.weight.detach().abs().amax(dim=1, keepdim=True) / 127
    assert ((small.weight - table.weight).abs() <= step / 2 * 1.001).all()


def test_all_linears_of_the_body_and_the_token_table_are_named(tiny: Backbone) -> None:
    plan = DynamicInt8().plan(Model(tiny, {}))
    assert len(plan.linears) == 4 * tiny.depth
    assert not plan.matrices
    assert plan.tables == ("backbone.embeddings.tokens",)
    small = DynamicInt8().apply(Model(tiny, {}), plan)
    assert not any(isinstance(m, nn.Linear) for m in small.backbone.modules())
    assert small.get_buffer("backbone.blocks.1.ffn.up.weight").dtype == torch.int8


@pytest.mark.parametrize("reduce_range", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 9])
def test_scores_against_a_table_are_fp32_within_what_rounding_can_do(rows: int, reduce_range: bool) -> None:
    weight_VE, x_ME = drawn(70, 48) * torch.logspace(-3, 3, 70)[:, None], drawn(rows, 48, key=1)
    table = Int8Embedding(weight_VE, reduce_range=reduce_range)
    error = (table.scores(x_ME) - x_ME @ weight_VE.T).abs()
    assert (error <= bound(x_ME, weight_VE, reduce_range=reduce_range) + 1e-5).all()
    other = Int8Embedding(weight_VE.flip(0), reduce_range=reduce_range)
    other.scores(x_ME)  # packed by now
    other.load_state_dict(table.state_dict())
    assert torch.equal(other.scores(x_ME), table.scores(x_ME))
    assert torch.equal(copy.deepcopy(table).scores(x_ME), table.scores(x_ME))


WRITERS: dict[str, tuple[dict[str, object], TokenHead]] = {
    "GPT-2": ({"norm_first": True, "embedding_norm": False}, TokenHead(transform=False, bias=False)),
    "a matrix of its own": ({}, TokenHead(tied=False)),
    "narrow": ({"embedding": 24}, TokenHead(transform=False, project=True)),
    "BART": ({"decoder": 2}, TokenHead(of="decoder", transform=False)),
}


@pytest.fixture(params=WRITERS)
def writer(request: pytest.FixtureRequest) -> Model:
    changes, head = WRITERS[request.param]
    size = {"vocab": 300, "depth": 2, "width": 64, "heads": 4, "ffn": 96, "positions": 64, "init_std": 0.15}
    return Model(Backbone.model_validate({**size, **changes}), {"lm": head}, seed=1).eval()


def told(model: Model) -> Tensor:
    """log p [M, V] behind 40 texts of unequal length, two tokens of each told one by one."""
    made = []
    for number in range(40):
        ids, ahead = (rng("int8", number, n).integers(5, 300, size=n) for n in (5 + number % 3, 3))
        begun = [Example(i, i, i > 0, i > 0, np.zeros_like(i), sees=Causal()) for i in (ids, ahead)]
        made.append(replace(begun[0], sees=Full(), target=begun[1]) if model.spec.decoder else begun[0])
    steps = Stepwise(model, made, head="lm")
    with torch.inference_mode():
        return torch.cat([steps.start(), *(steps.next(torch.arange(40) + 7 * t) for t in (1, 2))])


def test_what_writes_tells_about_the_same(writer: Model) -> None:
    small = DynamicInt8().apply(writer, DynamicInt8().plan(writer))
    full_MV, found_MV = told(writer), told(small)
    assert float((found_MV - full_MV).abs().max()) > 0
    assert float((found_MV - full_MV).abs().mean()) < 0.05 * float(full_MV.std())
    best_M2 = full_MV.topk(2).values
    clear_M = best_M2[:, 0] - best_M2[:, 1] > 0.1 * full_MV.std()  # else chance decides
    assert int(clear_M.sum()) > 60
    assert (found_MV.argmax(dim=1) == full_MV.argmax(dim=1))[clear_M].float().mean() > 0.97


def test_what_writes_never_unpacks_a_table(writer: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = DynamicInt8().plan(writer)
    assert bool(plan.matrices) == (not writer.head_specs["lm"].tied)  # type: ignore[union-attr]
    small = DynamicInt8().apply(writer, plan)
    assert all(tensor.ndim < 2 or len(tensor) < 300 for tensor in small.parameters()), "fp32 of the vocabulary's size"
    monkeypatch.setattr(Int8Embedding, "weight", None)
    told(small)
    twin = DynamicInt8().apply(Model(writer.spec, writer.head_specs, seed=2), plan)
    twin.load_state_dict(small.state_dict())
    assert torch.equal(told(twin), told(small))


def test_a_plan_of_before_heads_were_in_it_is_read() -> None:
    old = {"linears": ["backbone.blocks.0.ffn.up"], "tables": [], "reduce_range": True}
    assert Int8Plan.model_validate(old).matrices == ()
