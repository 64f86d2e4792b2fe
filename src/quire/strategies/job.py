"""One comparison of strategies: from one base, with as many updates each, then test is read once and judged."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quire.adapt.arms import ArmPlan, kept
from quire.adapt.arms import arms as adapt_arms
from quire.adapt.bench import Bench
from quire.adapt.job import Outcome, concluded, home_of, reopened
from quire.adapt.study import Trained, study
from quire.adapt.task import labels_in_words, with_labels
from quire.core.errors import BadInput
from quire.core.example import World
from quire.core.results import Run
from quire.predict import Predictor
from quire.predict import load as load_predictor
from quire.predict.network import Network
from quire.strategies.compound import Compound
from quire.strategies.settings import LEAST, StrategySettings
from quire.train.start import started
from quire.train.weights import ModelFiles
from quire.tuning import Strategy
from quire.tuning.base import Over

BASELINES = ("majority", "features")
"""Arms of `quire adapt` that stand beside, and are deployed where no strategy is better on dev: a frozen body under a
regression is the floor of all strategies."""
STAGES = "stages"
"""Where arms that go on with text first keep what they have until the comparison is done."""


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
    def compound(self) -> Compound | None:
        """Where the arm is more than one fit of its strategy."""
        found = self.settings.strategies[self.name]
        return found if isinstance(found, Compound) else None

    @property
    def steps(self) -> int:
        """Updates: as many for every strategy."""
        plan = self.bench.finetune
        return max(plan.epochs * -(-len(self.bench.task.train.records) // plan.train.batch), LEAST)

    def arm(self) -> ArmPlan:
        """The arm as a study knows it."""
        title = " ".join(self.name.replace("_", " ").split())
        told = in_words(self.settings.strategies[self.name])
        each = " for each member" if self._fits > 1 else ""
        how = f"{told}; {self.steps:,} updates{each} at a rate of {self.rate:g}{self._why}."
        return ArmPlan(self.name, title, how, lambda _, seed, home: self.learnt(seed, home))

    @property
    def _tried(self) -> tuple[float, ...]:
        return self.settings.tried(self.name)

    @property
    def _fits(self) -> int:
        return self.compound.fits if self.compound else 1

    @property
    def _why(self) -> str:
        several = len(self._tried) > 1
        return f", chosen on dev among {', '.join(f'{rate:g}' for rate in self._tried)}" if several else ""

    @property
    def rate(self) -> float:
        """The learning rate: the only one, or that whose first seed is best on dev, the first among equals."""
        if len(self._tried) == 1:
            return self._tried[0]
        dev = {rate: self._trial(rate).dev for rate in self._tried}
        return max(self._tried, key=lambda rate: dev[rate])

    def _trial(self, rate: float) -> Run:
        home = self._place(rate)
        return kept(home, lambda: self.at(rate, 0, home))

    def _place(self, rate: float) -> Path:
        return self.bench.folder / "arms" / self.name / f"rate-{rate:g}"

    @property
    def stage(self) -> Path:
        """Where a stage before the labels lies, which is the same for any number of them."""
        return self.bench.material.folder / STAGES / self.name

    def learnt(self, seed: int, home: Path) -> tuple[Predictor, Run]:
        """Learn the labels with this seed; the trial of the chosen rate is the run of the first."""
        if seed == 0 and len(self._tried) > 1:
            return load_predictor(self._place(self.rate) / "model"), self._trial(self.rate)
        return self.at(self.rate, seed, home)

    def at(self, rate: float, seed: int, home: Path) -> tuple[Predictor, Run]:
        """Learn the labels with this rate and seed."""
        if self.compound:
            return self.compound.learnt(self, rate=rate, seed=seed, home=home)
        return self.fitted(rate, seed, home)

    def fitted(
        self, rate: float, seed: int, home: Path, *, drawn: int | None = None, files: ModelFiles | None = None
    ) -> tuple[Network, Run]:
        """One fit, from `files` or from the base; `drawn` is the seed of fresh weights where it is another."""
        bench = replace(self.bench, settings=self.settings.learning(self.name, rate=rate))
        bench.material = self.bench.material
        bench.check_stop(f"{self.name}, seed {seed}")
        title = f"{self.name}, rate {rate:g}, seed {seed}"
        start = files or bench.material.files
        return bench.fit_network(start, steps=self.steps, seed=seed, folder=home, title=title, drawn=drawn)

    def check(self) -> None:
        """BadInput, with the arm's name, where it cannot be prepared on this base."""
        try:
            self.trainable()
            if self.compound:
                self.compound.check(self)
        except BadInput as error:
            raise BadInput(f"strategy {self.name}: {error}") from error

    def trainable(self) -> int:
        """How many numbers learn labels by the end, in all members together."""
        parts = self.bench.classify.parts(self.bench.material.files.backbone, World(self.bench.tokenizer.vocab))
        model = self.strategy.prepare(started(self.bench.material.files, parts, seed=0))
        self.strategy.before_step(model, self.steps - 1)
        return self._fits * sum(p.numel() for p in model.parameters() if p.requires_grad)


def in_words(strategy: Strategy | Compound) -> str:
    """It and its settings, as `sda (weight 1, window 5) over full (layer decay 0.9)`.

    What is off by default is not told.
    """
    shown = []
    for field, info in type(strategy).model_fields.items():
        value = getattr(strategy, field)
        off = not value and value == info.default
        if field not in ("over", "seed") and not off:
            shown.append(f"{field.replace('_', ' ')} {_value(value)}")
    over = f" over {in_words(strategy.over)}" if isinstance(strategy, Over | Compound) else ""
    return f"{strategy.name()} ({', '.join(shown)}){over}" if shown else f"{strategy.name()}{over}"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return " and ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def execute(settings: StrategySettings, bench: Bench) -> list[Outcome]:
    """Do what is left; one outcome for each number of labels. Raises Stopped when a signal came."""
    bench.warn()
    bench.material.tell()
    outcomes = [_judged(settings, bench, per_class) for per_class in settings.per_class]
    shutil.rmtree(bench.folder / STAGES, ignore_errors=True)
    return outcomes


def _judged(settings: StrategySettings, bench: Bench, per_class: int | None) -> Outcome:
    folder = home_of(bench.folder, per_class, among=settings.per_class)
    if (folder / "results.json").exists():
        return reopened(folder)
    few = bench.over(with_labels(bench.task, per_class, seed=settings.seed), folder)
    tunings = [Tuning(name, settings, few) for name in settings.strategies]
    plans = [plan for plan in adapt_arms(few) if plan.name in BASELINES]
    trained = [Trained.of(few, plan) for plan in (*plans, *(tuning.arm() for tuning in tunings))]
    chosen = max(trained, key=lambda arm: arm.dev)  # the first, that is the simplest, among equals
    labels = labels_in_words(bench.task, per_class)
    gathered = study(
        few,
        trained,
        selected=chosen.plan.name,
        budget=f"{tunings[0].steps:,} updates for each strategy and seed, and for each member of several, on {labels}",
        pretraining=None,
    )
    learnt = {tuning.name: {"trainable": tuning.trainable(), "rate": tuning.rate} for tuning in tunings}
    arms = tuple(arm.model_copy(update=learnt.get(arm.name, {})) for arm in gathered.arms)
    outcome = concluded(folder, gathered.model_copy(update={"arms": arms}), trained)
    for trial in folder.glob("arms/*/rate-*/model"):
        shutil.rmtree(trial, ignore_errors=True)
    return outcome
