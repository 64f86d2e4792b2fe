"""Study 2: triplets of Xu et al.'s 14res and 14lap, pointed at: free and within the grammar from the same weights, from
a pre-trained encoder and a random one, with the embedding term of the pointer and without."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np

from benchmarks.absa.files import Reviews, bartabsa
from benchmarks.absa.pointers import Answered, begun, scored, taught
from benchmarks.absa.runs import gathered, once
from benchmarks.absa.scale import Work
from benchmarks.studies import table
from quire.core.results import Arm
from quire.objectives.point import Point
from quire.predict.pointer import Asked, Pointer
from quire.scoring.tuples import Marks, marks
from quire.train.start import Base


@dataclass(frozen=True)
class Way:
    """What a pointer is made of."""

    pretrained: bool = True
    embedded: bool = True


WAYS: Mapping[str, Way] = {
    "full": Way(),
    "random_encoder": Way(pretrained=False),
    "no_embedding_term": Way(embedded=False),
}
DECODED = {"grammar": True, "free": False}
"""Two ways to search, of the same weights; the moment is chosen within the grammar."""
PUBLISHED: Mapping[str, str] = {"14res": "65.25 (BART-base)", "14lap": "58.69 (BART-base)"}
"""F1, free (Yan et al. 2021, table 5)."""


def run(work: Work) -> Iterator[str]:
    """A table for each sub-set."""
    base = Base.load(work.scale.base)
    for name, published in PUBLISHED.items():
        reviews = bartabsa("pengb", name, work.scale)
        made = {
            way: [_learnt(work, base, work.home / name / way, how, reviews, seed) for seed in range(work.scale.seeds)]
            for way, how in WAYS.items()
        }
        asked = {split: Pointer.asked(reviews[split], "triplet") for split in ("dev", "test")}
        arms = [_arm(way, how, of_way, asked) for way, of_way in made.items() for how in DECODED]
        study = gathered(
            work.home / name, arms, metric="f1", splits={split: len(rows) for split, rows in reviews.items()}
        )
        counts = ", ".join(f"{split} {len(rows):,}" for split, rows in reviews.items())
        yield (
            f"**{name}**: reviews, {counts}; {work.scale.updates} updates of {work.scale.batch}, rate "
            f"{work.scale.rate:g}, a fresh decoder of {work.scale.layers} layers. F1, what is malformed counted as "
            "wrong:\n"
        )
        columns = {
            "official F1": {arm: f"{100 * value:.1f}" for arm, value in _official(made, asked["test"]).items()},
            "invalid pieces, in reviews": _invalid(made),
        }
        yield "\n".join(table(study, against="full", columns=columns, published={"full_free": published})) + "\n"


def _learnt(work: Work, base: Base, folder: Path, way: Way, reviews: Reviews, seed: int) -> Answered:
    def make(home: Path) -> Answered:
        pointer = begun(work, base, Point(embedded=way.embedded), seed=seed, pretrained=way.pretrained)
        run, lost = taught(work, pointer, reviews, folder=home, seed=seed)
        searched = {
            how: Pointer(pointer.model, pointer.tokenizer, pointer.plan.model_copy(update={"grammar": DECODED[how]}))
            for how in DECODED
        }
        said = {
            split: {how: tuple(one.told(one.asked(reviews[split], "triplet"))) for how, one in searched.items()}
            for split in ("dev", "test")
        }
        return Answered(run=run, numbers=pointer.model.parameter_count(), lost=lost, **said)

    return once(folder / f"seed-{seed}", Answered, make)


def _name(way: str, how: str) -> str:
    return way if how == "grammar" else f"{way}_{how}"


def _arm(way: str, how: str, made: Sequence[Answered], asked: Mapping[str, Sequence[Asked]]) -> Arm:
    found_RE2 = np.stack([_marks(one, how, asked["test"]) for one in made])
    return Arm(
        name=_name(way, how),
        title=_name(way, how),
        how=f"{made[0].run.cost.steps} updates; searched {how}",
        seeds=tuple(range(len(made))),
        dev=tuple(scored("triplet", asked["dev"], one.dev[how]).corrected["f1"] for one in made),
        predictions=(found_RE2[..., 0] == found_RE2[..., 1]).astype(np.int64),
        marks=found_RE2,
        trainable=made[0].numbers,
        cost=tuple(one.run.cost for one in made),
    )


def _marks(one: Answered, how: str, asked: Sequence[Asked]) -> Marks:
    told = one.test[how]
    return marks("triplet", [one.truth for one in asked], [t.opinions for t in told], invalid=[t.invalid for t in told])


def _official(made: Mapping[str, Sequence[Answered]], asked: Sequence[Asked]) -> dict[str, float]:
    return {
        _name(way, how): mean(scored("triplet", asked, one.test[how]).official["f1"] for one in of_way)
        for way, of_way in made.items()
        for how in DECODED
    }


def _invalid(made: Mapping[str, Sequence[Answered]]) -> dict[str, str]:
    """Pieces that say nothing, in how many reviews: means over seeds."""
    cells = {}
    for way, of_way in made.items():
        for how in DECODED:
            counts = [[told.invalid for told in one.test[how]] for one in of_way]
            pieces, held = mean(map(sum, counts)), mean(sum(map(bool, row)) for row in counts)
            cells[_name(way, how)] = f"{pieces:.1f}, {held:.1f}"
    return cells
