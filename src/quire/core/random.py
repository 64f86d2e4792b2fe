"""Randomness is an argument: a generator is a pure function of its key.

What happens to example i in epoch e is drawn from `rng(seed, "corrupt", e, i)`, and dropout at step t
from `seed_of(seed, "dropout", t)`. Nothing else is random, so a resumed run replays the same data.
"""

from hashlib import blake2b
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.random.bit_generator import ISeedSequence

Rng: TypeAlias = np.random.Generator


def _digest(key: tuple[int | str, ...], size: int) -> bytes:
    return blake2b(repr(key).encode(), digest_size=size).digest()


class _Words(ISeedSequence):
    """The words a bit generator starts from, as they are: making numpy's own from a key takes ten times as long."""

    def __init__(self, words: npt.NDArray[np.uint64]) -> None:
        self.words = words

    def generate_state(self, n_words: int, dtype: npt.DTypeLike = np.uint32) -> npt.NDArray[np.uint64]:
        return self.words  # PCG64 asks for four words of 64 bits


def rng(*key: int | str) -> Rng:
    """A generator that depends on `key` alone: all 256 bits of PCG64's state are a hash of the key."""
    words = _Words(np.frombuffer(_digest(key, 32), dtype="<u8"))
    return np.random.Generator(np.random.PCG64DXSM(words))  # type: ignore[arg-type] # numpy's stubs know no other kind


def seed_of(*key: int | str) -> int:
    """A 63-bit seed for generators that are not numpy's (torch takes one per step)."""
    return int.from_bytes(_digest(key, 8), "little") >> 1
