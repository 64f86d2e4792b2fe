"""One comparison: pre-train every arm under one budget, fine-tune each on the same labels, then read test and judge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quire.adapt.arms import arms as adapt_arms
from quire.adapt.bench import Bench
from quire.adapt.job import Outcome, concluded, home_of, reopened
from quire.adapt.study import Trained, study
from quire.adapt.task import Task, labels_in_words, warnings, with_labels
from quire.compare.arms import Contender, control
from quire.compare.corpus import ONE_IN, Part
from quire.compare.settings import CompareSettings
from quire.core.errors import BadInput
from quire.core.results import Pretrained, Pretraining
from quire.pretrain import Material
from quire.train.folder import Clock
from quire.train.loop import rehearse
from quire.train.progress import Progress
from quire.train.signals import StopRequest

BASELINES = ("majority", "tfidf")
"""Arms of `quire adapt` that need no network: they stand in every comparison, but are not what is selected."""


def contenders(
    settings: CompareSettings, task: Task, folder: Path, progress: Progress, stop: StopRequest, *, track: bool
) -> list[Contender]:
    """The arms on their common corpus, each planned and tried on a batch; BadInput names the arm that cannot run."""
    found, clock = [], Clock(folder)
    for name, recipe in settings.arms.items():
        bench = Bench(settings.of_arm(name), task, folder, progress, stop, track=track, clock=clock)
        bench.material = Material(recipe, folder, Part(task.corpus_texts, held_out=False), progress)
        held_out = Material(recipe, folder / "held-out", Part(task.corpus_texts, held_out=True), progress)
        contender = Contender(name, bench, held_out, settings.budget)
        try:
            _tried(contender)
        except BadInput as error:
            raise BadInput(f"arm {name}: {error}") from error
        found.append(contender)
    return found


def _tried(contender: Contender) -> None:
    material, home = contender.bench.material, contender.held_out.folder / "tokenizer"
    if not home.is_dir():
        material.tokenizer.save(home)
    job = material.job(steps=1, seed=0)
    material.model(job)
    rehearse(job)
    try:
        _ = contender.held_out.shards
    except BadInput as error:
        raise BadInput(f"one document in {ONE_IN} is held out: {error}; give more documents") from error


def execute(settings: CompareSettings, arms: Sequence[Contender]) -> list[Outcome]:
    """Do what is left; one outcome for each number of labels. Raises Stopped when a signal came."""
    first = arms[0].bench
    for warning in warnings(first.task):
        first.progress.say(f"Warning: {warning}")
    for arm in arms:
        first.progress.say(f"{arm.name}: {arm.plan.steps:,} updates of about {arm.plan.tokens:,.0f} tokens a seed")
    pretrained = [arm.pretrained(seed) for arm in arms for seed in range(settings.seeds)]
    for found in pretrained:
        for alarm in found.alarms:
            first.progress.say(f"Alarm: {found.arm}, seed {found.seed}: {alarm}")
    return [_judged(settings, arms, pretrained, per_class) for per_class in settings.per_class]


def _judged(
    settings: CompareSettings, arms: Sequence[Contender], pretrained: Sequence[Pretrained], per_class: int | None
) -> Outcome:
    folder = home_of(arms[0].bench.folder, per_class, among=settings.per_class)
    if (folder / "results.json").exists():
        return reopened(folder)
    task = with_labels(arms[0].bench.task, per_class, seed=settings.seed)
    benches = {arm.name: arm.bench.over(task, folder) for arm in arms}
    first = benches[arms[0].name]
    plans = [plan for plan in adapt_arms(first) if plan.name in BASELINES]
    plans += [control(first, arms[0].name), *(arm.arm(benches[arm.name]) for arm in arms)]
    trained = [Trained.of(first, plan) for plan in plans]
    chosen = max((arm for arm in trained if arm.plan.name in benches), key=lambda arm: arm.dev)
    labels = labels_in_words(arms[0].bench.task, per_class)
    gathered = study(
        first,
        trained,
        selected=chosen.plan.name,
        budget=f"{budget_in_words(settings)}; fine-tuned on {labels}",
        pretraining=_yardsticks(arms[0]),
    ).model_copy(update={"pretrained": tuple(pretrained)})
    return concluded(folder, gathered, trained)


def budget_in_words(settings: CompareSettings) -> str:
    """What each arm may spend."""
    amount, unit = settings.budget.amount, settings.budget.unit
    spoken = {"seconds": f"{amount / 60:g} minutes", "flops": f"{amount:.3g} FLOPs"}
    return f"{spoken.get(unit, f'{amount:,.0f} {unit}')} of pre-training for each arm and seed"


def _yardsticks(arm: Contender) -> Pretraining:
    found = arm.yardstick
    return Pretraining(
        points=(),
        unigram=found.unigram,
        bigram=found.bigram,
        most_frequent=found.floor,
        corpus_tokens=len(arm.bench.material.shards),
        text="held-out",
    )
