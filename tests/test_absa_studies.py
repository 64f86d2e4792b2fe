"""The studies of `benchmarks/absa` at toy size, on the real files: each goes through, says what it found in the rows
that the page has, and is there at once when it is asked for again; and what no score would tell is in order."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import studies
from benchmarks.absa.__main__ import STUDIES
from benchmarks.absa.auxiliary import ARMS, TASKS, _sheets
from benchmarks.absa.files import SPLITS, bartabsa, semeval, sentihood
from benchmarks.absa.pairs import parted
from benchmarks.absa.pointers import begun
from benchmarks.absa.runs import learnt
from benchmarks.absa.scale import Scale, Work

from quire.core.errors import Stopped
from quire.core.search import Search
from quire.objectives.point import Point
from quire.text.auxiliary import FORMS, Form, sheet
from quire.train.feed import Fixed
from quire.train.loop import Job
from quire.train.optim import TrainPlan
from quire.train.start import Base

pytestmark = [
    pytest.mark.skipif("QUIRE_DATA" not in os.environ, reason="needs the data sets of $QUIRE_DATA"),
    pytest.mark.data("absa"),
    pytest.mark.filterwarnings("ignore::quire.core.errors.Ignored"),
]
FORMS_AND_CONTROL = "single, qa m, nli m, qa b, nli b, nli m shuffled"
POINTERS = "full, full free, random encoder, random encoder free, no embedding term, no embedding term free"
ROWS = {
    "auxiliary": ", ".join([FORMS_AND_CONTROL] * 4),  # two data sets, two tables each
    "triplets": f"{POINTERS}, {POINTERS}",
    "subtasks": "ae, oe, alsc, aesc, aoe, pair, triplet",
}
"""The arms of each study: what the issue asks for."""


@pytest.fixture(scope="module")
def toy(small_base: Path) -> Scale:
    """A few texts of everything."""
    return Scale(
        base=str(small_base),
        seeds=2,
        updates=8,
        batch=4,
        moments=2,
        learnt=16,
        tested=12,
        pair_rate=1e-3,
        pair_length=48,
        pair_dev=12,
        rate=1e-3,
        length=128,
        dev=8,
        search=Search(limit=12, least=1, beam=2),  # or all say nothing
    )


def rows(page: str) -> list[list[str]]:
    """The cells of all tables, but of their heads."""
    found = [line[2:-2].split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return [cells for cells in found if cells[0] not in ("arm", "subtask")]


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_goes_through_and_is_there_when_asked_again(name: str, toy: Scale, tmp_path: Path) -> None:
    work = Work(tmp_path / name, toy)
    page = studies.told(STUDIES[name], work)
    assert ", ".join(cells[0] for cells in rows(page)) == ROWS[name]
    assert (tmp_path / f"{name}.md").read_text(encoding="utf-8") == page
    assert not list(tmp_path.rglob("*.safetensors")), "what has answered is not kept"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quire.train.loop._Run", None)
        assert studies.told(STUDIES[name], work) == page
    if name == "triplets":
        within = [cells[-2] for cells in rows(page) if "free" not in cells[0]]
        assert within == ["0.0, 0.0"] * 6, "the grammar lets nothing through that is malformed"
        assert any(cells[-2] != "0.0, 0.0" for cells in rows(page) if "free" in cells[0])


def test_a_run_is_left_at_its_best_moment_even_if_it_was_stopped(toy: Scale, tmp_path: Path) -> None:
    """Dev falls from moment to moment here, so that the first is the best."""
    base, reviews = Base.load(toy.base), bartabsa("pengb", "14res", toy)

    def left(home: Path, stop_at: int | None = None) -> tuple[dict[str, torch.Tensor], list[dict[str, torch.Tensor]]]:
        work, seen = Work(home, toy), list[dict[str, torch.Tensor]]()
        pointer = begun(work, base, Point(), seed=0)
        examples, _ = pointer.examples(pointer.asked(reviews["train"], "triplet"))
        plan = TrainPlan(steps=8, batch=4, lr=1e-2)
        job = Job(Fixed(examples, "toy"), (pointer.plan.task,), pointer.world, plan, seed=0)

        def measure() -> float:
            seen.append({name: tensor.clone() for name, tensor in pointer.model.state_dict().items()})
            work.stop.reason = "enough" if len(seen) == stop_at else ""
            return 1 / len(seen) if stop_at is None or len(seen) == stop_at else 0.1

        run = learnt(work, pointer.model, job, folder=home / "run", measure=measure)
        assert run.dev == 1.0
        assert run.cost.steps == 8
        return pointer.model.state_dict(), seen

    whole, seen = left(tmp_path / "whole")
    assert len(seen) == toy.moments
    assert all(torch.equal(whole[name], tensor) for name, tensor in seen[0].items())
    assert not all(torch.equal(whole[name], tensor) for name, tensor in seen[1].items())
    with pytest.raises(Stopped):
        left(tmp_path / "parts", stop_at=1)
    again, _ = left(tmp_path / "parts", stop_at=0)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_the_control_asks_about_other_aspects(toy: Scale) -> None:
    """It trades sentences in every split, and has the same truth; no other arm does."""
    task = TASKS["sentihood"]
    reviews = task.reviews(toy)
    made = {arm: _sheets(task.scheme, reviews, form, shuffle) for arm, (form, shuffle) in ARMS.items()}
    for split in SPLITS:
        asked = {arm: sheets[split] for arm, sheets in made.items()}
        for arm, (form, _) in ARMS.items():
            plain = sheet(reviews[split], scheme=task.scheme, form=form)
            traded = [one.texts for one in asked[arm].problems] != [one.texts for one in plain.problems]
            assert traded == arm.endswith("shuffled")
            np.testing.assert_array_equal(asked[arm].truth, plain.truth)


@pytest.mark.parametrize("form", FORMS)
def test_models_of_a_form_answer_every_pair_once(form: Form, toy: Scale) -> None:
    for task in TASKS.values():
        whole = sheet(task.reviews(toy)["test"], scheme=task.scheme, form=form)
        parts = parted(whole)
        assert len(parts) == (len(whole.parts) if form == "single" else 1)
        truth = np.full(whole.truth.size, -1)
        for pairs, part in parts.values():
            truth[pairs] = part.truth.ravel()
            assert len(part.problems) == len(pairs) * len(whole.problems) // whole.truth.size
        np.testing.assert_array_equal(truth, whole.truth.ravel())


def test_dev_is_not_learnt_from_where_none_is_published() -> None:
    for reviews in (semeval(Scale()), bartabsa("fan", "14res", Scale())):
        learnt = {review.text for review in reviews["train"]}
        assert not any(review.text in learnt for review in reviews["dev"])


def test_all_is_read_by_default() -> None:
    counts = [
        len(sentihood(Scale())["test"]),
        len(semeval(Scale())["test"]),
        len(bartabsa("pengb", "14lap", Scale())["test"]),
    ]
    assert counts == [1_491, 800, 328]
