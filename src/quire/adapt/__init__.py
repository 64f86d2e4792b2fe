"""The main job: from a person's own text and labels to the best small model, proven."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from quire.adapt.bench import Bench
from quire.adapt.job import Outcome, execute, reopened
from quire.adapt.settings import AdaptSettings, Budget
from quire.adapt.task import Given, read_task
from quire.core.config import parse, write_yaml
from quire.core.results import Metric
from quire.recipe import Recipe
from quire.recipe import load as load_recipe
from quire.text.cut import Cut
from quire.text.rows import Source
from quire.train.folder import Clock, prepared
from quire.train.progress import Progress, Silent
from quire.train.signals import StopRequest

__all__ = ["AdaptSettings", "Outcome", "adapt"]


def adapt(
    train: Source,
    *,
    out: str | Path,
    dev: Source | None = None,
    test: Source | None = None,
    corpus: Sequence[Source] = (),
    text_column: str = "text",
    pair_column: str | None = None,
    label_column: str = "label",
    base: str | None = None,
    recipe: str | Path | None = None,
    changes: Sequence[str] = (),
    budget: str = "5m",
    seeds: int = 3,
    seed: int = 0,
    metric: Metric = "accuracy",
    max_loss: float = 0.5,
    length: int | None = None,
    cut: Cut | None = None,
    title: str = "",
    track: bool = False,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Outcome:
    """Compare ways to a classifier under one budget and keep the best; `out` becomes the run folder.

    A source is a path (CSV, TSV, JSONL, Parquet, plain text), `-`, or a `datasets.Dataset`; texts are pairs where there
    is a `pair_column`. `base` is an embedded
    base, a model folder, or "none" to train from scratch. `budget` is time for the whole job ("5m") or training for
    each arm and seed ("300steps", "200ktokens"). `track` also writes TensorBoard events. A folder with the
    same settings goes on where it was stopped; one with others is a BadInput. `quire.adapt.job` tells the order of
    things.
    """
    columns = {"text_column": text_column, "label_column": label_column}
    given = Given.of(train, dev=dev, test=test, corpus=corpus, pair_column=pair_column, **columns)
    settings = parse(
        AdaptSettings,
        {
            "title": title,
            "inputs": given.inputs,
            "recipe": _recipe(recipe, base, changes, length=length, cut=cut),
            "budget": Budget.parse(budget),
            "seeds": seeds,
            "seed": seed,
            "metric": metric,
            "max_loss": max_loss,
        },
        where="adapt",
    )
    task = read_task(settings, given)
    with prepared(Path(out), write_yaml(settings), identity={"data": given.identity(task)}) as folder:
        if (folder / "results.json").exists():
            return reopened(folder)
        stop = StopRequest() if stop is None else stop  # a request is false until the signal comes
        bench = Bench(settings, task, folder, progress or Silent(), stop, track=track, clock=Clock(folder))
        bench.material.prepare()
    with bench.clock:
        return execute(bench)


def _recipe(
    name: str | Path | None, base: str | None, changes: Sequence[str], *, length: int | None, cut: Cut | None
) -> Recipe:
    name = name or ("scratch-adapt" if base == "none" else "minilm-adapt")
    sets = [*changes]
    sets += [f"data.length={length}"] if length is not None else []
    sets += [f"data.cut={cut}"] if cut is not None else []
    if base not in (None, "none"):
        sets += [f"base={json.dumps(base)}", "backbone=null"]  # the recipe's own stands for no base
    return load_recipe(name, changes=sets)
