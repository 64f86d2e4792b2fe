"""One comparison of ways to share: train every way with every seed, then read test once, judge, and write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quire.adapt.task import warnings
from quire.core.config import Settings, parse
from quire.core.results import Study
from quire.judge import verdict
from quire.multitask.settings import SharingSettings
from quire.multitask.shop import Shop
from quire.multitask.study import name_of, network_of, runs_of, studies
from quire.multitask.table import Table, markdown, tabulate
from quire.multitask.ways import kept
from quire.report import model_card, render
from quire.train.folder import Clock
from quire.train.safe import read_json, write_whole

LEGEND = (
    "Scores are {} in percent, the mean over {} seeds, with {:.0%} intervals of a paired bootstrap over texts and "
    "seeds. p compares with the first way of the same recipe and is corrected over the whole table (Holm); + and - "
    "mark a difference that is more than chance. The gain is the mean of the differences. Each task's weights are "
    "those of its best moment on dev; test was read once, at the end."
)


class Results(Settings):
    """`results.json`: a study for each task, and the table."""

    studies: Mapping[str, Study]
    table: Table


@dataclass(frozen=True)
class Shared:
    """What a comparison found, and where its files lie: a report for each task, and models by task."""

    results: Results
    folder: Path

    @property
    def table(self) -> Table:
        return self.results.table

    @property
    def report(self) -> Path:
        return self.folder / "report.md"


def execute(settings: SharingSettings, shops: Sequence[Shop], clock: Clock) -> Shared:
    """Do what is left of the comparison. Raises Stopped when a signal came; the next call goes on."""
    first = shops[0]
    for name, task in first.tasks.items():
        for warning in warnings(task):
            first.progress.say(f"Warning: {name}: {warning}")
        if task.train.origin != settings.tasks[name].train:
            first.progress.say(f"{name}: trained on {task.train.origin}")
    runs_of(shops)
    found = studies(shops, seconds=clock.elapsed())
    ways = settings.ways
    pairs = [(name_of(shop, way), name_of(shop, ways[0])) for shop in shops for way in ways[1:]]
    results = Results(studies=found, table=tabulate(found, pairs))
    return _written(settings, shops, results)


def reopened(folder: Path) -> Shared:
    """A comparison that is finished."""
    path = folder / "results.json"
    return Shared(parse(Results, read_json(path), where=str(path)), folder)


def _written(settings: SharingSettings, shops: Sequence[Shop], results: Results) -> Shared:
    folder = shops[0].folder
    places = {name_of(shop, way): (shop, way) for shop in shops for way in settings.ways}
    (folder / "models").mkdir(exist_ok=True)
    for name, study in results.studies.items():
        judged = verdict(study)
        shop, way = places[study.selected]
        best = int(np.argmax(study.arm(study.selected).dev))
        weights = dict(kept(shop, way, best))[name]
        network_of(shop, name, weights).save(folder / "models" / name, card=model_card(study, judged))
        write_whole(folder / f"report-{name}.html", render(study, judged))
    write_whole(folder / "report.md", _report(settings, results.table))
    write_whole(folder / "results.json", results.model_dump_json())
    for weights in folder.glob("arms/**/*.safetensors"):
        weights.unlink()
    return Shared(results, folder)


def _report(settings: SharingSettings, table: Table) -> str:
    title = " ".join(settings.title.split()) or "Ways to share"
    pages = "".join(f"- [{task}](report-{task}.html)\n" for task in table.tasks)
    return f"# {title}\n\n{markdown(table)}\n\n{LEGEND.format(settings.metric, settings.seeds, table.level)}\n\n{pages}"
