"""Two readings of one answer, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Scores:
    """What the published numbers were computed by, and the same names without its quirks; all are 0 to 1."""

    official: Mapping[str, float]
    corrected: Mapping[str, float]


def share(above: float, below: float) -> float:
    """0 where nothing stands below the line."""
    return float(above / below) if below else 0.0


def harmonic(precision: float, recall: float) -> float:
    """F1; 0 where both are."""
    return share(2 * precision * recall, precision + recall)


def micro(right: int, said: int, true: int) -> dict[str, float]:
    """Precision, recall and F1 of so many right ones, said ones and true ones."""
    return {"precision": share(right, said), "recall": share(right, true), "f1": share(2 * right, said + true)}
