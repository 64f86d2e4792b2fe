"""One comparison: pre-train every arm under one budget, fine-tune each on the same labels, then read test and judge."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from quire.adapt.arms import arms as adapt_arms
from quire.adapt.bench import Bench
from quire.adapt.job import Outcome, reopened
from quire.adapt.study import Trained, study
from quire.adapt.task import Task, warnings
from quire.compare.arms import Contender, control
from quire.compare.corpus import ONE_IN, Part
from quire.compare.settings import CompareSettings
from quire.core.errors import BadInput
from quire.core.results import Pretrained, Pretraining, Study
from quire.judge import verdict
from quire.predict import load
from quire.pretrain import Material
from quire.report import model_card, render
from quire.text.audit import audit
from quire.text.split import few
from quire.train.loop import rehearse
from quire.train.progress import Progress
from quire.train.safe import write_whole
from quire.train.signals import StopRequest

BASELINES = ("majority", "tfidf")
"""Arms of `quire adapt` that need no network: they stand in every comparison, but are not what is selected."""


def contenders(
    settings: CompareSettings, task: Task, folder: Path, progress: Progress, stop: StopRequest, *, track: bool
) -> list[Contender]:
    """The arms on their common corpus, each planned and tried on a batch; BadInput names the arm that cannot run."""
    found = []
    for name, recipe in settings.arms.items():
        bench = Bench(settings.of_arm(name), task, folder, progress, stop, track=track)
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
    folder = home_of(settings, arms[0].bench.folder, per_class)
    if (folder / "results.json").exists():
        return reopened(folder)
    task = _with_labels(arms[0].bench.task, per_class, seed=settings.seed)
    benches = {arm.name: _labelled(arm.bench, task, folder) for arm in arms}
    first = benches[arms[0].name]
    plans = [plan for plan in adapt_arms(first) if plan.name in BASELINES]
    plans += [control(first, arms[0].name), *(arm.arm(benches[arm.name]) for arm in arms)]
    trained = [Trained.of(first, plan) for plan in plans]
    chosen = max((arm for arm in trained if arm.plan.name in benches), key=lambda arm: arm.dev)
    labels = "all labels" if per_class is None else f"{per_class} labels a class"
    gathered = study(
        first,
        trained,
        selected=chosen.plan.name,
        budget=f"{budget_in_words(settings)}; fine-tuned on {labels}",
        pretraining=_yardsticks(arms[0]),
    ).model_copy(update={"pretrained": tuple(pretrained)})
    return _written(folder, gathered, trained)


def budget_in_words(settings: CompareSettings) -> str:
    """What each arm may spend."""
    amount, unit = settings.budget.amount, settings.budget.unit
    spoken = {"seconds": f"{amount / 60:g} minutes", "flops": f"{amount:.3g} FLOPs"}
    return f"{spoken.get(unit, f'{amount:,.0f} {unit}')} of pre-training for each arm and seed"


def home_of(settings: CompareSettings, folder: Path, per_class: int | None) -> Path:
    """Where the study with so many labels lies: the run folder itself when there is one study only."""
    if len(settings.per_class) == 1:
        return folder
    return folder / f"labels-{'all' if per_class is None else per_class}"


def _labelled(bench: Bench, task: Task, folder: Path) -> Bench:
    """The same bench over other labels and another folder, on the same material."""
    made = replace(bench, task=task, folder=folder)
    made.material = bench.material
    return made


def _with_labels(task: Task, per_class: int | None, *, seed: int) -> Task:
    if per_class is None:
        return task
    origin = f"{per_class} a class of {task.train.origin}, drawn with seed {seed}"
    train = replace(task.train, records=tuple(few(task.train.records, per_class=per_class, seed=seed)), origin=origin)
    return replace(task, train=train, audit=audit(train.records, dev=task.dev.records, test=task.test.records))


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


def _written(folder: Path, found: Study, trained: Sequence[Trained]) -> Outcome:
    judged, report, model = verdict(found), folder / "report.html", folder / "model"
    [best] = [arm.folders[arm.best] for arm in trained if arm.plan.name == found.selected]
    load(best).save(model, card=model_card(found, judged))
    write_whole(report, render(found, judged))
    write_whole(folder / "results.json", found.to_json())
    for home in {path for arm in trained for path in arm.folders}:
        shutil.rmtree(home, ignore_errors=True)
    return Outcome(found, judged, report, model)
