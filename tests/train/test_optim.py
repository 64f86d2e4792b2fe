"""Schedules are continuous and at most 1; every parameter learns with its own rate and decay."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from quire import recipe
from quire.train.optim import Optimizer, TrainPlan, factor
from quire.train.rows import by_rows
from quire.tuning.base import Group

SCHEDULES = ["linear", "slanted", "cosine", "wsd", "inverse_sqrt", "constant"]
PLANS = st.builds(
    TrainPlan,
    steps=st.integers(1, 300),
    warmup=st.none() | st.integers(0, 300),
    schedule=st.sampled_from(SCHEDULES),
    decay_share=st.floats(0, 1),
)


@given(PLANS)
def test_the_factor_stays_within_0_and_1_and_warms_up_in_equal_steps(plan: TrainPlan) -> None:
    at, warm = factor(plan), plan.warmup_steps
    values = [at(t) for t in range(plan.steps + 1)]
    assert all(0 <= value <= 1 for value in values)
    assert values[0] > 0
    for t in range(min(warm, plan.steps)):
        assert values[t] == pytest.approx((t + 1) / (warm + 1))
    assert all(b <= a + 1e-12 for a, b in zip(values[warm:], values[warm + 1 :], strict=False))


@given(st.sampled_from(SCHEDULES), st.integers(0, 2000), st.floats(0.01, 1))
def test_the_factor_is_continuous_where_pieces_join(schedule: str, warmup: int, share: float) -> None:
    """10,000 steps: one step changes the factor by no more than a small multiple of 1 / (shortest piece)."""
    plan = TrainPlan.model_validate({"steps": 10_000, "warmup": warmup, "schedule": schedule, "decay_share": share})
    at = factor(plan)
    falling = round(10_000 - share * (10_000 - warmup))
    for join in (warmup, falling):
        for t in range(max(join - 2, 1, warmup), min(join + 3, 9999)):
            limit = 1 / math.sqrt(share * (10_000 - warmup)) + 1e-3 if schedule == "wsd" else 3e-3
            if schedule == "inverse_sqrt":
                limit = 1 if warmup == 0 else max(1 / warmup, 3e-3)
            assert abs(at(t + 1) - at(t)) <= limit, (join, t)
    if warmup:
        assert at(warmup - 1) == pytest.approx(1, abs=1.01 / (warmup + 1))
        assert at(warmup) == pytest.approx(1)


@pytest.mark.parametrize(
    ("schedule", "half", "end"),
    [
        ("linear", 0.5, 0.0),
        ("cosine", 0.5, 0.0),
        ("constant", 1.0, 1.0),
        ("slanted", 0.5 + 1 / 64, 1 / 32),
        ("wsd", 1.0, 0.0),
    ],
)
def test_schedules_at_known_places(schedule: str, half: float, end: float) -> None:
    at = factor(TrainPlan.model_validate({"steps": 110, "warmup": 10, "schedule": schedule}))
    assert at(60) == pytest.approx(half)
    assert at(110) == pytest.approx(end, abs=1e-12)


def test_inverse_square_root_and_the_fall_of_wsd_written_out() -> None:
    inverse = factor(TrainPlan(steps=1000, warmup=100, schedule="inverse_sqrt"))
    assert inverse(403) == pytest.approx(0.5)  # sqrt(101 / 404)
    stable = factor(TrainPlan(steps=100, warmup=0, schedule="wsd", decay_share=0.2))
    assert stable(80) == 1
    assert stable(85) == pytest.approx(0.5)  # 1 - sqrt(5 / 20)


def test_the_rate_of_the_original_transformer() -> None:
    """width^-0.5 min(t^-0.5, t w^-1.5), t from 1 (Vaswani et al. 2017, section 5.3), is that of w - 1 steps of warm-up
    to a peak of width^-0.5 w^-0.5: so the recipe has it."""
    width, w = 512, 4000
    plan = recipe.load("transformer-base").train
    assert (plan.warmup, plan.schedule) == (w - 1, "inverse_sqrt")
    for t in (1, 2, 777, w - 1, w, w + 1, 5000, 31_337, 100_000):
        expected = width**-0.5 * min(t**-0.5, t * w**-1.5)
        assert plan.lr * factor(plan)(t - 1) == pytest.approx(expected, rel=1e-5)


def test_warmup_is_a_tenth_unless_given() -> None:
    assert TrainPlan(steps=100).warmup_steps == 10
    assert TrainPlan(steps=100, warmup=0).warmup_steps == 0


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(3, 3)])
        self.head = nn.Linear(3, 3)


def groups(net: Net) -> list[Group]:
    body, head = (
        dict(net.blocks.named_parameters(prefix="backbone.blocks")),
        dict(net.head.named_parameters(prefix="head")),
    )
    return [Group(body, scale=0.5), Group(head, scale=2.0, decay=False)]


def plan(**changes: object) -> TrainPlan:
    return TrainPlan.model_validate({"steps": 10, "lr": 0.1, "warmup": 0, "schedule": "linear", **changes})


def test_groups_have_their_rates_and_decay_and_follow_the_schedule() -> None:
    optimizer = Optimizer(groups(net := Net()), plan(weight_decay=0.3))
    for t, now in ((0, 1.0), (5, 0.5)):
        net.head(net.blocks[0](torch.ones(1, 3))).sum().backward()
        assert optimizer.step(t)[0] == pytest.approx(now)
        (adamw,) = optimizer.parts.values()
        assert [group["lr"] for group in adamw.param_groups] == pytest.approx([0.05 * now, 0.2 * now])
        assert [group["weight_decay"] for group in adamw.param_groups] == [0.3, 0.0]


def test_muon_has_the_matrices_inside_blocks_and_adamw_the_rest() -> None:
    optimizer = Optimizer(groups(net := Net()), plan(optimizer="muon", muon_lr=0.01))
    held = {name: {id(p) for g in part.param_groups for p in g["params"]} for name, part in optimizer.parts.items()}
    assert held["muon"] == {id(net.blocks[0].weight)}
    assert held["adamw"] == {id(net.blocks[0].bias), id(net.head.weight), id(net.head.bias)}
    assert optimizer.parts["muon"].param_groups[0]["lr"] == pytest.approx(0.005)


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "adafactor"])
def test_a_step_changes_every_parameter_and_clears_gradients(optimizer: str) -> None:
    made = Optimizer(groups(net := Net()), plan(optimizer=optimizer))
    before = [p.detach().clone() for p in net.parameters()]
    net.head(net.blocks[0](torch.randn(4, 3)) ** 2).sum().backward()
    made.step(0)
    assert all(not torch.equal(p, b) for p, b in zip(net.parameters(), before, strict=True))
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize(("clip", "expected"), [(1.0, 1.0), (0.0, 10.0), (100.0, 10.0)])
def test_the_gradient_is_clipped_to_its_norm(monkeypatch: pytest.MonkeyPatch, clip: float, expected: float) -> None:
    weight = nn.Parameter(torch.zeros(4))
    made = Optimizer([Group({"w": weight})], plan(clip=clip))
    seen = []
    monkeypatch.setattr(made.parts["adamw"], "step", lambda: seen.append(float(weight.grad.norm())))  # type: ignore[union-attr]
    weight.grad = torch.full((4,), 5.0)
    assert made.step(0)[1] == pytest.approx(10.0)
    assert seen == pytest.approx([expected], rel=1e-4)


def test_adamw_is_the_formula() -> None:
    """One step of Loshchilov and Hutter 2019, algorithm 2: w - lr (g / (|g| + eps) + decay w)."""
    weight = nn.Parameter(torch.tensor([[2.0, -1.0]]))
    made = Optimizer([Group({"w": weight})], plan(weight_decay=0.1, clip=0, eps=1e-8))
    weight.grad = torch.tensor([[0.3, -0.2]])
    made.step(0)
    torch.testing.assert_close(weight.detach(), torch.tensor([[2.0 - 0.1 * (1 + 0.2), -1.0 - 0.1 * (-1 - 0.1)]]))


def test_adafactor_steps_in_proportion_to_a_parameter_at_t5s_rate() -> None:
    """T5's 1 / sqrt(max(n, 10^4)) is the least of a rate of 0.01 and 1 / sqrt(n); here the turn comes at n = 4."""
    weight = nn.Parameter(torch.tensor([3.0, -4.0]))
    made = Optimizer([Group({"w": weight})], plan(optimizer="adafactor", lr=0.5, schedule="constant", weight_decay=0))
    for n in range(1, 17):
        before = weight.detach().clone()
        weight.grad = torch.tensor([0.2, -0.2])
        made.step(n - 1)
        size = before.square().mean().sqrt()
        expected = before - min(0.5, n**-0.5) * size * torch.tensor([1.0, -1.0])
        torch.testing.assert_close(weight.detach(), expected)


