"""Which way of pre-training is better? Arms under one budget, the same labels, several seeds, one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quire.adapt.job import Outcome, home_of, reopened
from quire.adapt.settings import Budget
from quire.adapt.task import Given, read_task
from quire.compare.job import contenders, execute
from quire.compare.settings import CompareSettings, Shape, chosen
from quire.core.config import parse, write_yaml
from quire.core.errors import BadInput
from quire.core.results import Metric
from quire.recipe import load
from quire.text.rows import Source
from quire.train.folder import prepared
from quire.train.progress import Progress, Silent
from quire.train.signals import StopRequest

__all__ = ["CompareSettings", "compare"]


def compare(
    arms: Sequence[str],
    *,
    task: Source,
    out: str | Path,
    dev: Source | None = None,
    test: Source | None = None,
    corpus: Sequence[Source] = (),
    text_column: str = "text",
    label_column: str = "label",
    budget: str = "1mtokens",
    per_class: Sequence[int | None] = (None,),
    shape: Shape | None = None,
    seeds: int = 3,
    seed: int = 0,
    metric: Metric = "accuracy",
    title: str = "",
    track: bool = False,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> list[Outcome]:
    """Pre-train each arm from nothing on the texts of `task` and `corpus` under one budget, fine-tune each on `task`.

    An arm is a recipe: its name, its short name, or a file. All have the depth, width, length, batch, learning rate
    and tokenizer of `shape`; objectives, architecture and kind of optimiser are their own. `budget` is for each arm
    and seed: tokens ("2mtokens"), FLOPs forward and backward ("50tflops"), or time ("10m"). `per_class` gives a study
    for each number of labels a class, None for all of them. One document in 20 is held out of pre-training.
    A folder with the same settings goes on where it was stopped.
    """
    shape = (shape or Shape()).serving(map(load, arms))
    given = Given.of(task, dev=dev, test=test, corpus=corpus, text_column=text_column, label_column=label_column)
    settings = parse(
        CompareSettings,
        {
            "title": title,
            "inputs": given.inputs,
            "arms": chosen(arms, shape=shape),
            "shape": shape,
            "budget": Budget.parse(budget),
            "per_class": tuple(per_class),
            "seeds": seeds,
            "seed": seed,
            "metric": metric,
        },
        where="compare",
    )
    for name in settings.arms:  # an arm's plan must be as good as a job's own
        settings.of_arm(name)
    read = read_task(settings.of_arm(next(iter(settings.arms))), given)
    with prepared(Path(out), write_yaml(settings), identity={"data": given.identity(read)}) as folder:
        homes = [home_of(folder, labels, among=settings.per_class) for labels in settings.per_class]
        if all((home / "results.json").exists() for home in homes):
            return [reopened(home) for home in homes]
        stop = StopRequest() if stop is None else stop
        found = contenders(settings, read, folder, progress or Silent(), stop, track=track)
    with found[0].bench.clock:
        return execute(settings, found)


def labels_of(text: str) -> tuple[int | None, ...]:
    """`all`, `50`, or several of them: `50,all`."""
    try:
        return tuple(None if part.strip() == "all" else int(part) for part in text.split(","))
    except ValueError:
        raise BadInput(f"--labels {text}: expected numbers a class, or all, for instance 50,all") from None
