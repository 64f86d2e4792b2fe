"""How often each of several tasks has its turn, from the number of its examples.

p_k = min(n_k, limit)^alpha / sum over j of min(n_j, limit)^alpha

Legend: K tasks, T updates.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from quire.core.catalogue import Component
from quire.core.example import Ints
from quire.core.random import rng
from quire.core.spec import Size


class Sampling(Component):
    """A law is its exponent alpha, which may change from one stage of the run to the next."""

    home: ClassVar[str] = "quire.train.sampling"

    limit: Size | None = None
    """No task counts as larger, so that a corpus does not drown the rest (Raffel et al. 2020, section 3.5.2)."""

    def stages(self) -> int:
        """Parts of equal length that a run is cut into, each with its own exponent."""
        return 1

    @abstractmethod
    def exponent(self, stage: int) -> float:
        """alpha in a stage, counted from 0."""

    def rates(self, sizes_K: Sequence[int], *, stage: int = 0) -> npt.NDArray[np.float64]:
        """p [K] of tasks with so many examples."""
        sizes = np.minimum(np.array(sizes_K, dtype=np.float64), self.limit or np.inf)
        powers = (sizes / sizes.max()) ** self.exponent(stage)
        found: npt.NDArray[np.float64] = powers / powers.sum()
        return found


class Uniform(Sampling):
    """alpha = 0: every task as often as another (Liu et al. 2016, "select a random task")."""

    def exponent(self, stage: int) -> float:
        return 0.0


class Proportional(Sampling):
    """alpha = 1: every example as often as another."""

    def exponent(self, stage: int) -> float:
        return 1.0


class SquareRoot(Sampling):
    """alpha = 1/2 (Stickland and Murray 2019, section 3.1)."""

    def exponent(self, stage: int) -> float:
        return 0.5


class Temperature(Sampling):
    """alpha = 1 / t: between proportional (t = 1) and uniform (t large)."""

    t: Annotated[float, Field(ge=1)] = 2.0

    def exponent(self, stage: int) -> float:
        return 1 / self.t


class Annealed(Sampling):
    """alpha = 1 - fall * (e - 1) / (E - 1) in epoch e of E: from proportional towards uniform (PALs: Stickland and
    Murray 2019, section 3.1). With one epoch it stays at 1."""

    epochs: Size = 25
    fall: Annotated[float, Field(ge=0, le=1)] = 0.8

    def stages(self) -> int:
        return self.epochs

    def exponent(self, stage: int) -> float:
        return 1 - self.fall * stage / max(self.epochs - 1, 1)


def turns(sizes_K: Sequence[int], law: Sampling, *, steps: int, seed: int) -> Ints:
    """Whose turn each update [T] is, drawn one by one: a pure function of the arguments."""
    stage_T = np.arange(steps) * law.stages() // steps
    drawn = [
        rng(seed, "turns", stage).choice(len(sizes_K), size=count, p=law.rates(sizes_K, stage=stage))
        for stage, count in enumerate(np.bincount(stage_T).tolist())
    ]
    return np.concatenate(drawn).astype(np.int64, copy=False)
