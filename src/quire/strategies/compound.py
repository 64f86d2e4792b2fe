"""Arms that are more than one fit of one strategy: several models made one, or a stage before."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import model_validator

from quire.core.catalogue import Component, catalogue
from quire.core.results import Run
from quire.predict import Predictor
from quire.tuning import Strategy
from quire.tuning.full import Full

if TYPE_CHECKING:
    from quire.strategies.job import Tuning


class Compound(Component):
    """What is done around the fits of a strategy, `over`."""

    home: ClassVar[str] = "quire.strategies"

    over: Strategy = Full()
    """How labels are fitted."""

    @model_validator(mode="before")
    @classmethod
    def _over_one_fit(cls, data: Any) -> Any:
        inner = data.get("over") if isinstance(data, Mapping) else None
        for name in {inner} if isinstance(inner, str) else {*inner} if isinstance(inner, Mapping) else ():
            if name in catalogue(Compound):  # type: ignore[type-abstract]
                able = ", ".join(catalogue(Strategy))
                raise ValueError(f"{name} cannot stand inside {cls.name()}; what can: {able}")
        return data

    @property
    def fits(self) -> int:
        """How many networks learn labels."""
        return 1

    def check(self, tuning: Tuning) -> None:
        """BadInput for what a stage of its own cannot begin with, before anything is trained."""

    @abstractmethod
    def learnt(self, tuning: Tuning, *, rate: float, seed: int, home: Path) -> tuple[Predictor, Run]:
        """What `Tuning.fitted` gives, one time or several, made into one predictor."""
