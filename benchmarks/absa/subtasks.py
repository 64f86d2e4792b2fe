"""Study 3: all seven subtasks on 14res, once: of Wang et al.'s where it has them, of Fan et al.'s for the words said
of an aspect, of Peng et al.'s for pairs and triplets. A model learns all that is asked of a release; one seed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.absa.files import Reviews, bartabsa
from benchmarks.absa.pointers import Answered, begun, scored, taught
from benchmarks.absa.runs import once
from benchmarks.absa.scale import Work
from quire.core.opinions import POLARITIES, Polarity
from quire.core.subtasks import Subtask
from quire.objectives.point import Point
from quire.predict.pointer import Pointer
from quire.scoring import Scores
from quire.scoring.tuples import Release, opinion_scores
from quire.train.start import Base

NAME = "14res"
OF_AESC: tuple[Subtask, ...] = ("ae", "alsc")
"""Whose official scores of Wang et al.'s are read from answers to `aesc`."""


@dataclass(frozen=True)
class Data:
    """A release, whose scores are official, and what is asked of it."""

    release: Release
    subtasks: tuple[Subtask, ...]
    polarities: tuple[Polarity, ...] = ("positive", "negative", "neutral")


DATA: Mapping[str, Data] = {
    "wang": Data("wang", ("ae", "oe", "alsc", "aesc"), POLARITIES),
    "fan": Data("fan", ("aoe",)),
    "penga": Data("peng", ("pair", "triplet")),
}
PUBLISHED: Mapping[Subtask, str] = {
    "ae": "87.07",
    "oe": "87.29",
    "alsc": "75.56",
    "aoe": "85.38",
    "aesc": "73.56",
    "pair": "77.68",
    "triplet": "72.46",
}
"""F1 of BART-base (Yan et al. 2021, tables 3 to 6)."""


def run(work: Work) -> Iterator[str]:
    """One table; a row for each subtask."""
    base = Base.load(work.scale.base)
    yield (
        f"**{NAME}**: a model a release, {work.scale.updates} updates of {work.scale.batch}, rate {work.scale.rate:g}, "
        "one seed. F1 within the grammar:\n"
    )
    yield "| subtask | of | asked in test | lost in train | dev | official | corrected | training, s | published |"
    yield f"|{'---|' * 9}"
    for name, data in DATA.items():
        reviews = bartabsa(name, NAME, work.scale)
        made = _learnt(work, base, work.home / name, data, reviews)
        for subtask in data.subtasks:
            asked = {split: Pointer.asked(reviews[split], subtask) for split in ("dev", "test")}
            dev = scored(subtask, asked["dev"], made.dev[subtask]).corrected["f1"]
            test = _scored(subtask, data, made, reviews)
            cells = [subtask, name, f"{len(asked['test']):,}", f"{made.lost}"]
            cells += [f"{100 * one:.1f}" for one in (dev, test.official["f1"], test.corrected["f1"])]
            yield f"| {' | '.join([*cells, f'{made.run.cost.seconds:.0f}', PUBLISHED[subtask]])} |"
    yield "\nLost are training answers of a model that cannot be pointed at; published: BART-base, official.\n"


def _learnt(work: Work, base: Base, folder: Path, data: Data, reviews: Reviews) -> Answered:
    def make(home: Path) -> Answered:
        pointer = begun(work, base, Point(subtasks=data.subtasks, polarities=data.polarities), seed=0)
        run, lost = taught(work, pointer, reviews, folder=home, seed=0)
        said = {
            split: {subtask: tuple(pointer.told(pointer.asked(reviews[split], subtask))) for subtask in data.subtasks}
            for split in ("dev", "test")
        }
        return Answered(run=run, numbers=pointer.model.parameter_count(), lost=lost, **said)

    return once(folder, Answered, make)


def _scored(subtask: Subtask, data: Data, made: Answered, reviews: Reviews) -> Scores:
    """Of test: the official ones from the answers that the released code reads, the corrected from its own."""
    own = scored(subtask, Pointer.asked(reviews["test"], subtask), made.test[subtask])
    read: Subtask = "aesc" if data.release == "wang" and subtask in OF_AESC else subtask
    asked, told = Pointer.asked(reviews["test"], read), made.test[read]
    released = opinion_scores(
        subtask, [one.truth for one in asked], [one.opinions for one in told], release=data.release
    )
    return Scores(released.official, own.corrected)
