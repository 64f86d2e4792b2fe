"""Study 1: SentiHood and SemEval-2014 (subtasks 3 and 4) with and without auxiliary sentences, of four forms, and one
whose aspects are shuffled."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import numpy.typing as npt

from benchmarks.absa.files import SPLITS, Reviews, semeval, sentihood
from benchmarks.absa.pairs import Floats, Shares, shares_of
from benchmarks.absa.runs import gathered
from benchmarks.absa.scale import Scale, Work
from benchmarks.studies import table
from quire.core.random import rng
from quire.core.results import Arm
from quire.scoring import Scores, categories
from quire.text.auxiliary import SEMEVAL_2014, SENTIHOOD, Form, Scheme, Sheet, sheet
from quire.train.start import Base

ARMS: Mapping[str, tuple[Form, bool]] = {
    "single": ("single", False),
    "qa_m": ("qa_m", False),
    "nli_m": ("nli_m", False),
    "qa_b": ("qa_b", False),
    "nli_b": ("nli_b", False),
    "nli_m_shuffled": ("nli_m", True),
}
"""A form, and whether the aspects of a block trade their sentences."""


@dataclass(frozen=True)
class Task:
    """A data set, how it is scored, and what was published of BERT-base (Sun et al. 2019, tables 3 to 5)."""

    scheme: Scheme
    reviews: Callable[[Scale], Reviews]
    scores: Callable[[npt.NDArray[np.int64], Floats], Scores]
    shown: tuple[str, ...]
    published: Mapping[str, str]
    """The official scores in the order that they are shown in."""


TASKS: Mapping[str, Task] = {
    "sentihood": Task(
        SENTIHOOD,
        sentihood,
        categories.sentihood,
        ("strict", "f1", "auc", "sentiment_accuracy", "sentiment_auc"),
        {
            "single": "73.7, 81.0, 96.4, 85.5, 84.2",
            "qa_m": "79.4, 86.4, 97.0, 93.6, 96.4",
            "nli_m": "78.3, 87.0, 97.5, 92.1, 96.5",
            "qa_b": "79.2, 87.9, 97.1, 93.3, 97.0",
            "nli_b": "79.8, 87.5, 96.6, 92.8, 96.9",
        },
    ),
    "semeval": Task(
        SEMEVAL_2014,
        semeval,
        categories.semeval,
        ("f1", "accuracy_4", "accuracy_3", "accuracy_2"),
        {
            "single": "90.89, 83.7, 86.9, 93.3",
            "qa_m": "91.54, 85.2, 89.3, 95.4",
            "nli_m": "91.67, 85.1, 88.7, 94.4",
            "qa_b": "91.47, 85.9, 89.9, 95.6",
            "nli_b": "92.18, 84.6, 88.7, 95.1",
        },
    ),
}


def run(work: Work) -> Iterator[str]:
    """For each data set, blocks that are wholly right, compared; then all scores."""
    base = Base.load(work.scale.base)
    for name, task in TASKS.items():
        reviews = task.reviews(work.scale)
        sheets = {arm: _sheets(task.scheme, reviews, form, shuffle) for arm, (form, shuffle) in ARMS.items()}
        found = {
            arm: [shares_of(work, base, work.home / name / arm, of_arm, seed) for seed in range(work.scale.seeds)]
            for arm, of_arm in sheets.items()
        }
        yield from _told(work.home / name, task, work.scale, sheets, found)


def _sheets(scheme: Scheme, reviews: Reviews, form: Form, shuffle: bool) -> dict[str, Sheet]:
    return {
        split: sheet(reviews[split], scheme=scheme, form=form, shuffled=rng(0, "aspects", split) if shuffle else None)
        for split in SPLITS
    }


def _told(
    folder: Path,
    task: Task,
    scale: Scale,
    sheets: Mapping[str, Mapping[str, Sheet]],
    found: Mapping[str, Sequence[Shares]],
) -> Iterator[str]:
    first, models = sheets["single"], len(sheets["single"]["train"].parts)
    counts = {split: len({id(review) for review, _ in first[split].blocks}) for split in SPLITS}
    arms = [_arm(arm, sheets[arm], made) for arm, made in found.items()]
    study = gathered(folder, arms, metric="accuracy", splits=counts)
    reviews = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    yield f"**{folder.name}**: reviews, {reviews}; {first['test'].truth.size:,} pairs in test.\n"
    yield (
        f"Every form: {scale.updates} updates of {scale.batch} texts or pairs, rate {scale.pair_rate:g}; single: "
        f"{max(scale.updates // models, 1)} for each of {models} models. Blocks whose labels are all right:\n"
    )
    strict = {arm: row.split(",")[0] for arm, row in task.published.items()} if "strict" in task.shown else {}
    yield "\n".join(table(study, against="single", published=strict)) + "\n"
    yield f"| arm | {' | '.join(one.replace('_', ' ') for one in task.shown)} | published |"
    yield f"|{'---|' * (len(task.shown) + 2)}"
    for arm, made in found.items():
        scored = [task.scores(sheets[arm]["test"].truth, one.test) for one in made]
        cells = [_both([s.official[one] for s in scored], [s.corrected[one] for s in scored]) for one in task.shown]
        yield f"| {' | '.join([arm.replace('_', ' '), *cells, task.published.get(arm, '')])} |"
    yield "\nOfficial / corrected, means over seeds; published: official.\n"


def _both(official: Sequence[float], corrected: Sequence[float]) -> str:
    return f"{100 * mean(official):.1f} / {100 * mean(corrected):.1f}"


def _arm(name: str, sheets: Mapping[str, Sheet], made: Sequence[Shares]) -> Arm:
    right = {
        split: [
            categories.right_blocks(sheets[split].truth, getattr(one, split).argmax(axis=-1)).astype(np.int64)
            for one in made
        ]
        for split in ("dev", "test")
    }
    return Arm(
        name=name,
        title=name,
        how=f"{made[0].cost.steps} updates",
        seeds=tuple(range(len(made))),
        dev=tuple(float(one.mean()) for one in right["dev"]),
        predictions=np.stack(right["test"]),
        trainable=made[0].numbers,
        cost=tuple(one.cost for one in made),
    )
