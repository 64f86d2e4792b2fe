"""Which text should a base go on with before it learns a task? The survey's matrix (Sun et al. 2019, "How to Fine-Tune
BERT", section 5.4.2) as a command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from quire.adapt.bench import Bench
from quire.adapt.settings import Budget, fingerprint
from quire.adapt.task import with_labels
from quire.core.config import parse, write_yaml
from quire.core.results import Metric
from quire.multitask.job import Shared, reopened
from quire.multitask.settings import tasks_of
from quire.multitask.table import plain
from quire.multitask.tasks import identity, read_tasks
from quire.recipe import load
from quire.stages.job import Stages, execute
from quire.stages.settings import StageSettings, kinds_of, named
from quire.stages.texts import Texts
from quire.train.folder import Clock, prepared
from quire.train.progress import Progress, Silent
from quire.train.signals import StopRequest

__all__ = ["StageSettings", "compare_sources", "plain"]


def compare_sources(
    sources: str = "sets,domains,all",
    *,
    tasks: Sequence[str],
    out: str | Path,
    corpora: Sequence[str] = (),
    domains: Sequence[str] = (),
    base: str | None = None,
    recipe: str | Path = "minilm-adapt",
    changes: Sequence[str] = (),
    text_column: str = "text",
    label_column: str = "label",
    budget: str = "1mtokens",
    per_class: int | None = None,
    seeds: int = 3,
    seed: int = 0,
    metric: Metric = "accuracy",
    title: str = "",
    track: bool = False,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Shared:
    """Go on from one base with the text of each source, then fine-tune on every task, and judge against none of it.

    A task is `NAME=TRAIN,DEV,TEST`, a corpus `NAME=FILE` and holds text alone; `domains` says `NAME=DOMAIN` of them.
    Sources are `sets` (the training text of each task, and each corpus), `domains` (all sets of each domain that has
    several) and `all`. What a source is to a task follows: its own text, text of its domain, of others. Each source has
    the same budget, tokens or steps, and is gone on with once. Text that equals or holds a dev or test text of any
    task is left out. A folder with the same settings goes on where it was stopped.
    """
    own: Mapping[str, str] = named(corpora, option="--corpus", example="NAME=FILE, for instance reviews=reviews.txt")
    settings = parse(
        StageSettings,
        {
            "title": title,
            "recipe": load(recipe, changes=[*changes, *([f"base={base}", "backbone=null"] if base else [])]),
            "tasks": tasks_of(tasks, text_column=text_column, label_column=label_column),
            "corpora": own,
            "domains": named(domains, option="--domain", example="NAME=DOMAIN, for instance imdb=sentiment"),
            "kinds": kinds_of(sources),
            "budget": Budget.parse(budget),
            "per_class": per_class,
            "seeds": seeds,
            "seed": seed,
            "metric": metric,
        },
        where="compare",
    )
    jobs = settings.jobs()
    read = read_tasks(jobs)
    data = identity(read) | {name: fingerprint(file) for name, file in own.items()}
    with prepared(Path(out), write_yaml(settings), identity={"data": data}) as folder:
        if (folder / "results.json").exists():
            return reopened(folder)
        stop = StopRequest() if stop is None else stop
        progress = progress or Silent()
        benches: dict[str, Bench] = {}
        clock = Clock(folder)
        for name, job in jobs.items():
            few = with_labels(read[name], per_class, seed=seed)
            benches[name] = Bench(job, few, folder / "tasks" / name, progress, stop, track=track, clock=clock)
            benches[name].folder.mkdir(parents=True, exist_ok=True)
            benches[name].material = next(iter(benches.values())).material
        stages = Stages(settings, benches, Texts(read, own, text_column), folder)
        stages.try_all()
    with clock:
        return execute(stages)
