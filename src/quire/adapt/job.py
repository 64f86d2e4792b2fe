"""One job from texts and labels to a model and its proof.

Train every arm; select on dev; try int8 on the selected one; only then read test, once; judge; write the report.
"""

from __future__ import annotations

import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from quire.adapt.arms import ArmPlan, arms, pretraining_facts, run_folder, trained
from quire.adapt.bench import Bench, Run
from quire.adapt.calibrate import spend
from quire.adapt.measure import latencies, length_histogram, size_on_disk, speedup
from quire.adapt.task import warnings
from quire.judge import verdict
from quire.core.results import (
    Arm,
    DataFacts,
    Environment,
    Histogram,
    Quantisation,
    SplitFacts,
    Study,
)
from quire.core.verdict import Verdict
from quire.predict import load
from quire.predict.network import Int8Network, Network
from quire.report import model_card, render
from quire.train.machine import cores, processor
from quire.train.safe import write_whole

INT8 = "int8"
NETWORKS = ("finetuned", "adapted")
"""Arms whose model transformers opens; the best of them is kept beside a selected arm of another kind."""
KEPT = {
    "head": "the beginning",
    "tail": "the end",
    "head+tail": "a quarter from the beginning and the rest from the end",
}
"""What each way of cutting keeps of a text that is too long."""


@dataclass(frozen=True)
class Outcome:
    """What a job found, and where its files lie."""

    study: Study
    verdict: Verdict
    report: Path
    model: Path


@dataclass(frozen=True)
class _Trained:
    """An arm with its runs; `folders` hold one predictor a seed."""

    plan: ArmPlan
    runs: tuple[Run, ...]
    folders: tuple[Path, ...]

    @property
    def dev(self) -> float:
        return float(np.mean([run.dev for run in self.runs]))

    @property
    def best(self) -> int:
        return int(np.argmax([run.dev for run in self.runs]))


def execute(bench: Bench) -> Outcome:
    """Do what is left of the job in the bench's folder. Raises Stopped when a signal came; the next call goes on."""
    for warning in warnings(bench.task):
        bench.progress.say(f"Warning: {warning}")
    if bench.truncated:
        kept = KEPT[bench.settings.recipe.data.cut]
        bench.progress.say(f"{bench.truncated:.1%} of the texts are longer than {bench.length} tokens; kept is {kept}")
    plans = arms(bench)
    spend(bench, trained_arms=sum(not plan.fixed for plan in plans))
    seeds = range(bench.settings.seeds)
    done = [
        _Trained(
            plan,
            tuple(trained(bench, plan, seed) for seed in seeds),
            tuple(run_folder(bench, plan, seed) / "model" for seed in seeds),
        )
        for plan in plans
    ]
    chosen = max(done, key=lambda arm: arm.dev)  # the first, that is the simplest, among equals
    bench.note("selected", {"arm": chosen.plan.name, "dev": chosen.dev})
    small, quantisation = _in_int8(bench, chosen)
    found = [*done, small] if small else done
    study = _study(bench, found, chosen, quantisation)
    judged = verdict(study)
    return _written(bench, study, judged, found)


def _in_int8(bench: Bench, chosen: _Trained) -> tuple[_Trained | None, Quantisation | None]:
    """The selected network in int8, kept only if it is faster here and loses no more than allowed on dev."""
    if not isinstance(load(chosen.folders[0]), Network):
        return None, None
    bench.progress.say("Trying int8 on the selected arm")
    plan = ArmPlan(INT8, f"{chosen.plan.title}, int8", f"{chosen.plan.how} Weights in int8.", chosen.plan.train)
    runs, folders = [], []
    for seed, (run, folder) in enumerate(zip(chosen.runs, chosen.folders, strict=True)):
        network = load(folder)
        assert isinstance(network, Network)
        small = Int8Network.of(network)
        home = bench.folder / "arms" / INT8 / f"seed-{seed}" / "model"
        small.save(home)
        runs.append(run.model_copy(update={"dev": bench.dev_score(small), "curve": ()}))
        folders.append(home)
    arm = _Trained(plan, tuple(runs), tuple(folders))
    lower, median, _ = speedup(load(chosen.folders[chosen.best]), load(folders[chosen.best]), bench.task.dev.texts)
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


