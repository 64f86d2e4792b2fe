"""From trained arms to a study: test is read here, once, and everything that was measured is gathered."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from quire.adapt.arms import ArmPlan, run_folder, trained
from quire.adapt.bench import Bench
from quire.adapt.measure import latencies, length_histogram, size_on_disk
from quire.adapt.task import facts
from quire.core.results import Arm, DataFacts, Environment, Histogram, Pretraining, Quantisation, Run, Study
from quire.predict import load
from quire.text.cut import KEPT
from quire.train.machine import accelerator, cores, processor


@dataclass(frozen=True)
class Trained:
    """An arm with its runs; `folders` hold one predictor a seed."""

    plan: ArmPlan
    runs: tuple[Run, ...]
    folders: tuple[Path, ...]

    @classmethod
    def of(cls, bench: Bench, plan: ArmPlan) -> Trained:
        """All seeds of an arm, trained now unless they stand already."""
        seeds = range(bench.settings.seeds)
        runs = tuple(trained(bench, plan, seed) for seed in seeds)
        return cls(plan, runs, tuple(run_folder(bench, plan, seed) / "model" for seed in seeds))

    @property
    def dev(self) -> float:
        return float(np.mean([run.dev for run in self.runs]))

    @property
    def best(self) -> int:
        return int(np.argmax([run.dev for run in self.runs]))


def study(
    bench: Bench,
    found: Sequence[Trained],
    *,
    selected: str,
    budget: str,
    pretraining: Pretraining | None,
    quantisation: Quantisation | None = None,
) -> Study:
    """Read test, once, and gather the results; `budget` says in words what each arm was given."""
    task, settings = bench.task, bench.settings
    folders = list(dict.fromkeys(folder for arm in found for folder in arm.folders))
    answers = _answers(bench, folders)
    gathered = Study(
        title=settings.title or f"{Path(settings.inputs.train).name}: {', '.join(task.labels[:8])}",
        labels=task.labels,
        truth=task.test.answers(task.labels),
        metric=settings.metric,
        arms=tuple(_measured(bench, arm, answers) for arm in found),
        selected=selected,
        budget=budget,
        data=_data_facts(bench),
        environment=environment(settings.seed),
        seconds=bench.clock.elapsed(),
        leaked=task.audit.leaked,
        pretraining=pretraining,
        quantisation=quantisation,
        usage=_usage(bench.folder, pairs=task.pairs),
    )
    return gathered.with_texts(task.test.texts)


def _usage(folder: Path, *, pairs: bool) -> dict[str, str]:
    """How to use what is deployed."""
    words, one = ("'a text' 'another'", "quire.Pair('a text', 'another')") if pairs else ("'a text'", "'a text'")
    return {
        "Command line": f"quire predict {shlex.quote(str(folder))} {words}",
        "Python": f"import quire\nquire.load({str(folder)!r})({one}).label",
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


def _measured(bench: Bench, arm: Trained, answers: Mapping[Path, npt.NDArray[np.float32]]) -> Arm:
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
        latency=latencies(deployed.probabilities, bench.task.dev.texts),
        threads=torch.get_num_threads(),
        cost=tuple(run.cost for run in arm.runs),
        curves=tuple(run.curve for run in arm.runs) if any(run.curve for run in arm.runs) else (),
    )


def _data_facts(bench: Bench) -> DataFacts:
    task, extension = bench.task, bench.material.extension
    edges, counts = length_histogram(bench.lengths)
    texts = {
        "lengths": Histogram(edges=edges, counts=counts),
        "limit": bench.length,
        "truncated": bench.truncated,
        "truncation": KEPT[bench.settings.recipe.data.cut],
        "proof": task.corpus_texts().proof(),
    }
    return facts(task, *bench.unread, *([str(extension)] if extension else [])).model_copy(update=texts)


def environment(seed: int) -> Environment:
    """This machine, these versions and this command."""
    names = ("torch", "numpy", "scikit-learn", "tokenizers", "quire")
    return Environment(
        cpu=processor(),
        cores=cores(),
        threads=torch.get_num_threads(),
        accelerator=accelerator(),
        versions={"python": platform.python_version(), **{name: version(name) for name in names}},
        seed=seed,
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
