"""The most frequent label, whatever the text: the score that anything must beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quire.predict.base import Floats, Predictor
from quire.predict.folder import Facts, read_own, shaped, write_own


class Majority(Predictor):
    """Answers with the shares of the labels in training."""

    kind = "majority"

    def __init__(self, labels: Sequence[str], shares: Floats) -> None:
        self.labels, self.shares = tuple(labels), shares

    @classmethod
    def fit(cls, labels: Sequence[str], answers: Sequence[str]) -> Majority:
        """The share of each of `labels` among the training `answers`."""
        counts = Counter(answers)
        return cls(labels, np.array([counts[label] / len(answers) for label in labels], dtype=np.float32))

    def probabilities(self, texts: Sequence[str]) -> Floats:
        return np.tile(self.shares, (len(texts), 1))

    def parameter_count(self) -> int:
        return len(self.labels)

    def save(self, folder: Path, *, card: str = "") -> None:
        write_own(folder, self, arrays={"shares": self.shares}, facts={}, card=card)

    @classmethod
    def load(cls, folder: Path) -> Majority:
        facts, arrays = read_own(folder, Facts)
        shaped(folder, arrays, shares=(len(facts.labels),))
        return cls(facts.labels, arrays["shares"])
