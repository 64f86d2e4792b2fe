"""Which way of fine-tuning is better? Strategies from one base on the same labels, several seeds, one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quire.adapt.bench import Bench
from quire.adapt.job import Outcome, home_of, reopened
from quire.adapt.rates import Rates, for_arms
from quire.adapt.task import Given, read_task
from quire.core.config import parse, write_yaml
from quire.core.errors import BadInput
from quire.core.results import Metric
from quire.recipe import load
from quire.strategies.job import Tuning, execute
from quire.strategies.settings import StrategySettings, chosen
from quire.text.rows import Source
from quire.train.folder import Clock, prepared
from quire.train.progress import Progress, Silent
from quire.train.signals import StopRequest

__all__ = ["StrategySettings", "compare_strategies"]


def compare_strategies(
    strategies: Sequence[str],
    *,
    task: Source,
    out: str | Path,
    dev: Source | None = None,
    test: Source | None = None,
    text_column: str = "text",
    pair_column: str | None = None,
    label_column: str = "label",
    base: str | None = None,
    recipe: str | Path = "minilm-adapt",
    changes: Sequence[str] = (),
    rates: Sequence[float] | Rates = (),
    per_class: Sequence[int | None] = (None,),
    seeds: int = 3,
    seed: int = 0,
    metric: Metric = "accuracy",
    title: str = "",
    track: bool = False,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> list[Outcome]:
    """Fine-tune `base` on `task` by each strategy, with as many updates and the same batches, and judge.

    A strategy is its name, for the published settings, or a YAML file; `full` is that of the recipe. With `rates`, for
    all or by name, the learning rate of each is chosen among them on dev. `per_class` gives a study for each number of
    labels a class, None for all of them. Texts are pairs where there is a `pair_column`. A folder with the same
    settings goes on where it was stopped.
    """
    found = load(recipe, changes=[*changes, *([f"base={base}"] if base else [])])
    if found.finetune is None:
        raise BadInput(f"recipe {recipe}: has no `finetune` section, which says how labels are learnt")
    arms = chosen(strategies, full=found.finetune.strategy)
    columns = {"text_column": text_column, "label_column": label_column}
    given = Given.of(task, dev=dev, test=test, corpus=(), pair_column=pair_column, **columns)
    settings = parse(
        StrategySettings,
        {
            "title": title,
            "inputs": given.inputs,
            "recipe": found,
            "strategies": arms,
            "rates": for_arms(rates, arms),
            "per_class": tuple(per_class),
            "seeds": seeds,
            "seed": seed,
            "metric": metric,
        },
        where="compare",
    )
    first = settings.learning(next(iter(settings.strategies)), rate=found.finetune.train.lr)
    read = read_task(first, given)
    with prepared(Path(out), write_yaml(settings), identity={"data": given.identity(read)}) as folder:
        homes = [home_of(folder, labels, among=settings.per_class) for labels in settings.per_class]
        if all((home / "results.json").exists() for home in homes):
            return [reopened(home) for home in homes]
        stop = StopRequest() if stop is None else stop
        bench = Bench(first, read, folder, progress or Silent(), stop, track=track, clock=Clock(folder))
        _ = bench.material.files  # a base that cannot be opened, or is too short, is refused before anything stands,
        for name in settings.strategies:  # and so is what cannot be prepared on it
            Tuning(name, settings, bench).check()
    with bench.clock:
        return execute(settings, bench)
