"""What deployment costs: latency on this machine, size on disk, and whether int8 is worth it here."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np

from quire.core.results import Latency

Asked = TypeVar("Asked")
Answer: TypeAlias = Callable[[list[str]], object]
"""Whatever answers texts."""
BATCHES = (1, 32)
SECONDS = 1.5
"""How long each latency is measured at most."""
LEAST_RUNS, MOST_RUNS = 5, 60


def latencies(answer: Callable[[list[Asked]], object], texts: Sequence[Asked]) -> tuple[Latency, ...]:
    """Wall time per text, tokenising included, over the given texts in turn; or per problem of any kind."""
    return tuple(_latency(answer, texts, batch) for batch in BATCHES)


def _latency(answer: Callable[[list[Asked]], object], texts: Sequence[Asked], batch: int) -> Latency:
    supply = cycle(texts)
    answer(list(islice(supply, batch)))  # the first call builds what later calls reuse
    taken: list[float] = []
    until = time.perf_counter() + SECONDS
    while len(taken) < MOST_RUNS and (len(taken) < LEAST_RUNS or time.perf_counter() < until):
        taken.append(_milliseconds(answer, list(islice(supply, batch))) / batch)
    lower, median, upper = statistics.quantiles(taken, n=4)
    return Latency(batch=batch, median=median, lower=lower, upper=upper)


def speedup(slow: Answer, fast: Answer, texts: Sequence[str], *, pairs: int = 30) -> tuple[float, float, float]:
    """How many times faster `fast` answers one text: quartiles and median of ratios, the two measured in turn."""
    supply = cycle(texts)
    first = [next(supply)]
    slow(first), fast(first)
    ratios = []
    for text in islice(supply, pairs):
        ratios.append(_milliseconds(slow, [text]) / _milliseconds(fast, [text]))
    lower, median, upper = statistics.quantiles(ratios, n=4)
    return lower, median, upper


def _milliseconds(answer: Callable[[list[Asked]], object], texts: list[Asked]) -> float:
    begin = time.perf_counter()
    answer(texts)
    return (time.perf_counter() - begin) * 1000


def size_on_disk(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def length_histogram(lengths: Sequence[int], *, most_bins: int = 24) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Edges and counts of text lengths, whole numbers on the edges."""
    top = max(max(lengths, default=1), 1)
    step = max(-(-top // most_bins), 1)
    edges = np.arange(0, top + step + 1, step)
    counts, _ = np.histogram(lengths, bins=edges)
    return tuple(map(float, edges)), tuple(map(int, counts))
