"""Whether a graph says what ours says: on texts in batches of mixed lengths, and at every kind of length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from quire.adapt.measure import speedup
from quire.core.config import Settings
from quire.core.errors import BadInput
from quire.core.example import Batch
from quire.export.subject import Subject
from quire.predict.base import Floats

Say: TypeAlias = Callable[[Batch], tuple[Floats, ...]]
"""What answers a batch, in its packed order; the last array has a row a text."""
TOLERANCE = 1e-4
"""Of the largest number in an output, or of 1 where that is smaller."""
TOGETHER = 8
"""Texts of a batch: few and as they come, so that long ones pad short ones."""
MOST_TEXTS = 1000
MOST_TOKENS = 1024
"""The longest sequence that is tried where the model reads longer ones."""


class Comparison(Settings):
    """A graph beside ours."""

    texts: int
    longest: int
    """Tokens; the shortest is the special tokens alone."""
    difference: float
    speed: float
    """Times the speed of ours: a text at a time, tokenising included, one thread; the median of pairs."""


def compare(subject: Subject, say: Say, texts: Sequence[str]) -> Comparison:
    """BadInput where the two are apart by more than TOLERANCE, with the lengths of the batch."""
    worst, longest = 0.0, 0
    for batch in (*probes(subject, texts), *batches(subject, texts)):
        apart = float(np.max([_apart(a, b) for a, b in zip(subject.truth(batch), say(batch), strict=True)]))  # or NaN
        if not apart <= TOLERANCE:
            lengths = ", ".join(map(str, sorted(set(batch.lengths.tolist()))))
            raise BadInput(
                f"the graph is not the model: apart by {apart:.2g} at lengths {lengths} (allowed {TOLERANCE:g}); "
                "nothing was written; please report this model's config.json"
            )
        worst, longest = max(worst, apart), max(longest, int(batch.lengths.max()))
    _, median, _ = speedup(one_by_one(subject, subject.truth), one_by_one(subject, say), texts)
    return Comparison(texts=len(texts), longest=longest, difference=worst, speed=median)


def batches(subject: Subject, texts: Sequence[str]) -> list[Batch]:
    """The texts as they come."""
    examples = subject.examples(texts)
    return [Batch.pack(examples[i : i + TOGETHER]) for i in range(0, len(examples), TOGETHER)]


def probes(subject: Subject, texts: Sequence[str]) -> list[Batch]:
    """The shortest, the longest and lengths between, together and two of them alone."""
    most = min(subject.length, MOST_TOKENS)
    lengths = sorted({2, min(3, most), most // 3 + 2, most // 2 + 1, most - 1, most} - {0, 1})
    examples = subject.of_lengths(texts, lengths)
    return [Batch.pack(examples), Batch.pack(examples[:1]), Batch.pack(examples[-1:])]


def rows(say: Say, some: Sequence[Batch]) -> Floats:
    """What is said of each text, in the order of the texts: scores, or the means of states."""
    return np.concatenate([say(batch)[-1][np.argsort(batch.order)] for batch in some])


def one_by_one(subject: Subject, say: Say) -> Callable[[list[str]], object]:
    """From text to answer, as a server would."""
    return lambda texts: say(Batch.pack(subject.examples(texts)))


def _apart(ours: Floats, theirs: Floats) -> float:
    return float(np.abs(ours - theirs).max() / max(np.abs(ours).max(), 1.0))
