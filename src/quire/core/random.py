"""Randomness is an argument: a generator is a pure function of its key.

What happens to example i in epoch e is drawn from `rng(seed, "corrupt", e, i)`, and dropout at step t
from `seed_of(seed, "dropout", t)`. Nothing else is random, so a resumed run replays the same data.
"""

from hashlib import blake2b
from typing import TypeAlias

import numpy as np

Rng: TypeAlias = np.random.Generator


def _digest(key: tuple[int | str, ...], size: int) -> bytes:
    return blake2b(repr(key).encode(), digest_size=size).digest()


def rng(*key: int | str) -> Rng:
    """A generator that depends on `key` alone: Philox is counter-based, so distinct keys are independent."""
    return np.random.Generator(np.random.Philox(key=np.frombuffer(_digest(key, 16), dtype=np.uint64)))


def seed_of(*key: int | str) -> int:
    """A 63-bit seed for generators that are not numpy's (torch takes one per step)."""
    return int.from_bytes(_digest(key, 8), "little") >> 1
