"""Two segments from one document, or not: what sentence-pair objectives build on."""

from quire.core.example import Passage
from quire.core.random import Rng


def truncate_pair(a: Passage, b: Passage, *, limit: int, rng: Rng) -> tuple[Passage, Passage]:
    """Cut the longer passage (a tie cuts `b`) token by token, front or back by a coin, until both fit `limit`.

    The rule of google-research/bert, create_pretraining_data.py, truncate_seq_pair.
    """
    while len(a) + len(b) > limit:
        front = rng.random() < 0.5
        if len(a) > len(b):
            a = a[1:] if front else a[:-1]
        else:
            b = b[1:] if front else b[:-1]
    return a, b
