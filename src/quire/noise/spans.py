"""Spans of a text as pairs of bounds. Legend: L positions of one sequence, K spans, each (begin, end), end excluded."""

import numpy as np

from quire.core.example import Bools, Ints


def runs_of(where: Bools) -> Ints:
    """[K, 2] the runs of True, ascending."""
    padded = np.zeros(len(where) + 2, dtype=bool)
    padded[1:-1] = where
    return np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2)


def covered(spans_K2: Ints, length: int) -> Bools:
    """[L] what lies in spans that ascend and do not overlap; empty ones hold nothing."""
    turns = np.concatenate([[0], spans_K2.ravel(), [length]])
    return np.repeat(np.arange(len(turns) - 1) % 2 == 1, turns[1:] - turns[:-1])
