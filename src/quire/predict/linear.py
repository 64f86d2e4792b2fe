"""Multinomial logistic regression by scikit-learn, kept as two arrays. Legend: E texts, F features, C classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from quire.core.example import Ints
from quire.predict.base import Floats

Labelled: TypeAlias = tuple[Any, Ints]
PENALTIES = (0.1, 1.0, 10.0, 100.0)
"""Inverse strengths of the penalty to try; the smallest that does best on dev is taken."""


@dataclass(frozen=True)
class Scores:
    """x coef^T + intercept."""

    coef: Floats  # [C, F]
    intercept: Floats  # [C]

    def __call__(self, features: Any) -> Floats:
        scores: Floats = features @ self.coef.T + self.intercept
        return np.asarray(scores, dtype=np.float32)

    def only(self, features: npt.NDArray[np.int64]) -> Scores:
        return Scores(self.coef[:, features], self.intercept)


def best_regression(train: Labelled, dev: Labelled, classes: int, *, seed: int) -> Scores:
    """Fit with each penalty, keep the one with the best accuracy on dev."""
    from sklearn.linear_model import LogisticRegression

    best, best_score = None, -1.0
    for strength in PENALTIES:
        model = LogisticRegression(C=strength, max_iter=2000, random_state=seed).fit(*train)
        score = model.score(*dev)
        if score > best_score:
            best, best_score = model, score
    assert best is not None
    return _scores(best, classes)


def _scores(model: Any, classes: int) -> Scores:
    """Two classes have one row of coefficients in scikit-learn: z and 0 give the same softmax."""
    coef, intercept = model.coef_, model.intercept_
    if classes == 2 and len(coef) == 1:
        coef, intercept = np.vstack([np.zeros_like(coef), coef]), np.concatenate([[0.0], intercept])
    return Scores(coef.astype(np.float32), intercept.astype(np.float32))


def softmax(scores: Floats) -> Floats:
    """exp(z_c) / sum of exp(z) [E, C], without overflow."""
    from scipy.special import softmax as scipy_softmax

    return np.asarray(scipy_softmax(scores, axis=1), dtype=np.float32)
