"""A budget becomes steps: equal shares, nothing beyond the budget, never less than a pass."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.adapt.settings import Budget
from quire.adapt.spending import OVERHEAD, Speeds, plan
from quire.core.errors import BadInput

SPEEDS = Speeds(
    finetune_step=0.3, pretrain_step=0.9, finetune_tokens=800, pretrain_tokens=2000, dev_pass=1.0, test_pass=15.0
)


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("5m", 300, "seconds"),
        ("90s", 90, "seconds"),
        ("1.5h", 5400, "seconds"),
        ("300steps", 300, "steps"),
        ("200ktokens", 200_000, "tokens"),
        ("2 Mtokens", 2_000_000, "tokens"),
    ],
)
def test_budgets_are_read_with_their_unit(text: str, amount: float, unit: str) -> None:
    assert Budget.parse(text) == Budget(amount=amount, unit=unit)


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "0m", "5 parsecs", "1.2.3m"])
def test_a_budget_without_sense_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput, match="--budget"):
        Budget.parse(text)


@given(minutes=st.floats(4, 600), seeds=st.integers(1, 8), epochs=st.integers(1, 200))
def test_both_arms_stay_within_equal_shares_of_the_time(minutes: float, seeds: int, epochs: int) -> None:
    budget = Budget(amount=minutes * 60, unit="seconds")
    epoch = 1  # so that the least of one pass never lifts a plan above its share
    found = plan(budget, SPEEDS, seeds=seeds, epoch=epoch, epochs=epochs, arms=2, spent=5)
    left = budget.amount - 5 - OVERHEAD - 4 * 2 * seeds - (2 * seeds + 1 + seeds / 2) * 15
    share = max(left, 0) / 2
    direct = found.direct * seeds * SPEEDS.finetune_step
    adapted = found.adapted * seeds * SPEEDS.finetune_step + found.pretrain * SPEEDS.pretrain_step
    least = seeds * SPEEDS.finetune_step + 20 * SPEEDS.pretrain_step
    assert direct <= max(share, least)
    assert adapted <= share + least  # the least of masked language modelling comes on top of a small share
    assert found.direct <= max(epochs, 1)


@pytest.mark.parametrize("unit", ["steps", "tokens"])
def test_a_budget_of_training_is_spent_by_both_arms(unit: str) -> None:
    per_step = {"steps": (1, 1), "tokens": (800, 2000)}[unit]
    budget = Budget(amount=1000 * per_step[0], unit=unit)
    found = plan(budget, SPEEDS, seeds=3, epoch=10, epochs=1000, arms=2, spent=0)
    assert found.direct == 1000
    spent = found.adapted * per_step[0] + found.pretrain * per_step[1] / 3
    assert spent == pytest.approx(budget.amount, rel=0.01)


def test_a_budget_too_small_for_a_pass_says_so_and_makes_one() -> None:
    found = plan(Budget.parse("10s"), SPEEDS, seeds=3, epoch=12, epochs=20, arms=2, spent=5)
    assert (found.direct, found.adapted) == (12, 12)
    assert "less than the least" in found.statement
