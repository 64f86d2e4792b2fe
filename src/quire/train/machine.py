"""What this machine is and can do: the matrix peak that progress is measured against.

Legend: N tokens, L length of a sequence, W width, F inner width, V vocabulary, M asked positions.
"""

import os
import platform
import time
from functools import cache
from pathlib import Path

import torch

from quire.core.spec import Backbone


@cache
def matrix_peak(threads: int, size: int = 1024, seconds: float = 0.2) -> float:
    """FLOP/s of an fp32 matrix product of this `size` with the threads torch has now, the best of repeats."""
    a, b = torch.rand(size, size), torch.rand(size, size)
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def device() -> torch.device:
    """Where models are trained: CUDA where there is a GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def training_flops(spec: Backbone, *, tokens: int, squares: int, wanted: int, asked: int, frozen: bool = False) -> int:
    """FLOPs of one forward and backward pass: 2 x multiply-adds of the matrix products forward, twice that backward.

    `squares` is the sum of L^2 over sequences (attention); behind attention the last block counts at `wanted`
    positions only, vocabulary scores at `asked` ones. A `frozen` body has no backward pass, and the table that its
    scores are tied to no gradient.
    """
    before = spec.depth * 3 * spec.width**2  # queries, keys, values
    behind = spec.width**2 + 2 * spec.width * spec.ffn
    positions = (spec.depth - 1) * tokens + wanted
    attention = spec.depth * 2 * spec.width
    body, scores = tokens * before + positions * behind + squares * attention, asked * spec.vocab * spec.width
    return 2 * body + 4 * scores if frozen else 6 * (body + scores)


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
