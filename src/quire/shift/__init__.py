"""Paradigm shift: one data set cast into several paradigms under one budget (Sun et al. 2021, "Paradigm Shift in
Natural Language Processing")."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quire.adapt.job import Outcome, home_of, reopened
from quire.adapt.rates import Rates, for_arms
from quire.adapt.settings import Budget
from quire.core.answers import Task
from quire.core.config import parse, write_yaml
from quire.core.errors import BadInput
from quire.core.results import Measure
from quire.finetune.course import Commons, Course
from quire.finetune.solving import how, task_told
from quire.marking import DECIDABLE
from quire.shift.job import COMMONS, check, execute
from quire.shift.settings import ShiftSettings, chosen
from quire.text.asked import asked
from quire.text.cut import Cut
from quire.train.folder import prepared
from quire.train.progress import Progress, Silent
from quire.train.signals import StopRequest
from quire.train.start import Base

__all__ = ["ShiftSettings", "compare_paradigms"]


def compare_paradigms(
    paradigms: Sequence[str],
    *,
    train: str | Path,
    out: str | Path,
    dev: str | Path | None = None,
    test: str | Path | None = None,
    task: Task | None = None,
    layout: str | None = None,
    text_column: str = "text",
    pair_column: str | None = None,
    label_column: str = "label",
    base: str = "minilm",
    epochs: int = 3,
    batch: int = 32,
    lr: float = 3e-4,
    rates: Sequence[float] | Rates = (),
    budget: str | None = None,
    few: Sequence[int | None] = (None,),
    length: int = 128,
    cut: Cut = "head",
    changes: Sequence[str] = (),
    seeds: int = 3,
    seed: int = 0,
    metric: Measure | None = None,
    title: str = "",
    track: bool = False,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> list[Outcome]:
    """Let each paradigm learn the problems of `train` from one base, and judge on test which answers best.

    A paradigm is the survey's name (class, matching, seqlab, mrc, seq2seq, seq2aseq, mlm), the component's own, or a
    YAML file with its fields, which may also say `how` it is learnt (`how: {cut: windows}`). All make as many updates
    on the same problems, or spend one `budget` ("500steps", "200ktokens"). `changes` are as for
    `quire.finetune.solve`; `rates` are for all or by name, chosen on dev. `few` gives a study for each number of labels
    a class (None for all), where every seed draws its own and a dev set as large. A folder with the same settings goes
    on where it was stopped.
    """
    what = task_told(str(train), paradigms[0] if paradigms else "", task, layout)
    if not (known := DECIDABLE[what]):
        raise BadInput(f"compare: a {what} takes one form here, so that there is nothing to compare; see finetune")
    if (measure := metric or known[0]) not in known:
        raise BadInput(f"--metric {measure}: a {what} is compared by {', '.join(known)}")
    arms = chosen(paradigms, what)
    columns = {"text_column": text_column, "pair_column": pair_column, "label_column": label_column}
    data = {
        **{split: str(path) for split, path in (("train", train), ("dev", dev), ("test", test)) if path is not None},
        "title": title,
        "layout": {"task": what, "name": layout, **columns},
        "base": base,
        "paradigms": arms,
        "how": how(epochs=epochs, batch=batch, lr=lr, length=length, cut=cut, changes=changes),
        "rates": for_arms(rates, arms),
        "budget": _budget(budget),
        "few": tuple(few),
        "seeds": seeds,
        "seed": seed,
        "metric": measure,
    }
    settings = parse(ShiftSettings, data, where="compare")
    read = asked(
        settings.layout, train=settings.train, dev=settings.dev, test=settings.test, share=settings.held_out, seed=seed
    )
    with prepared(Path(out), write_yaml(settings), identity={"data": read.hashes}) as folder:
        homes = [home_of(folder, labels, among=settings.few) for labels in settings.few]
        if all((home / "results.json").exists() for home in homes):
            return [reopened(home) for home in homes]
        commons = Commons(read, folder / COMMONS, runs=seeds)
        told = progress or Silent()
        course = Course(read, Base.load(base), settings.how, told, stop, track, commons, metric=measure)
        check(settings, course, folder)
    return execute(settings, course, folder)


def _budget(text: str | None) -> Budget | None:
    found = Budget.parse(text) if text else None
    if found and found.unit not in ("steps", "tokens"):
        raise BadInput(f"--budget {text}: give updates or tokens here, for instance 500steps or 200ktokens")
    return found
