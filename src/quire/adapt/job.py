"""One job from texts and labels to a model and its proof.

Train every arm; select on dev; try int8 on the selected one; only then read test, once; judge; write the report.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from quire.adapt.arms import ArmPlan, arms, pretraining_facts
from quire.adapt.bench import Bench
from quire.adapt.calibrate import spend
from quire.adapt.measure import speedup
from quire.adapt.study import Trained, study
from quire.core.results import (
    Quantisation,
    Study,
)
from quire.core.verdict import Verdict
from quire.judge import verdict
from quire.predict import load
from quire.predict.network import Int8Network, Network
from quire.report import model_card, render
from quire.text.cut import KEPT
from quire.train.safe import write_whole

INT8 = "int8"
NETWORKS = ("finetuned", "adapted")
"""Arms whose model transformers opens; the best of them is kept beside a selected arm of another kind."""


@dataclass(frozen=True)
class Outcome:
    """What a job found, and where its files lie."""

    study: Study
    verdict: Verdict
    report: Path
    model: Path


def execute(bench: Bench) -> Outcome:
    """Do what is left of the job in the bench's folder. Raises Stopped when a signal came; the next call goes on."""
    bench.warn()
    bench.material.tell()
    if bench.truncated:
        kept = KEPT[bench.settings.recipe.data.cut]
        bench.progress.say(f"{bench.truncated:.1%} of the texts are longer than {bench.length} tokens; kept is {kept}")
    plans = arms(bench)
    spend(bench, trained_arms=sum(not plan.fixed for plan in plans))
    done = [Trained.of(bench, plan) for plan in plans]
    chosen = max(done, key=lambda arm: arm.dev)  # the first, that is the simplest, among equals
    bench.note("selected", {"arm": chosen.plan.name, "dev": chosen.dev})
    small, quantisation = _in_int8(bench, chosen)
    found = [*done, small] if small else done
    gathered = study(
        bench,
        found,
        selected=chosen.plan.name,
        budget=bench.spending.statement,
        pretraining=pretraining_facts(bench),
        quantisation=quantisation,
    )
    return _written(bench, gathered, verdict(gathered), found)


def _in_int8(bench: Bench, chosen: Trained) -> tuple[Trained | None, Quantisation | None]:
    """The selected network in int8, kept only if it is faster here and loses no more than allowed on dev."""
    if not isinstance(load(chosen.folders[0]), Network):
        return None, None
    bench.progress.say("Trying int8 on the selected arm")
    plan = ArmPlan(INT8, f"{chosen.plan.title}, int8", f"{chosen.plan.how} Weights in int8.", chosen.plan.train)
    runs, folders = [], []
    for seed, (run, folder) in enumerate(zip(chosen.runs, chosen.folders, strict=True)):
        network = load(folder)
        assert isinstance(network, Network)
        small = Int8Network.quantised(network)
        home = bench.folder / "arms" / INT8 / f"seed-{seed}" / "model"
        small.save(home)
        runs.append(run.model_copy(update={"dev": bench.dev_score(small), "curve": ()}))
        folders.append(home)
    arm = Trained(plan, tuple(runs), tuple(folders))
    slow, fast = (load(homes[chosen.best]).probabilities for homes in (chosen.folders, folders))
    lower, median, _ = speedup(slow, fast, bench.task.dev.texts)
    loss = (chosen.dev - arm.dev) * 100
    faster, good = lower > 1, loss <= bench.settings.max_loss
    why = (
        f"{median:.2f} times as fast at batch 1 (a quarter of the paired ratios is below {lower:.2f}) and "
        f"{loss:.2f} points lost on dev, at most {bench.settings.max_loss:g} allowed"
    )
    if not faster:
        why = f"not measurably faster on this machine: {why}"
    elif not good:
        why = f"it loses too much: {why}"
    return arm, Quantisation(arm=INT8, kept=faster and good, why=why, speedup=median, loss=loss)


def _written(bench: Bench, study: Study, judged: Verdict, found: list[Trained]) -> Outcome:
    folder, card = bench.folder, model_card(study, judged)
    homes = {arm.plan.name: arm.folders[arm.best] for arm in found}
    model = folder / "model"
    load(homes[study.selected]).save(model, card=card)
    if study.deployed.name == INT8:
        model = folder / "model-int8"
        load(homes[INT8]).save(model, card=card)
    if networks := [arm for arm in found if arm.plan.name in NETWORKS]:
        best = max(networks, key=lambda arm: arm.dev)
        if best.plan.name != study.selected:
            load(homes[best.plan.name]).save(folder / "network", card=card)
    report = folder / "report.html"
    write_whole(report, render(study, judged))
    write_whole(folder / "results.json", study.to_json())
    bench.note("finished", {"verdict": judged.sentence, "deployed": study.deployed.name})
    for home in {path.parent for arm in found for path in arm.folders}:
        shutil.rmtree(home / "model", ignore_errors=True)
    return Outcome(study, judged, report, model)


def reopened(folder: Path) -> Outcome:
    """The outcome of a job that is finished, from its `results.json`."""
    path = folder / "results.json"
    study = Study.from_json(path.read_text(encoding="utf-8"), where=str(path))
    model = folder / ("model-int8" if study.deployed.name == INT8 else "model")
    return Outcome(study, verdict(study), folder / "report.html", model)


def home_of(folder: Path, per_class: int | None, *, among: Sequence[int | None]) -> Path:
    """Where the study with so many labels lies: the run folder itself when there is one study only."""
    return folder if len(among) == 1 else folder / f"labels-{'all' if per_class is None else per_class}"


def concluded(folder: Path, found: Study, trained: Sequence[Trained]) -> Outcome:
    """Judge a comparison and write its report and its best model; the models of the runs go."""
    [best] = [arm.folders[arm.best] for arm in trained if arm.plan.name == found.selected]
    outcome = written(folder, found, load(best))
    for home in {path for arm in trained for path in arm.folders}:
        shutil.rmtree(home, ignore_errors=True)
    return outcome


class Kept(Protocol):
    """Whatever was trained and can be saved."""

    def save(self, folder: Path, *, card: str = "") -> None: ...


def written(folder: Path, found: Study, best: Kept) -> Outcome:
    """Judge a study, and write its report, its results and the best model."""
    judged, report, model = verdict(found), folder / "report.html", folder / "model"
    best.save(model, card=model_card(found, judged))
    write_whole(report, render(found, judged))
    write_whole(folder / "results.json", found.to_json())
    return Outcome(found, judged, report, model)
