"""What studies found, as it is kept: it opens, tells nothing of where it was found, and is what the pages say."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import keep
from benchmarks.studies import table
from benchmarks.transfer.sharing import compared

from quire.core.results import Arm, DataFacts, Environment, Study
from quire.multitask.job import reopened
from quire.train.folder import IDENTITY, RECIPE

HOME = Path(__file__).parents[1] / "benchmarks"
SHARING = HOME / "kept" / "transfer" / "sharing"
ALL = sorted((HOME / "kept").rglob(keep.RESULTS))
KEPT = [path for path in ALL if SHARING not in path.parents]
AGAINST = ("class", "softmax", "head", "single", "full")
"""What the others are compared with: the first arm that there is."""


@pytest.mark.parametrize("path", KEPT, ids=[str(path.parent.relative_to(HOME / "kept")) for path in KEPT])
def test_a_page_shows_what_was_found(path: Path) -> None:
    study = Study.from_json(path.read_text(encoding="utf-8"), where=str(path))
    page = (HOME / f"{path.relative_to(HOME / 'kept').parts[0]}.md").read_text(encoding="utf-8")
    against = next(name for name in AGAINST if name in [arm.name for arm in study.arms])
    ours = [line.removesuffix("published |").removesuffix(" |") for line in table(study, against=against)]
    for line in ours:  # further columns are not the study's
        assert f"\n{line}" in page


def test_the_page_shows_how_tasks_shared() -> None:
    apart, together = (reopened(SHARING / part).results.studies for part in ("apart", "together"))
    page = (HOME / "transfer.md").read_text(encoding="utf-8")
    assert f"\n{compared(apart, together)}\n" in page


@pytest.mark.parametrize("path", ALL, ids=[str(path.parent.relative_to(HOME / "kept")) for path in ALL])
def test_what_is_kept_is_what_would_be_kept_of_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert json.loads(keep.lean(text, where=str(path))) == json.loads(text), "texts are among it, or probabilities"


def test_results_of_tasks_that_share_are_kept_without_texts() -> None:
    found = reopened(SHARING / "apart").results
    told = {
        name: study.model_copy(update={"texts": {0: "a text of somebody"}}) for name, study in found.studies.items()
    }
    heavy = found.model_copy(update={"studies": told}).model_dump_json()
    assert keep.lean(heavy, where="heavy") == (SHARING / "apart" / keep.RESULTS).read_text(encoding="utf-8")


def test_nothing_is_kept_but_what_was_found(tmp_path: Path) -> None:
    found, kept = tmp_path / "made" / "here", tmp_path / "kept" / "transfer"
    arm = Arm(
        name="class",
        title="class",
        how="",
        seeds=(0,),
        dev=(0.5,),
        predictions=np.array([[0, 1]]),
        probabilities=np.array([[[0.9, 0.1], [0.2, 0.8]]]),
    )
    study = Study(
        title="toy",
        labels=("a", "b"),
        truth=np.array([0, 1]),
        metric="accuracy",
        arms=(arm,),
        selected="class",
        budget="",
        data=DataFacts(splits=()),
        environment=Environment(cpu="", cores=1, threads=1, command=f"python -m benchmarks.transfer {found}"),
        seconds=1.0,
        texts={1: "a text of somebody"},
        usage={"Command line": f"quire predict {found} 'a text'"},
    )
    (found / "trec" / "arms").mkdir(parents=True)
    (found / "trec" / keep.RESULTS).write_text(study.to_json())
    (found / "trec" / RECIPE).write_text(f"train: {found}/files/train.csv\n")
    (found / "trec" / IDENTITY).write_text("{}")
    (found / "trec" / "arms" / "train.csv").write_text("a text of somebody\n")
    keep.main(found, kept)
    assert {path.name for path in kept.rglob("*") if path.is_file()} == {keep.RESULTS, RECIPE, IDENTITY}
    assert not [path for path in kept.rglob("*") if path.is_file() and str(tmp_path) in path.read_text()]
    assert (kept / "trec" / RECIPE).read_text() == "train: runs/transfer/files/train.csv\n"
    study = Study.from_json((kept / "trec" / keep.RESULTS).read_text(), where="kept")
    assert not study.texts
    [one] = study.arms
    assert one.probabilities is None
    assert one.predictions.tolist() == [[0, 1]]
