"""What this machine is and can do: the matrix peak that progress is measured against."""

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TypeAlias, TypeVar

import torch

from quire.core.bodies import Bag
from quire.core.spec import Backbone

Result = TypeVar("Result")
Shape: TypeAlias = torch.Size


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


@contextmanager
def one_thread() -> Iterator[None]:
    """torch computes with one thread while it lasts."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(backbone: Backbone) -> AbstractContextManager[None]:
    """One thread for a bag of words, whose products are so small that a second thread is only waited for: on a busy
    machine that made word vectors ten times as slow (benchmarks/vectors.md). All that torch has for other bodies."""
    return one_thread() if isinstance(backbone, Bag) else nullcontext()


def device() -> torch.device:
    """Where models are trained: CUDA where there is a GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def accelerator() -> str:
    """The name of what models are trained on beside the processor; empty where there is nothing."""
    return torch.cuda.get_device_name() if device().type == "cuda" else ""


def counted(work: Callable[[], Result]) -> tuple[Result, int]:
    """What `work` gives, and the FLOPs of its matrix products and attention, forward and backward, as they ran.

    A multiply-add is 2 FLOPs. Counting costs some microseconds an operation.
    """
    from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

    def forward(query: Shape, key: Shape, value: Shape, *_: object, out_shape: object = None, **__: object) -> int:
        return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]

    def backward(
        grad: Shape, query: Shape, key: Shape, value: Shape, *_: object, out_shape: object = None, **__: object
    ) -> int:
        return int(sdpa_backward_flop_count(grad, query, key, value))  # type: ignore[no-untyped-call]

    def read(seen: Shape, into: Shape, back: Shape, *_: object, out_shape: object = None, **__: object) -> int:
        return 2 * seen[:-1].numel() * (into.numel() + back.numel())

    def unread(seen: Shape, into: Shape, back: Shape, *_: object, out_shape: object = None, **__: object) -> int:
        return 2 * read(seen, into, back)

    on_cpu = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: forward,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
        torch.ops.aten.mkldnn_rnn_layer: read,  # LSTMs over sequences of equal length
        torch.ops.aten.mkldnn_rnn_layer_backward: unread,
    }
    with FlopCounterMode(display=False, custom_mapping=on_cpu) as counter:
        found = work()
    return found, counter.get_total_flops()


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