def _study(bench: Bench, found: list[_Trained], chosen: _Trained, quantisation: Quantisation | None) -> Study:
    """Read test, once, and gather the results."""
    task, settings = bench.task, bench.settings
    folders = list(dict.fromkeys(folder for arm in found for folder in arm.folders))
    answers = _answers(bench, folders)
    study = Study(
        title=settings.title or f"{Path(settings.inputs.train).name}: {', '.join(task.labels[:8])}",
        labels=task.labels,
        truth=task.test.answers(task.labels),
        metric=settings.metric,
        arms=tuple(_measured(bench, arm, answers) for arm in found),
        selected=chosen.plan.name,
        budget=bench.spending.statement,
        data=_data_facts(bench),
        environment=_environment(bench),
        seconds=bench.elapsed(),
        leaked=task.audit.leaked,
        pretraining=pretraining_facts(bench),
        quantisation=quantisation,
        usage=_usage(bench.folder),
    )
    return study.with_texts(task.test.texts)


def _usage(folder: Path) -> dict[str, str]:
    """How to use what is deployed."""
    return {
        "Command line": f"quire predict {shlex.quote(str(folder))} 'a text'",
        "Python": f"import quire\nquire.load({str(folder)!r})('a text').label",
    }


def _answers(bench: Bench, folders: Sequence[Path]) -> dict[Path, npt.NDArray[np.float32]]:
    """The probabilities [E, C] on test of the predictor in each folder."""
    bench.progress.start("Reading test", len(folders))
    found = {}
    for number, folder in enumerate(folders, start=1):
        bench.check_stop("test was read whole")
        found[folder] = load(folder).probabilities(bench.task.test.texts)
        bench.progress.update(number, folder.parent.parent.name)
    return found


def _measured(bench: Bench, arm: _Trained, answers: Mapping[Path, npt.NDArray[np.float32]]) -> Arm:
    probabilities_REC = np.stack([answers[folder] for folder in arm.folders])
    deployed = load(arm.folders[arm.best])
    return Arm(
        name=arm.plan.name,
        title=arm.plan.title,
        how=arm.plan.how,
        seeds=tuple(range(len(arm.runs))),
        dev=tuple(run.dev for run in arm.runs),
        predictions=probabilities_REC.argmax(axis=2),
        probabilities=probabilities_REC,
        parameters=deployed.parameter_count(),
        bytes=size_on_disk(arm.folders[arm.best]),
        latency=latencies(deployed, bench.task.dev.texts),
        threads=torch.get_num_threads(),
        cost=tuple(run.cost for run in arm.runs),
        curves=tuple(run.curve for run in arm.runs) if any(run.curve for run in arm.runs) else (),
    )


def _data_facts(bench: Bench) -> DataFacts:
    task, data = bench.task, bench.settings.recipe.data
    edges, counts = length_histogram(bench.lengths)
    parts = ((task.train, task.audit.train), (task.dev, task.audit.dev), (task.test, task.audit.test))
    return DataFacts(
        splits=tuple(
            SplitFacts(name=part.name, examples=found.rows, labels=found.labels, sha256=part.sha256)
            for part, found in parts
        ),
        duplicates=task.audit.train.duplicates,
        conflicts=len(task.audit.conflicts),
        lengths=Histogram(edges=edges, counts=counts),
        limit=bench.length,
        truncated=bench.truncated,
        truncation=KEPT[data.cut],
        proof=task.corpus_texts().proof(),
        notes=(
            *(f"{part.name}: {part.origin}" for part, _ in parts),
            *warnings(task),
            *((str(bench.material.extension),) if bench.material.extension else ()),
        ),
    )


def _environment(bench: Bench) -> Environment:
    names = ("torch", "numpy", "scikit-learn", "tokenizers", "quire")
    return Environment(
        cpu=processor(),
        cores=cores(),
        threads=torch.get_num_threads(),
        versions={"python": platform.python_version(), **{name: version(name) for name in names}},
        seed=bench.settings.seed,
        command=shlex.join(["quire", *sys.argv[1:]]),
        commit=_commit(),
    )


def _commit() -> str | None:
    """The commit of the source tree Quire runs from, where it is one."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def _written(bench: Bench, study: Study, judged: Verdict, found: list[_Trained]) -> Outcome:
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
