"""One comparison of strategies: from one base, with as many updates each, then test is read once and judged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from quire.adapt.arms import MEMBERS, ArmPlan, kept
from quire.adapt.arms import arms as adapt_arms
from quire.adapt.bench import Bench
from quire.adapt.job import Outcome, concluded, home_of, reopened
from quire.adapt.study import Trained, study
from quire.adapt.task import warnings, with_labels
from quire.core.config import parse
from quire.core.example import World
from quire.core.results import Cost, Run
from quire.predict import Predictor
from quire.predict.network import Network
from quire.strategies.ensemble import Ensemble
from quire.strategies.settings import LEAST, StrategySettings
from quire.train.safe import write_whole
from quire.train.start import started
from quire.tuning import Strategy

BASELINES = ("majority", "features")
"""Arms of `quire adapt` that stand beside: a frozen body under a regression is the floor of all strategies."""


@dataclass(frozen=True)
class Tuning:
    """One strategy over a number of labels."""

    name: str
    settings: StrategySettings
    bench: Bench

    @property
    def strategy(self) -> Strategy:
        return self.settings.fitted(self.name)

    @property
    def ensemble(self) -> Ensemble | None:
        """Where the arm is several runs of its strategy."""
        found = self.settings.strategies[self.name]
        return found if isinstance(found, Ensemble) else None

    @property
    def steps(self) -> int:
        """Updates: as many for every strategy."""
        plan = self.bench.finetune
        return max(plan.epochs * -(-len(self.bench.task.train.records) // plan.train.batch), LEAST)

    def arm(self) -> ArmPlan:
        """The arm as a study knows it."""
        title = " ".join(self.name.replace("_", " ").split())
        told = in_words(self.settings.strategies[self.name].model_dump(mode="json"))
        each = " for each member" if self.ensemble else ""
        how = f"{told}; {self.steps:,} updates{each} at a rate of {self.rate:g}{self._why}."
        return ArmPlan(self.name, title, how, lambda _, seed, home: self.learnt(self.rate, seed, home))

    @property
    def _why(self) -> str:
        tried = self.settings.tried(self.name)
        return f", chosen on dev among {', '.join(f'{rate:g}' for rate in tried)}" if len(tried) > 1 else ""

    @property
    def rate(self) -> float:
        """The learning rate: the only one, or that whose first seed is best on dev, the first among equals."""
        tried = self.settings.tried(self.name)
        if len(tried) == 1:
            return tried[0]
        dev = {rate: self._tried(rate) for rate in tried}
        return max(tried, key=lambda rate: dev[rate])

    def _tried(self, rate: float) -> float:
        home = self.bench.folder / "arms" / self.name / f"rate-{rate:g}"
        if not (home / "dev.json").exists():
            home.mkdir(parents=True, exist_ok=True)
            _, run = self.learnt(rate, 0, home)
            write_whole(home / "dev.json", run.model_dump_json())
            for part in ("checkpoints", MEMBERS):
                shutil.rmtree(home / part, ignore_errors=True)
        return parse(Run, json.loads((home / "dev.json").read_text(encoding="utf-8")), where=str(home)).dev

    def learnt(self, rate: float, seed: int, home: Path) -> tuple[Predictor, Run]:
        """Learn the labels with this rate and seed."""
        return self._together(self.ensemble, rate, seed, home) if self.ensemble else self._alone(rate, seed, home)

    def _together(self, ensemble: Ensemble, rate: float, seed: int, home: Path) -> tuple[Predictor, Run]:
        """The first member is what the strategy alone learns with this seed; no two runs share another's seed."""
        runs, networks = [], []
        for number in range(ensemble.members):
            place, own = home / MEMBERS / str(number), seed + number * self.settings.seeds
            drawn = ensemble.drawn(arm=seed, member=own)
            runs.append(kept(place, partial(self._alone, rate, own, place, drawn=drawn)))
            networks.append(Network.load(place / "model"))
        predictor = ensemble.combined(networks)
        return predictor, Run(dev=self.bench.dev_score(predictor), cost=sum((run.cost for run in runs), Cost()))

    def _alone(self, rate: float, seed: int, home: Path, *, drawn: int | None = None) -> tuple[Predictor, Run]:
        bench = replace(self.bench, settings=self.settings.learning(self.name, rate=rate))
        bench.material = self.bench.material
        bench.check_stop(f"{self.name}, seed {seed}")
        title = f"{self.name}, rate {rate:g}, seed {seed}"
        files = bench.material.files
        return bench.fit_network(files, steps=self.steps, seed=seed, folder=home, title=title, drawn=drawn)

    def trainable(self) -> int:
        """How many numbers learn by the end, in all members together."""
        parts = self.bench.classify.parts(self.bench.material.files.backbone, World(self.bench.tokenizer.vocab))
        model = self.strategy.prepare(started(self.bench.material.files, parts, seed=0))
        self.strategy.before_step(model, self.steps - 1)
        members = self.ensemble.members if self.ensemble else 1
        return members * sum(p.numel() for p in model.parameters() if p.requires_grad)


def in_words(data: Mapping[str, Any]) -> str:
    """A strategy with its settings, as `sda (weight 1, window 5) over full (layer_decay 0.9)`."""
    [(name, fields)] = data.items()
    plain = {field: value for field, value in fields.items() if field not in ("over", "seed")}
    shown = [f"{field} {value:g}" if isinstance(value, float) else f"{field} {value}" for field, value in plain.items()]
    over = f" over {in_words(fields['over'])}" if "over" in fields else ""
    return f"{name} ({', '.join(shown)}){over}" if shown else f"{name}{over}"


def execute(settings: StrategySettings, bench: Bench) -> list[Outcome]:
    """Do what is left; one outcome for each number of labels. Raises Stopped when a signal came."""
    for warning in warnings(bench.task):
        bench.progress.say(f"Warning: {warning}")
    bench.material.tell()
    return [_judged(settings, bench, per_class) for per_class in settings.per_class]


def _judged(settings: StrategySettings, bench: Bench, per_class: int | None) -> Outcome:
    folder = home_of(bench.folder, per_class, among=settings.per_class)
    if (folder / "results.json").exists():
        return reopened(folder)
    few = bench.over(with_labels(bench.task, per_class, seed=settings.seed), folder)
    tunings = [Tuning(name, settings, few) for name in settings.strategies]
    plans = [plan for plan in adapt_arms(few) if plan.name in BASELINES]
    trained = [Trained.of(few, plan) for plan in (*plans, *(tuning.arm() for tuning in tunings))]
    chosen = max((arm for arm in trained if arm.plan.name in settings.strategies), key=lambda arm: arm.dev)
    labels = "all labels" if per_class is None else f"{per_class} labels a class"
    gathered = study(
        few,
        trained,
        selected=chosen.plan.name,
        budget=f"{tunings[0].steps:,} updates for each strategy and seed, and for each member of several, on {labels}",
        pretraining=None,
    )
    learnt = {tuning.name: tuning.trainable() for tuning in tunings}
    arms = tuple(arm.model_copy(update={"trainable": learnt.get(arm.name)}) for arm in gathered.arms)
    return concluded(folder, gathered.model_copy(update={"arms": arms}), trained)
