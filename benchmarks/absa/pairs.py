"""The models of one form of auxiliary sentence: taught, and kept as what they give to the labels of each pair.

Legend: B blocks, A aspects, C labels, P pairs of a block and an aspect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.absa.files import SPLITS
from benchmarks.absa.runs import learnt, once
from benchmarks.absa.scale import Work
from quire.core.config import Settings
from quire.core.results import Cost, Run
from quire.judge import score
from quire.paradigms.classify import Classify
from quire.predict.solver import Solver, Solving
from quire.text.asked import fingerprint
from quire.text.auxiliary import Sheet
from quire.train.feed import Fixed
from quire.train.loop import Job, planned
from quire.train.optim import TrainPlan
from quire.train.start import Base, started

Floats: TypeAlias = npt.NDArray[np.floating]


class Answered(Settings):
    """What one model left: how it learnt, and what it gives to the labels of each pair."""

    run: Run
    numbers: int
    dev: tuple[tuple[float, ...], ...]
    """[P, C]"""
    test: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Shares:
    """What the models of a form and a seed together give to the labels [B, A, C]."""

    cost: Cost
    numbers: int
    dev: Floats
    test: Floats


def parted(whole: Sheet) -> dict[str, tuple[Sequence[int], Sheet]]:
    """What each model is asked, by its name: its pairs, and a sheet of them; `single` has one aspect a model."""
    if whole.form != "single":
        return {"all": (range(whole.truth.size), whole)}
    count = len(whole.scheme.aspects)
    return {
        name: (
            pairs,
            replace(
                whole,
                blocks=tuple(whole.blocks[pair // count] for pair in pairs),
                truth=whole.truth.reshape(-1, 1)[pairs],
                problems=tuple(whole.problems[pair] for pair in pairs),
            ),
        )
        for name, pairs in whole.parts.items()
    }


def shares_of(work: Work, base: Base, folder: Path, sheets: Mapping[str, Sheet], seed: int) -> Shares:
    """Of one form and seed, made now unless they stand already: its models share the updates."""
    parts = {split: parted(whole) for split, whole in sheets.items()}
    names = [*parts["train"]]
    steps = max(work.scale.updates // len(names), 1)
    found: dict[str, Floats] = {
        split: np.zeros((sheets[split].truth.size, len(sheets[split].scheme.labels))) for split in ("dev", "test")
    }
    cost, numbers = Cost(), 0
    for number, name in enumerate(names):

        def make(home: Path, name: str = name) -> Answered:
            return _learnt(work, base, home, {split: parts[split][name][1] for split in SPLITS}, seed, steps)

        made = once(folder / f"seed-{seed}" / f"model-{number}", Answered, make)
        for split, shares in found.items():
            shares[parts[split][name][0]] = getattr(made, split)
        cost, numbers = cost + made.run.cost, numbers + made.numbers
    shaped = {split: shares.reshape(*sheets[split].truth.shape, -1) for split, shares in found.items()}
    return Shares(cost, numbers, shaped["dev"], shaped["test"])


def _learnt(work: Work, base: Base, folder: Path, asked: Mapping[str, Sheet], seed: int, steps: int) -> Answered:
    """One model, at the moment whose labels of dev have the best macro F1; then what it says of dev and test."""
    scale, train = work.scale, asked["train"]
    paradigm = Classify(labels=train.labels)
    world = base.tokenizer.world(length=scale.pair_length)
    model = started(base.files, planned([paradigm], base.files.backbone, world), seed=seed)
    solver = Solver(model, base.tokenizer, Solving(task="label", paradigm=paradigm, length=scale.pair_length))
    examples, _ = solver.examples(train.problems)
    plan = TrainPlan(steps=steps, batch=scale.batch, lr=scale.pair_rate, checkpoint_every=200, keep=1)
    job = Job(Fixed(examples, fingerprint(train.problems)), (paradigm,), world, plan, seed=seed)

    def shares(split: str) -> Floats:
        return asked[split].shares(solver.probabilities(asked[split].problems))

    def measure() -> float:
        return score(asked["dev"].truth.ravel(), shares("dev").argmax(axis=-1).ravel(), metric="macro_f1")

    run = learnt(work, model, job, folder=folder, measure=measure)
    said = {split: shares(split).reshape(-1, len(train.scheme.labels)).tolist() for split in ("dev", "test")}
    return Answered(run=run, numbers=model.parameter_count(), **said)
