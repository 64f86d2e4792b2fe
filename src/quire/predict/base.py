"""What a predictor is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from quire.core.errors import BadInput
from quire.text.joined import Pair

Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Prediction:
    """The answer for one text."""

    label: str
    probability: float
    probabilities: Mapping[str, float]


class Predictor(ABC):
    """Texts in, labels out; saved as a folder and loaded by `quire.load`."""

    kind: ClassVar[str]
    """The module of this package that loads it."""

    labels: tuple[str, ...]
    pairs: bool | None = False
    """Whether it labels pairs of texts; None where either will do. Who trains it says so."""

    @abstractmethod
    def probabilities(self, texts: Sequence[str]) -> Floats:
        """[texts, labels], rows sum to 1."""

    @abstractmethod
    def parameter_count(self) -> int:
        """Learnt numbers."""

    @abstractmethod
    def save(self, folder: Path, *, card: str = "") -> None:
        """Write the folder, whole or not at all; `card` becomes its README.md."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Predictor:
        """Read what `save` wrote; BadInput says what is missing or damaged."""

    @overload
    def __call__(self, texts: str) -> Prediction: ...
    @overload
    def __call__(self, texts: list[str] | tuple[str, ...]) -> list[Prediction]: ...

    def __call__(self, texts: str | list[str] | tuple[str, ...]) -> Prediction | list[Prediction]:
        """The answer for one text, or the answers for several; BadInput for single texts where it labels pairs."""
        if isinstance(texts, str):
            return self([texts])[0]
        for number, text in enumerate(texts, start=1):
            if self.pairs is not None and isinstance(text, Pair) is not self.pairs:
                wants = "pairs: give quire.Pair(first, second), or" if self.pairs else "single texts: give one, without"
                raise BadInput(f"text {number}: the model labels {wants} --pair-column")
        return [self._answer(row) for row in self.probabilities(texts)] if texts else []

    def _answer(self, row: Floats) -> Prediction:
        best = int(np.argmax(row))
        return Prediction(self.labels[best], float(row[best]), dict(zip(self.labels, map(float, row), strict=True)))
