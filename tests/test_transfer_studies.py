"""The studies of `benchmarks/transfer` at toy size, on the real files: each goes through, says what it found in the
columns that the page has, and is there at once when it is asked for again."""

import os
from pathlib import Path

import pytest
from benchmarks.studies import told
from benchmarks.transfer.__main__ import STUDIES
from benchmarks.transfer.scale import Scale, Work

from quire.adapt import measure

needs_data = pytest.mark.skipif("QUIRE_DATA" not in os.environ, reason="needs the data sets of $QUIRE_DATA")
ROWS = {
    "strategies": "majority, features, full, head, lora, houlsby, pfeiffer, pals, sda, sdv, self ensemble, "
    "further, vote, average, majority, features, full, sda-5, sdv-5",
    "paradigms": "class, matching, mlm, class, matching, mlm",
    "long-texts": "head, tail, head-and-tail, windows-mean, windows-max, windows-attention",
    "structures": "softmax, crf, mrc, softmax, crf, mrc, UAS, LAS",
    "sharing": "separate: Single task, adapters: Single task, shared: Joint, shared-annealed: Joint, pals: Joint, "
    "pals-annealed: Joint",
}
"""The arms of each study: what the issue asks for."""


@pytest.fixture(scope="module")
def toy(small_base: Path) -> Scale:
    """A few texts of everything."""
    return Scale(
        base=str(small_base),
        seeds=2,
        strategies_per_class=((3,),),
        tuned_on=3,
        rates=(1e-4, 1e-3),
        further=2,
        dev=12,
        paradigms_per_class=(3,),
        paradigm_rates=(1e-3,),
        short_tested=14,
        reviews=12,
        tested=12,
        sentences=12,
        structure_rates=(1e-3, 1e-2),
        budget="1ktokens",
        passes=1,
        mixed=0.035,
        length=64,
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("strategies", "shift"):
        monkeypatch.setattr(f"quire.{module}.job.LEAST", 2)
    monkeypatch.setattr(measure, "SECONDS", 0.01)


@needs_data
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_goes_through_and_is_there_when_asked_again(name: str, toy: Scale, tmp_path: Path) -> None:
    work = Work(tmp_path / name, toy)
    found = told(STUDIES[name], work)
    rows = [line.split(" | ")[0].strip("| ") for line in found.splitlines() if line.startswith("| ")]
    assert ", ".join(row for row in rows if row not in ("arm", "way", "")) == ROWS[name]
    assert (tmp_path / f"{name}.md").read_text(encoding="utf-8") == found
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quire.train.loop._Run", None)
        assert told(STUDIES[name], work) == found