@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_adagrad_by_rows_is_adagrad(clip: float) -> None:
    """w - lr g / (sqrt(sum of g squared) + eps) (Duchi et al. 2011), clipped, of a table of which few rows are looked
    up, one twice; of the others there is no gradient."""
    torch.manual_seed(1)
    table, rate = nn.Embedding(50, 3), 0.1
    weight = table.weight.detach().clone()
    squares = torch.zeros_like(weight)
    made = Optimizer([Group(dict(table.named_parameters()))], plan(optimizer="adagrad", weight_decay=0, clip=clip))
    for t, seen in enumerate(([4, 7, 4], [7, 30], [4, 49])):
        now = rate * (1 - t / 10)
        rows = torch.tensor(seen)
        gradient = torch.zeros_like(weight).index_add(0, rows, 2 * weight[rows] * torch.arange(1, 4))
        with by_rows(table):
            (table(rows).square() * torch.arange(1, 4)).sum().backward()
        assert table.weight.grad is not None
        assert table.weight.grad._nnz() == len(seen)
        norm = float(gradient.norm())
        assert made.step(t)[1] == pytest.approx(norm)
        gradient *= min(1.0, clip / norm) if clip else 1.0
        squares += gradient**2
        weight -= now * gradient / (squares.sqrt() + 1e-8)
        torch.testing.assert_close(table.weight.detach(), weight)


def test_adagrad_has_no_decay() -> None:
    with pytest.raises(ValidationError, match="weight_decay: adagrad leaves rows alone"):
        plan(optimizer="adagrad")


def test_a_plan_ends_after_its_last_epoch_or_its_last_step() -> None:
    assert plan(epochs=3, batch=4, steps=100).within(10).steps == 8  # 30 examples, 4 in an update
    assert plan(epochs=3, batch=4, steps=5).within(10).steps == 5
    assert plan(batch=4, steps=100).within(10).steps == 100
