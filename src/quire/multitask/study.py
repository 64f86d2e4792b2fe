"""From trained ways to a study for each task: test is read here, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from quire.adapt.study import environment
from quire.adapt.task import facts
from quire.core.errors import Stopped
from quire.core.results import Arm, Study
from quire.multitask.settings import HOW, TITLES, Way
from quire.multitask.shop import Shop
from quire.multitask.ways import Run, kept, trained
from quire.predict.network import Network
from quire.train.safe import read_tensors
from quire.train.start import alone

Place: TypeAlias = tuple[Shop, Way]


def name_of(shop: Shop, way: Way) -> str:
    """What an arm is called in the studies: its way alone where there is one recipe."""
    return way if len(shop.settings.arms) == 1 else f"{shop.arm}/{way}"


def title_of(shop: Shop, way: Way) -> str:
    return TITLES[way] if len(shop.settings.arms) == 1 else f"{shop.arm}: {TITLES[way]}"


def studies(shops: Sequence[Shop], *, seconds: float) -> dict[str, Study]:
    """Read test and gather the results of each task."""
    first = shops[0]
    places = [(shop, way) for shop in shops for way in first.settings.ways]
    first.progress.start("Reading test", len(first.tasks) * len(places))
    found = {}
    for number, (name, task) in enumerate(first.tasks.items()):
        arms = []
        for shop, way in places:
            if first.stop:
                raise Stopped(f"stopped by {first.stop.reason} while test was read; the same command goes on")
            arms.append(_measured(shop, way, name))
            first.progress.update(number * len(places) + len(arms), name)
        chosen = max(arms, key=lambda arm: float(np.mean(arm.dev)))
        settings = first.settings
        found[name] = Study(
            title=f"{settings.title}: {name}" if settings.title else name,
            labels=task.labels,
            truth=task.test.answers(task.labels),
            metric=settings.metric,
            arms=tuple(arms),
            selected=chosen.name,
            budget="; ".join(f"{shop.arm}: {shop.how.epochs} epochs of every task's labels" for shop in shops),
            data=facts(task),
            environment=environment(settings.seed),
            seconds=seconds,
            leaked=task.audit.leaked,
        ).with_texts(task.test.texts)
    return found


def _measured(shop: Shop, way: Way, name: str) -> Arm:
    seeds = range(shop.settings.seeds)
    runs = [trained(shop, way, seed) for seed in seeds]
    paths = [dict(kept(shop, way, seed))[name] for seed in seeds]
    networks = [network_of(shop, name, path) for path in paths]
    rows_REC = np.stack([network.probabilities(shop.tasks[name].test.texts) for network in networks])
    return Arm(
        name=name_of(shop, way),
        title=title_of(shop, way),
        how=f"{shop.recipe.title} ({shop.recipe.cite}). {HOW[way]}",
        seeds=tuple(seeds),
        dev=tuple(run.dev[name] for run in runs),
        predictions=rows_REC.argmax(axis=2),
        probabilities=rows_REC,
        parameters=networks[0].parameter_count(),
        bytes=paths[0].stat().st_size,
        cost=tuple(run.cost for run in runs),
        notes=("The cost is that of all tasks together.",),
    )


def network_of(shop: Shop, name: str, path: Path) -> Network:
    """What labels a task's texts, from the weights that were kept, with its head called as everywhere."""
    ask, slot, data = shop.how.classify(shop.tasks[name].labels), shop.asks[name].slot, shop.recipe.data
    backbone = shop.how.strategy.body(shop.material.files.backbone)
    head = ask.parts(backbone, shop.world)[ask.slot]
    model = alone(backbone, head, read_tensors(path), slot=slot, name=ask.slot)
    network = Network(model, ask, shop.material.tokenizer, length=data.length, how=data.cut)
    network.pairs = shop.tasks[name].pairs
    return network


def runs_of(shops: Sequence[Shop]) -> Mapping[str, tuple[Run, ...]]:
    """All runs by arm, made now unless they stand already: all ways of a seed, then the next seed."""
    settings = shops[0].settings
    made: dict[str, list[Run]] = {name_of(shop, way): [] for shop in shops for way in settings.ways}
    for seed in range(settings.seeds):
        for shop in shops:
            for way in settings.ways:
                made[name_of(shop, way)].append(trained(shop, way, seed))
    return {name: tuple(runs) for name, runs in made.items()}
