"""A generator is a function of its key, in this process and in any other."""

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from quire.core.random import rng, seed_of

KEYS = st.lists(st.integers(-5, 5) | st.sampled_from(["a", "b", "1", "corrupt"]), min_size=1, max_size=4).map(tuple)


@given(KEYS, KEYS)
def test_equal_keys_draw_the_same_and_distinct_keys_do_not(
    one: tuple[int | str, ...], two: tuple[int | str, ...]
) -> None:
    assert (rng(*one).integers(2**62, size=4) == rng(*two).integers(2**62, size=4)).all() == (one == two)
    assert (seed_of(*one) == seed_of(*two)) == (one == two)


def test_the_border_between_parts_of_a_key_counts() -> None:
    assert (
        len({seed_of("ab", "c"), seed_of("a", "bc"), seed_of("abc"), seed_of(1, 12), seed_of(11, 2), seed_of("1", 12)})
        == 6
    )


def test_another_process_draws_the_same_whatever_its_hash_seed() -> None:
    code = "from quire.core.random import rng, seed_of; print(rng(7, 'x').integers(10**9), seed_of(7, 'x'))"
    for hash_seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True
        )
        assert run.stdout.split() == [str(rng(7, "x").integers(10**9)), str(seed_of(7, "x"))]


@given(KEYS)
def test_seeds_fit_torch(key: tuple[int | str, ...]) -> None:
    assert 0 <= seed_of(*key) < 2**63


def test_the_stream_of_a_key_is_pinned() -> None:
    """A run that is stopped goes on under another numpy or on another machine: the bits must not move."""
    assert rng(7, "x").bit_generator.random_raw(2).tolist() == [2507721853322400609, 11401165992373302170]


def test_neighbouring_keys_are_independent() -> None:
    drawn = np.array([rng("neighbour", i).random(2) for i in range(4000)])
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.06
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.06
    assert kstest(drawn[:, 0], "uniform").pvalue > 1e-4
