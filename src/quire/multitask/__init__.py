"""What does sharing one network among tasks gain? The survey's table (Liu et al. 2016) as a command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quire.adapt.settings import Budget
from quire.core.config import parse, write_yaml
from quire.core.errors import BadInput
from quire.core.results import Metric
from quire.multitask.job import Shared, execute, reopened
from quire.multitask.settings import SharingSettings, chosen, tasks_of, ways_of
from quire.multitask.shop import Shop
from quire.multitask.table import plain
from quire.multitask.tasks import identity, paired, read_tasks
from quire.multitask.ways import pretraining
from quire.train.folder import Clock, prepared
from quire.train.progress import Progress, Silent
from quire.train.signals import StopRequest

__all__ = ["Shared", "plain", "share"]


def share(
    arms: Sequence[str],
    *,
    tasks: Sequence[str],
    out: str | Path,
    sharing: str = "single,joint,lm,finetune",
    changes: Sequence[str] = (),
    text_column: str = "text",
    pair_column: str | None = None,
    label_column: str = "label",
    budget: str = "1mtokens",
    seeds: int = 3,
    seed: int = 0,
    metric: Metric = "accuracy",
    title: str = "",
    track: bool = False,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Shared:
    """Train each arm, a recipe with a `finetune` section, on all tasks in each way of sharing, and judge.

    A task is `NAME=TRAIN,DEV,TEST`; one whose tables have `pair_column` is a task of pairs of texts. Ways are `single`
    (a network for each task), `joint` (one for all), `lm` (its shared part pre-trained as the recipe says on the
    training texts of all tasks, for `budget` tokens or steps) and `finetune` (from the joint network each task goes on
    alone). All ways make as many updates on labels, and fine-tuning adds to them; how often joint learning sees those
    of each task is the choice of the recipe's `finetune.sampling`. A folder with the same settings goes on where it was
    stopped.
    """
    files = tasks_of(tasks, text_column=text_column, label_column=label_column)
    settings = parse(
        SharingSettings,
        {
            "title": title,
            "tasks": paired(files, pair_column) if pair_column else files,
            "arms": chosen(arms, changes=changes),
            "ways": ways_of(sharing),
            "budget": Budget.parse(budget),
            "seeds": seeds,
            "seed": seed,
            "metric": metric,
        },
        where="compare",
    )
    read = read_tasks(settings.jobs())
    with prepared(Path(out), write_yaml(settings), identity={"data": identity(read)}) as folder:
        if (folder / "results.json").exists():
            return reopened(folder)
        stop = StopRequest() if stop is None else stop
        shops = [
            Shop(name, recipe, settings, read, folder, progress or Silent(), stop, track)
            for name, recipe in settings.arms.items()
        ]
        for shop in shops:
            _tried(shop)
    with Clock(folder) as clock:
        return execute(settings, shops, clock)


def _tried(shop: Shop) -> None:
    """Everything that an arm may refuse, before any training."""
    try:
        shop.network(shop.material.files, tuple(shop.tasks), seed=0)
        if "lm" in shop.settings.ways:
            pretraining(shop, 0)
    except BadInput as error:
        raise BadInput(f"arm {shop.arm}: {error}") from error
