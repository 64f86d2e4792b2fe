"""One comparison of sources: go on from the base with each, fine-tune on every task, then judge task by task."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from quire.adapt.arms import ArmPlan
from quire.adapt.bench import Bench
from quire.adapt.further import cost_of_going_on, gone_on
from quire.adapt.job import concluded, reopened
from quire.adapt.study import Trained, study
from quire.adapt.task import warnings
from quire.core.results import Cost, Run, Study
from quire.multitask.job import Results, Shared
from quire.multitask.table import tabulate
from quire.predict import Predictor
from quire.pretrain import Material
from quire.stages.page import page
from quire.stages.settings import NONE, StageSettings
from quire.stages.texts import Texts
from quire.train.loop import rehearse
from quire.train.safe import write_whole
from quire.train.weights import ModelFiles

LEAST = 100
"""Updates on labels at least, however few these are."""


@dataclass
class Stages:
    """What the comparison works with: a bench for each task, and the text of the sources."""

    settings: StageSettings
    benches: Mapping[str, Bench]
    texts: Texts
    folder: Path

    @property
    def first(self) -> Bench:
        return next(iter(self.benches.values()))

    def home(self, source: str) -> Path:
        return self.folder / "sources" / source

    @cached_property
    def materials(self) -> dict[str, Material]:
        """The base with the text of each source."""
        return {name: self._material(name, sets) for name, sets in self.settings.sources.items()}

    def _material(self, name: str, sets: tuple[str, ...]) -> Material:
        shared, home = self.first.material, self.home(name)
        home.mkdir(parents=True, exist_ok=True)
        made = replace(shared, folder=home, texts=lambda: self.texts.of(sets))
        made.base = shared.base  # it is read once
        return made

    @cached_property
    def steps(self) -> int:
        """Updates of pre-training: as many for every source."""
        job = next(iter(self.materials.values())).job(steps=1, seed=self.settings.seed)
        return self.settings.budget.updates(job.tokens_an_update)

    def try_all(self) -> None:
        """Everything that may be refused, before any training."""
        for material in self.materials.values():
            material.prepare()
        material = next(iter(self.materials.values()))
        job = material.job(steps=1, seed=self.settings.seed)
        material.model(job)
        rehearse(job)

    def updates(self, task: str) -> int:
        """On the labels of a task: as many from every source."""
        bench = self.benches[task]
        return max(bench.finetune.epochs * -(-len(bench.task.train.records) // bench.finetune.train.batch), LEAST)

    def plans(self, task: str) -> list[ArmPlan]:
        """The arms of a task: the base as it came, then from each source."""
        labels = f"{self.updates(task):,} updates on the labels."
        without = ArmPlan(NONE, "Without", f"The base as it came; {labels}", self._training(task, None))
        return [without, *(self._plan(task, source, labels) for source in self.settings.sources)]

    def _plan(self, task: str, source: str, labels: str) -> ArmPlan:
        sets, relation = ", ".join(self.settings.sources[source]), self.settings.relation(source, task)
        once = f"{self.steps:,} updates on the text of {sets} ({relation}), once for all seeds and tasks"
        return ArmPlan(source, source, f"{once}; then {labels}", self._training(task, source))

    def _training(self, task: str, source: str | None) -> Callable[[Bench, int, Path], tuple[Predictor, Run]]:
        def train(bench: Bench, seed: int, home: Path) -> tuple[Predictor, Run]:
            files = bench.material.files if source is None else self._gone_on(bench, source)
            title = f"{source or NONE}, {task}, seed {seed}"
            network, run = bench.fit_network(files, steps=self.updates(task), seed=seed, folder=home, title=title)
            before = Cost() if source is None else cost_of_going_on(self.home(source)).shared(self.settings.seeds)
            return network, run.model_copy(update={"cost": run.cost + before})

        return train

    def _gone_on(self, bench: Bench, source: str) -> ModelFiles:
        home, material, title = self.home(source), self.materials[source], f"Going on with {source}"
        return gone_on(bench, material, home, steps=self.steps, title=title, domain=source)


def execute(stages: Stages) -> Shared:
    """Do what is left of the comparison. Raises Stopped when a signal came; the next call goes on."""
    first, settings = stages.first, stages.settings
    for name, bench in stages.benches.items():
        for warning in warnings(bench.task):
            first.progress.say(f"Warning: {name}: {warning}")
    first.material.tell()
    studies = {name: _judged(stages, name) for name in stages.benches}
    results = Results(studies=studies, table=tabulate(studies, [(source, NONE) for source in settings.sources]))
    write_whole(stages.folder / "report.md", page(settings, results.table, stages.texts.proof))
    write_whole(stages.folder / "results.json", results.model_dump_json())
    for source in settings.sources:
        shutil.rmtree(stages.home(source), ignore_errors=True)
    return Shared(results, stages.folder)


def _judged(stages: Stages, name: str) -> Study:
    bench = stages.benches[name]
    if (bench.folder / "results.json").exists():
        return reopened(bench.folder).study
    trained = [Trained.of(bench, plan) for plan in stages.plans(name)]
    chosen = max(trained, key=lambda arm: arm.dev)  # the first, that is the simplest, among equals
    budget = f"{stages.steps:,} updates on each source, once; {stages.updates(name):,} on the labels for each seed"
    found = study(bench, trained, selected=chosen.plan.name, budget=budget, pretraining=None)
    data = found.data.model_copy(update={"proof": stages.texts.proof})
    return concluded(bench.folder, found.model_copy(update={"data": data}), trained).study
