"""The ways: each task alone, all together, the shared part as a language model first, and each on its own afterwards.

A way trains one seed at a time into `arms/<arm>/<way>/seed-<k>/`; a finished run is not made again.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from quire.core.config import Settings, parse
from quire.core.results import Cost
from quire.multitask.settings import TITLES, Way
from quire.multitask.shop import Shop
from quire.train.log import cost_of
from quire.train.loop import Job, fit, rehearse
from quire.train.safe import read_json, read_tensors, write_tensors, write_whole
from quire.train.weights import ModelFiles

AFTERWARDS, RATE = 2, 0.3
"""Fine-tuning goes on for one epoch in so many of joint learning, at this share of its learning rate."""


class Run(Settings):
    """One way with one seed: the best score of each task on dev, and what the way cost for all tasks together."""

    dev: Mapping[str, float]
    cost: Cost


def trained(shop: Shop, way: Way, seed: int) -> Run:
    """The run of this way and seed, made now unless it stands already."""
    home = home_of(shop, way, seed)
    record = home / "result.json"
    if not record.exists():
        home.mkdir(parents=True, exist_ok=True)
        cost = _together(shop, way, seed) if way in ("joint", "lm") else _apart(shop, way, seed)
        found = Run(
            dev={name: read_json(path.parent / "best.json")[name] for name, path in kept(shop, way, seed)}, cost=cost
        )
        write_whole(record, found.model_dump_json())
    return parse(Run, read_json(record), where=str(record))


def home_of(shop: Shop, way: Way, seed: int) -> Path:
    return shop.folder / "arms" / shop.arm / way / f"seed-{seed}"


def kept(shop: Shop, way: Way, seed: int) -> list[tuple[str, Path]]:
    """Where the weights of each task's best moment lie."""
    home = home_of(shop, way, seed)
    apart = way in ("single", "finetune")
    return [(name, (home / name if apart else home) / f"{name}.safetensors") for name in shop.tasks]


def _together(shop: Shop, way: Way, seed: int) -> Cost:
    files, before = _language_model(shop, seed) if way == "lm" else (shop.material.files, Cost())
    epochs, names = shop.how.epochs, tuple(shop.tasks)
    job = shop.job(names, seed=seed, epochs=epochs)
    title = f"{shop.arm}, {TITLES[way]}, seed {seed}"
    return before + shop.fitted(names, files, job, home_of(shop, way, seed), title=title, epochs=epochs)


def _apart(shop: Shop, way: Way, seed: int) -> Cost:
    if way == "finetune":
        total, start = trained(shop, "joint", seed).cost, dict(kept(shop, "joint", seed))
        epochs, rate = max(shop.how.epochs // AFTERWARDS, 1), RATE
    else:
        total, start, epochs, rate = Cost(), {}, shop.how.epochs, 1.0
    for name in shop.tasks:
        files = shop.material.files
        if name in start:
            body = shop.how.strategy.body(files.backbone)
            files = ModelFiles(body, heads={}, state=read_tensors(start[name]))
        job = shop.job((name,), seed=seed, epochs=epochs, rate=rate)
        home, title = home_of(shop, way, seed) / name, f"{shop.arm}, {TITLES[way]}, {name}, seed {seed}"
        total += shop.fitted((name,), files, job, home, title=title, epochs=epochs)
    return total


def _language_model(shop: Shop, seed: int) -> tuple[ModelFiles, Cost]:
    """The shared part after the recipe's own pre-training on the training texts of all tasks, and its cost."""
    home, files = home_of(shop, "lm", seed), shop.material.files
    if not (home / "cost.json").exists():
        job = pretraining(shop, seed)
        model = shop.material.model(job)
        title = f"{shop.arm}, pre-training, seed {seed}"
        log = fit(model, job, folder=home / "pretrain", title=title, progress=shop.progress, stop=shop.stop)
        body = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("backbone.")}
        write_tensors(home / "body.safetensors", body)
        write_whole(home / "cost.json", cost_of(log).model_dump_json())
        shutil.rmtree(home / "pretrain" / "checkpoints", ignore_errors=True)
    cost = parse(Cost, read_json(home / "cost.json"), where=str(home))
    return ModelFiles(files.backbone, heads={}, state=read_tensors(home / "body.safetensors")), cost


def pretraining(shop: Shop, seed: int) -> Job:
    """The recipe's pre-training for the budget, on a batch of which everything has been tried."""
    material = shop.material
    job = material.job(steps=1, seed=shop.settings.seed + seed)
    material.model(job)
    rehearse(job)
    return material.job(steps=shop.settings.budget.updates(job.tokens_an_update), seed=job.seed)
