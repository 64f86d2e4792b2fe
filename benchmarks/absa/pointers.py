"""A pointer on a base under a fresh decoder: begun, taught, scored."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

from benchmarks.absa.files import Reviews
from benchmarks.absa.runs import learnt
from benchmarks.absa.scale import Work
from quire.core.config import Settings
from quire.core.results import Run
from quire.core.subtasks import Subtask, Told
from quire.objectives.point import Point
from quire.predict.pointer import Asked, Pointer, Pointing
from quire.scoring import Scores
from quire.scoring.tuples import opinion_scores
from quire.text.asked import fingerprint
from quire.text.problems import Problem
from quire.train.feed import Fixed
from quire.train.loop import Job, planned
from quire.train.optim import TrainPlan
from quire.train.start import Base, started, with_decoder


class Answered(Settings):
    """What a run left: how it learnt, and its answers about dev and test, by what was asked or how."""

    run: Run
    numbers: int
    lost: int
    """Training answers that cannot be pointed at."""
    dev: Mapping[str, tuple[Told, ...]]
    test: Mapping[str, tuple[Told, ...]]


def begun(work: Work, base: Base, task: Point, *, seed: int, pretrained: bool = True) -> Pointer:
    """One that has not learnt; all of it is drawn where it is not `pretrained`, else the decoder and the pointer."""
    scale, files = work.scale, with_decoder(base.files, work.scale.layers)
    if not pretrained:
        files = replace(files, heads={}, state={})
    parts = planned([task], files.backbone, base.tokenizer.world(length=scale.length))
    plan = Pointing(task=task, length=scale.length, search=scale.search)
    return Pointer(started(files, parts, seed=seed), base.tokenizer, plan)


def taught(work: Work, pointer: Pointer, reviews: Reviews, *, folder: Path, seed: int) -> tuple[Run, int]:
    """Teach it all its subtasks, to the moment with the best mean F1 of dev; and how many answers were lost."""
    scale, subtasks = work.scale, pointer.plan.task.subtasks
    asked = [one for subtask in subtasks for one in pointer.asked(reviews["train"], subtask)]
    examples, lost = pointer.examples(asked)
    plan = TrainPlan(steps=scale.updates, batch=scale.batch, lr=scale.rate, checkpoint_every=200, keep=1)
    data = fingerprint([Problem((review.text,), None, review.where) for review in reviews["train"]])
    job = Job(Fixed(examples, data), (pointer.plan.task,), pointer.world, plan, seed=seed)

    def measure() -> float:
        found = {subtask: pointer.asked(reviews["dev"], subtask) for subtask in subtasks}
        return mean(scored(subtask, a, pointer.told(a)).corrected["f1"] for subtask, a in found.items())

    return learnt(work, pointer.model, job, folder=folder, measure=measure), len(lost)


def scored(subtask: Subtask, asked: Sequence[Asked], told: Sequence[Told]) -> Scores:
    """As the released code for Peng et al. does; and with what is malformed counted as wrong."""
    said, invalid = [one.opinions for one in told], [one.invalid for one in told]
    return opinion_scores(subtask, [one.truth for one in asked], said, invalid=invalid)
