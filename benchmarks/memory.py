"""(i) Memory of training steps: ours and transformers' Trainer's, each in a process of its own. Linux only.

Counted is how far the resident memory of a process rises above what it was just before the first step, when the model
is there: gradients, the optimiser's moments, and what the passes hold at their peak.
"""

import gc
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from benchmarks import peers, pretraining
from benchmarks.harness import Agreement, Clock, Memory, Result, Scale
from benchmarks.text import Labelled
from quire.core.errors import BadInput
from quire.core.example import Example, World
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.train.feed import Fixed
from quire.train.loop import Job, fit, planned
from quire.train.optim import TrainPlan
from quire.train.start import Base

PROC = Path("/proc/self")
REMARKS = (
    "Memory: as in pre-training, the same blocks, model and settings. Counted is the peak of resident memory over that "
    "just before the first step, in a new process for every run: weights, imports and data are not in it, gradients, "
    "moments and the count of FLOPs that Quire makes first are.",
)


@dataclass(frozen=True)
class Work:
    """Some updates of one backbone on either side."""

    title: str
    spec: Backbone
    blocks: list[Example]
    world: World
    plan: TrainPlan
    folder: Path

    def ours(self) -> int:
        """Bytes that Quire's loop takes."""
        objective, gauge = pretraining.masked(), Gauge()
        model = Model(self.spec, planned([objective], self.spec, self.world))
        fit(model, Job(Fixed(self.blocks, self.title), (objective,), self.world, self.plan), progress=gauge)
        return gauge.risen()

    def theirs(self) -> int:
        """Bytes that the Trainer takes."""
        gauge, theirs = Gauge(), peers.opened(self.folder, "AutoModelForMaskedLM")
        rows = pretraining.their_rows(self.blocks, self.world.vocab)
        peers.train(theirs, rows, pretraining.collator(self.folder), plan=self.plan, clock=gauge)
        return gauge.risen()


class Gauge(Clock):
    """How far resident memory rises from the beginning of training on: the progress that the loop reports to."""

    def start(self, title: str = "", total: int = 0, done: int = 0) -> None:
        gc.collect()
        (PROC / "clear_refs").write_text("5")  # the peak is from now on (man 5 proc)
        self.before = _resident("VmRSS")

    def risen(self) -> int:
        """Bytes."""
        return _resident("VmHWM") - self.before


def measure(text: list[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """Every backbone of the scale. BadInput where the system does not tell the peak of a process."""
    peers.require(*pretraining.PACKAGES)
    if not (PROC / "clear_refs").exists():
        raise BadInput("memory is measured on Linux alone, by /proc/self/clear_refs, which is not here")
    blocks = pretraining.blocks([sentence for sentence, _ in text], base.tokenizer, scale)
    world, plan = World(base.tokenizer.vocab), pretraining.plan(scale)
    found: list[Memory] = []
    agreements: list[Agreement] = []
    for name, spec in scale.backbones.items():
        both = pretraining.Both(name, spec, blocks, base.tokenizer, scale, folder / name)
        agreements += both.agreements
        work = Work(both.title, spec, blocks, world, plan, folder / name)
        runs = [(alone(work.ours), alone(work.theirs)) for _ in range(scale.pairs)]
        ours, theirs = zip(*runs, strict=True)
        found.append(Memory(f"a step of {both.title}", pretraining.TRAINER, ours, theirs))
    return Result((), tuple(agreements), REMARKS, memory=tuple(found))


def alone(work: Callable[[], int]) -> int:
    """What `work` finds in a new process with as many threads as this one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(partial(_pinned, torch.get_num_threads(), work)).result()


def _pinned(threads: int, work: Callable[[], int]) -> int:
    torch.set_num_threads(threads)
    return work()


def _resident(field: str) -> int:
    """A figure of this process's resident memory, in bytes."""
    (kilobytes,) = re.findall(rf"^{field}:\s+(\d+) kB$", (PROC / "status").read_text(), re.MULTILINE)
    return int(kilobytes) * 1024
