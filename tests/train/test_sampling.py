"""Laws of sampling against their formulas, and turns drawn by them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from quire.core.catalogue import catalogue, find
from quire.train.sampling import Annealed, Proportional, Sampling, SquareRoot, Temperature, Uniform, turns

LAWS = list(catalogue(Sampling))  # type: ignore[type-abstract]
SIZES = st.lists(st.integers(1, 10**6), min_size=2, max_size=8)


@given(sizes=SIZES, t=st.floats(1, 50), stage=st.integers(0, 9))
def test_rates_are_powers_of_sizes(sizes: list[int], t: float, stage: int) -> None:
    exponents: dict[Sampling, float] = {
        Proportional(): 1,
        SquareRoot(): 1 / 2,
        Temperature(t=t): 1 / t,
        Uniform(): 0,
        Annealed(epochs=10): 1 - 0.8 * stage / 9,
    }
    for law, alpha in exponents.items():
        expected = np.array(sizes, dtype=float) ** alpha
        np.testing.assert_allclose(law.rates(sizes, stage=stage), expected / expected.sum(), rtol=1e-9)


def test_annealing_goes_from_proportional_to_a_fifth_of_its_exponent() -> None:
    """PALs, e from 1 to E: alpha = 1 - 0.8 (e - 1) / (E - 1)."""
    assert [Annealed(epochs=5).exponent(e - 1) for e in range(1, 6)] == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])
    one = turns((9, 3), Annealed(epochs=1), steps=50, seed=0)
    assert (one == turns((9, 3), Proportional(), steps=50, seed=0)).all(), "nothing to anneal"


@pytest.mark.parametrize("name", LAWS)
def test_turns_come_as_often_as_the_law_says_in_every_stage(name: str) -> None:
    law, sizes, steps = find(Sampling, name)(), (8544, 6920, 400), 50_000  # type: ignore[type-abstract]
    drawn = turns(sizes, law, steps=steps, seed=3)
    assert drawn.shape == (steps,)
    for stage in range(law.stages()):
        counts = np.bincount(drawn[np.arange(steps) * law.stages() // steps == stage], minlength=3)
        assert chisquare(counts, law.rates(sizes, stage=stage) * counts.sum()).pvalue > 1e-4


def test_annealed_turns_change_by_epoch() -> None:
    drawn = turns((9000, 100), Annealed(epochs=4), steps=8000, seed=0).reshape(4, -1)
    small = (drawn == 1).mean(axis=1)
    assert (np.diff(small) > 0).all()
    assert small[0] == pytest.approx(100 / 9100, abs=0.01)
    assert small[-1] == pytest.approx(1 / (1 + 90**0.2), abs=0.03)


def test_turns_depend_on_the_seed_alone() -> None:
    one, two, other = (turns((5, 7), SquareRoot(), steps=99, seed=seed) for seed in (1, 1, 2))
    assert (one == two).all()
    assert (one != other).any()


@pytest.mark.parametrize("steps", [1, 3, 30])
def test_a_run_shorter_than_its_stages_has_a_turn_for_every_update(steps: int) -> None:
    assert turns((3, 4), Annealed(epochs=25), steps=steps, seed=0).shape == (steps,)
