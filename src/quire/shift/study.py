"""From trained paradigms to a study: test is read here, once, and scored on what all of them answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from quire.adapt.measure import latencies, size_on_disk
from quire.adapt.study import environment
from quire.core.errors import Stopped
from quire.core.results import RIGHT, Arm, Cost, DataFacts, SplitFacts, Study
from quire.marking import marks
from quire.predict import load_solver
from quire.predict.solver import Solver
from quire.shift.settings import LEAST, ShiftSettings
from quire.text.asked import Asked
from quire.text.problems import Problem

if TYPE_CHECKING:
    from quire.shift.job import Contest, Trained


TAUGHT = "a head over the vocabulary, which the base lacks, learns from the training texts first, once for all seeds"


def gathered(
    contest: Contest, runs: Mapping[str, Sequence[Trained]], rates: Mapping[str, float], *, selected: str
) -> Study:
    """Read test and measure every arm."""
    settings, asked = contest.settings, contest.course.asked
    progress, stop = contest.course.progress, contest.course.stop
    progress.start("Reading test", len(runs))
    arms = []
    for number, (name, made) in enumerate(runs.items(), start=1):
        if stop:
            raise Stopped(f"stopped by {stop.reason} before test was read whole; the same command goes on")
        solvers = [load_solver(contest.home(name, seed, rate=rates[name]) / "model") for seed in range(settings.seeds)]
        arms.append(_measured(contest, name, made, rates[name], solvers))
        progress.update(number, name)
    classes = asked.task == "label"
    labels = asked.labels if classes else RIGHT
    truth = [labels.index(str(p.answer)) for p in asked.test] if classes else [1] * len(asked.test)
    return Study(
        title=settings.title or f"{Path(settings.train).name}: {', '.join(runs)}",
        labels=labels,
        truth=np.array(truth),
        metric=settings.metric,
        arms=tuple(arms),
        selected=selected,
        budget=_budget(settings, contest.few, [name for name, made in runs.items() if made[0].head != Cost()]),
        data=_facts(asked, contest.few),
        environment=environment(settings.seed),
        seconds=contest.course.elapsed(),
        leaked=asked.leaked,
        usage={"Command line": f"quire predict {contest.folder} 'a text'"},
    )


def _measured(contest: Contest, name: str, made: Sequence[Trained], rate: float, solvers: Sequence[Solver]) -> Arm:
    asked, settings = contest.course.asked, contest.settings
    best = int(np.argmax([one.run.dev for one in made]))
    given = {}
    if asked.task == "label":
        rows_REC = np.stack([solver.probabilities(asked.test) for solver in solvers])
        given = {"predictions": rows_REC.argmax(axis=2), "probabilities": rows_REC}
    else:
        found_RE2 = np.stack([marks(asked.task, settings.metric, asked.test, s.answers(asked.test)) for s in solvers])
        given = {"predictions": (found_RE2[..., 0] == found_RE2[..., 1]).astype(np.int64), "marks": found_RE2}
    form, lost = settings.paradigms[name], made[best].lost
    several = f", {made[best].examples:.3g} examples of each" if made[best].examples > 1 else ""
    notes: tuple[str, ...] = (
        (f"{len(lost)} training answers have no form in it; the first: {lost[0]}.",) if lost else ()
    )
    notes += solvers[best].cut_in_words(asked.train, which="training texts")
    steps = made[best].run.cost.steps - made[best].head.steps
    on_top = f"; on top {TAUGHT}, {settings.learnt(name).head_steps:,} updates" if made[best].head != Cost() else ""
    return Arm(
        name=name,
        title=form.name if name == form.name else f"{name} ({form.name})",
        how=f"{steps:,} updates of {settings.how.train.batch} problems{several}{on_top}; rate {rate:g}.",
        seeds=tuple(range(len(made))),
        dev=tuple(one.run.dev for one in made),
        parameters=solvers[best].model.parameter_count(),
        rate=rate,
        bytes=size_on_disk(contest.home(name, best, rate=rate) / "model"),
        latency=latencies(solvers[best].answers, list(asked.dev)),
        threads=torch.get_num_threads(),
        cost=tuple(one.run.cost for one in made),
        curves=tuple(one.run.curve for one in made),
        notes=notes,
        **given,
    )


def _budget(settings: ShiftSettings, few: int | None, taught: Sequence[str]) -> str:
    epochs = f"{settings.how.epochs} epochs of the problems and {LEAST} updates at least"
    spent = epochs if settings.budget is None else str(settings.budget)
    drawn = "on all problems" if few is None else f"on {few} a class, drawn anew for each seed with a dev set as large"
    on_top = f"; on top, for {', '.join(taught)}, {TAUGHT}" if taught else ""
    return f"{spent}, {drawn}{on_top}"


def _facts(asked: Asked, few: int | None) -> DataFacts:
    def counted(problems: Sequence[Problem]) -> Mapping[str, int]:
        found = [str(problem.answer) for problem in problems] if asked.task == "label" else []
        return {label: found.count(label) for label in asked.labels} if found else {}

    hashes = asked.hashes
    splits = tuple(
        SplitFacts(name=name, examples=len(rows), labels=counted(rows), sha256=hashes[name])
        for name, rows in (("train", asked.train), ("dev", asked.dev), ("test", asked.test))
    )
    return DataFacts(splits=splits, notes=asked.notes)
