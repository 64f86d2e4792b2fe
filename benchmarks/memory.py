"""(i) Memory of training steps: ours and transformers' Trainer's, each in a process of its own. Linux only.

Counted is how far the resident memory of a process rises above what it was just before the first step, when the model
is there: gradients, the optimiser's moments, and what the passes hold at their peak.
"""

import gc
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks import finetuning, peers, pretraining
from benchmarks.harness import Agreement, Clock, Memory, Result, Scale
from benchmarks.text import Labelled
from quire.core.errors import BadInput
from quire.nn.model import Model
from quire.train.loop import Job, fit, planned
from quire.train.start import Base, started
from quire.train.weights import read_model

PROC = Path("/proc/self")
Found = TypeVar("Found")
REMARKS = (
    "Memory: as in pre-training and fine-tuning, the same texts, model and settings. Counted is the peak of resident "
    "memory over that when training begins, in a new process for every run: weights, imports and data are not in it, "
    "gradients, moments and the count of FLOPs that Quire makes first are. A turn of fine-tuning is an epoch, so "
    "that the largest batch counts: of the Trainer one padded to its longest sentence.",
)


@dataclass(frozen=True)
class Work:
    """Some updates of the model in a folder, on either side."""

    job: Job
    folder: Path
    auto: str
    rows: Sequence[Mapping[str, Any]]  # the peer's, and what makes batches of them
    collator: Callable[[Path], Any]

    def ours(self) -> int:
        """Bytes that Quire's loop takes."""
        files = read_model(self.folder)
        return of(started(files, planned(self.job.objectives, files.backbone, self.job.world), seed=0), self.job)

    def theirs(self) -> int:
        """Bytes that the Trainer takes."""
        gauge, theirs = Gauge(), peers.opened(self.folder, self.auto)
        peers.train(theirs, self.rows, self.collator(self.folder), plan=self.job.plan, clock=gauge)
        return gauge.risen()


class Gauge(Clock):
    """How far resident memory rises from a moment on; told of one by whoever reports progress to it."""

    def start(self, title: str = "", total: int = 0, done: int = 0) -> None:
        gc.collect()
        (PROC / "clear_refs").write_text("5")  # the peak is from now on (man 5 proc)
        self.before = resident("VmRSS")

    def risen(self) -> int:
        """Bytes."""
        return resident("VmHWM") - self.before


def of(model: Model, job: Job) -> int:
    """Bytes that Quire's loop takes, with all that it does before its first update."""
    gauge = Gauge()
    gauge.start()
    fit(model, job)
    return gauge.risen()


def measure(text: list[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """Pre-training of every backbone of the scale, and fine-tuning of the base. BadInput where the system does not tell
    the peak of a process."""
    peers.require(*pretraining.PACKAGES)
    require()
    blocks = pretraining.blocks([sentence for sentence, _ in text], base.tokenizer, scale)
    found: list[Memory] = []
    agreements: list[Agreement] = []
    for name, spec in scale.backbones.items():
        drawn = pretraining.Both(name, spec, blocks, base.tokenizer, scale, folder / name)
        agreements += drawn.agreements
        work = Work(drawn.job, drawn.folder, pretraining.AUTO, drawn.rows, pretraining.collator)
        found.append(_taken(drawn.title, work, times=scale.pairs))
    tuned = finetuning.Both(text, base, scale, folder / finetuning.TITLE)
    work = Work(tuned.job, tuned.folder, finetuning.AUTO, tuned.rows, finetuning.collator)
    found.append(_taken(finetuning.TITLE, work, times=scale.pairs))
    return Result((), (*agreements, *tuned.agreements), REMARKS, memory=tuple(found))


def _taken(title: str, work: Work, *, times: int) -> Memory:
    runs = [(alone(work.ours), alone(work.theirs)) for _ in range(times)]
    ours, theirs = zip(*runs, strict=True)
    return Memory(f"a step of {title}", pretraining.TRAINER, ours, theirs)


def require() -> None:
    """BadInput where the system does not tell the peak of a process."""
    if not (PROC / "clear_refs").exists():
        raise BadInput("memory is measured on Linux alone, by /proc/self/clear_refs, which is not here")


def alone(work: Callable[[], Found]) -> Found:
    """What `work` finds in a new process with as many threads as this one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(partial(_pinned, torch.get_num_threads(), work)).result()


def _pinned(threads: int, work: Callable[[], Found]) -> Found:
    torch.set_num_threads(threads)
    return work()


def resident(field: str) -> int:
    """A figure of this process's resident memory, in bytes."""
    (kilobytes,) = re.findall(rf"^{field}:\s+(\d+) kB$", (PROC / "status").read_text(), re.MULTILINE)
    return int(kilobytes) * 1024
