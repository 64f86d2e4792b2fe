"""One comparison of paradigms: each learns the same problems from one base, then test is read once and judged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from quire.adapt.job import Outcome, home_of, reopened, written
from quire.core.config import Settings, parse
from quire.core.errors import Stopped
from quire.core.results import Cost, Run
from quire.finetune.course import Course
from quire.paradigms import Paradigm
from quire.paradigms.shift import built
from quire.predict import load_solver
from quire.shift.settings import LEAST, ShiftSettings
from quire.shift.study import gathered
from quire.text.asked import Asked
from quire.text.records import Record
from quire.text.split import few_splits
from quire.train.loop import Job
from quire.train.safe import write_whole

COMMONS = "commons"
"""Where what runs have in common lies until the comparison is done."""


class Trained(Settings):
    """One run of an arm, as `result.json` beside its model."""

    run: Run
    lost: tuple[str, ...] = ()
    examples: float = 1.0
    """Of a problem, on the average."""
    head: Cost = Cost()
    """What of the run's cost went into a head over the vocabulary that the base lacks."""


@dataclass(frozen=True)
class Contest:
    """The arms over a number of labels."""

    settings: ShiftSettings
    course: Course
    folder: Path
    few: int | None

    def course_of(self, name: str, seed: int) -> Course:
        """How and what the runs of a paradigm and seed learn: everything, or a draw of their own and a dev set as
        large."""
        course = replace(self.course, how=self.settings.learnt(name))
        if self.few is None:
            return course
        train, dev = drawn(course.asked, self.few, seed=self.settings.seed + seed)
        return replace(course, asked=replace(course.asked, train=train.train, dev=dev.train))

    def paradigm(self, name: str) -> Paradigm:
        """The form that the person gave this name."""
        form = self.settings.paradigms[name]
        return built(form.name, form.fields, self.course.asked.facts, where=f"paradigm {name}")

    def home(self, name: str, seed: int, *, rate: float) -> Path:
        """Where a run lies: the trial of a rate is that of the first seed."""
        trial = seed == 0 and len(self.settings.tried(name)) > 1
        return self.folder / "arms" / name / (f"rate-{rate:g}" if trial else f"seed-{seed}")

    def rate(self, name: str) -> float:
        """The only learning rate, or that whose first seed is best on dev, the first among equals."""
        tried = self.settings.tried(name)
        if len(tried) == 1:
            return tried[0]
        dev = {rate: self.trained(name, 0, rate).run.dev for rate in tried}
        return max(tried, key=lambda rate: dev[rate])

    def trained(self, name: str, seed: int, rate: float) -> Trained:
        """A run, made now unless it stands already; seeds are counted from that of the settings."""
        home = self.home(name, seed, rate=rate)
        result = home / "result.json"
        if not result.exists():
            if self.course.stop:
                raise Stopped(f"stopped by {self.course.stop.reason} before {name}, seed {seed}; give it again")
            home.mkdir(parents=True, exist_ok=True)
            course = self.course_of(name, seed)
            train = course.how.train.model_copy(update={"lr": rate})
            course = replace(course, how=course.how.model_copy(update={"train": train}))
            learnt = course.learn(
                self.paradigm(name),
                seed=self.settings.seed + seed,
                folder=home,
                title=f"{name}, seed {seed}",
                updates=self.updates,
            )
            learnt.solver.save(home / "model")
            made = Trained(run=learnt.run, lost=tuple(learnt.lost), examples=learnt.examples, head=learnt.head)
            write_whole(result, made.model_dump_json())
            shutil.rmtree(home / "checkpoints", ignore_errors=True)
        return parse(Trained, json.loads(result.read_text(encoding="utf-8")), where=str(result))

    def updates(self, job: Job, epochs: int) -> int:
        """As the budget says; else as many as make up the epochs."""
        budget = self.settings.budget
        if budget is None:
            return max(epochs, LEAST)
        return max(round(budget.amount / (job.tokens_an_update() if budget.unit == "tokens" else 1)), 1)


def drawn(asked: Asked, few: int, *, seed: int) -> tuple[Asked, Asked]:
    """A few problems of each class, or of all where there are none, to learn from, and as many others to choose on."""
    rows = [
        Record("\n".join(problem.texts), str(problem.answer) if asked.task == "label" else "", str(number))
        for number, problem in enumerate(asked.train)
    ]
    [(train, dev)] = few_splits(rows, per_class=few, seeds=[seed])
    return (
        replace(asked, train=[asked.train[int(row.where)] for row in train]),
        replace(asked, train=[asked.train[int(row.where)] for row in dev]),
    )


def check(settings: ShiftSettings, course: Course, folder: Path) -> None:
    """BadInput for what a run of any arm and draw would refuse, before anything stands."""
    contests = [Contest(settings, course, folder, few) for few in settings.few]
    for name in settings.paradigms:
        draws = [
            contest.course_of(name, seed).asked.train
            for contest in contests
            for seed in range(settings.seeds if contest.few else 1)
        ]
        contests[0].course_of(name, 0).check(contests[0].paradigm(name), draws=draws)


def execute(settings: ShiftSettings, course: Course, folder: Path) -> list[Outcome]:
    """Do what is left; one outcome for each number of labels. Raises Stopped when a signal came."""
    for note in course.asked.notes:
        course.progress.say(note)
    contests = [Contest(settings, course, home_of(folder, few, among=settings.few), few) for few in settings.few]
    outcomes = [_judged(contest) for contest in contests]
    shutil.rmtree(folder / COMMONS, ignore_errors=True)
    return outcomes


def _judged(contest: Contest) -> Outcome:
    if (contest.folder / "results.json").exists():
        return reopened(contest.folder)
    settings = contest.settings
    runs: dict[str, Sequence[Trained]] = {}
    rates = {name: contest.rate(name) for name in settings.paradigms}
    for name, rate in rates.items():
        runs[name] = [contest.trained(name, seed, rate) for seed in range(settings.seeds)]
    chosen = max(runs, key=lambda name: float(np.mean([made.run.dev for made in runs[name]])))
    found = gathered(contest, runs, rates, selected=chosen)
    best = contest.home(chosen, found.arm(chosen).best_run, rate=rates[chosen]) / "model"
    outcome = written(contest.folder, found, load_solver(best))
    shutil.rmtree(contest.folder / "arms", ignore_errors=True)
    return outcome
