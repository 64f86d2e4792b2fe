"""A run of a study: trained, left at its best moment on dev, and kept as what it answered."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.absa.scale import Work
from benchmarks.keep import RESULTS
from quire.adapt.study import environment
from quire.core.config import Settings, parse
from quire.core.results import RIGHT, Arm, DataFacts, Measure, Run, SplitFacts, Study
from quire.nn.model import Model
from quire.train.keeper import Keeper
from quire.train.log import cost_of, curve_of
from quire.train.loop import Job, fit
from quire.train.safe import read_json, read_tensors, write_whole

Made = TypeVar("Made", bound=Settings)


def once(folder: Path, made: type[Made], make: Callable[[Path], Made]) -> Made:
    """What was made before, or is made now, in a folder that is dropped when `folder` holds what came out of it."""
    result = folder / "result.json"
    if not result.exists():
        found = make(folder / "run")
        write_whole(result, found.model_dump_json())
        shutil.rmtree(folder / "run")
    return parse(made, read_json(result), where=str(result))


def learnt(work: Work, model: Model, job: Job, *, folder: Path, measure: Callable[[], float]) -> Run:
    """Train; `model` is then as it was when it measured best on dev, the first time among equals."""
    keeper = Keeper(model, folder, lambda: {"score": measure()})
    log = fit(
        model,
        job,
        folder=folder,
        title=" ".join(folder.relative_to(work.home).parts[:-1]),
        progress=work.progress,
        stop=work.stop,
        watch=keeper,
        watch_every=-(-job.plan.steps // work.scale.moments),
    )
    model.load_state_dict(read_tensors(keeper.weights_of("score")))
    return Run(dev=keeper.best["score"], cost=cost_of(log), curve=curve_of(log, dev="dev_score"))


def gathered(folder: Path, arms: Sequence[Arm], *, metric: Measure, splits: Mapping[str, int]) -> Study:
    """Arms whose answers are wholly right or not, or have marks, as what `judge` compares; left in `folder`, too."""
    found: dict[str, Any] = {
        "title": folder.name,
        "labels": RIGHT,
        "truth": [1] * arms[0].predictions.shape[1],
        "metric": metric,
        "arms": tuple(arms),
        "selected": max(arms, key=lambda arm: sum(arm.dev)).name,
        "budget": "",
        "data": DataFacts(splits=tuple(SplitFacts(name=name, examples=count) for name, count in splits.items())),
        "environment": environment(0),
        "seconds": sum(cost.seconds for arm in arms for cost in arm.cost),
    }
    study = Study(**found)
    write_whole(folder / RESULTS, study.to_json())
    return study
