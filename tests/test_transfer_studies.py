"""The studies of `benchmarks/transfer` at toy size, on the real files: each goes through, says what it found in the
columns that the page has, and is there at once when it is asked for again."""

import os
from pathlib import Path

import pytest
from benchmarks.transfer.__main__ import STUDIES, told
from benchmarks.transfer.scale import Scale, Work

from quire import data
from quire.adapt import measure
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.text.tokenizers import Tokenizer
from quire.train.weights import save_model

needs_data = pytest.mark.skipif("QUIRE_DATA" not in os.environ, reason="needs the data sets of $QUIRE_DATA")
ROWS = {
    "strategies": "majority, features, full, head, lora, houlsby, pfeiffer, pals, sda, sdv, self ensemble, "
    "further, vote, average, full, sda-5, sdv-5",
    "paradigms": "class, matching, mlm, class, matching, mlm",
    "long-texts": "head, tail, head-and-tail, windows-mean, windows-max, windows-attention",
    "structures": "softmax, crf, mrc, softmax, crf, mrc, UAS, LAS",
    "sharing": "separate: Single task, adapters: Single task, shared: Joint, shared-annealed: Joint, pals: Joint, "
    "pals-annealed: Joint",
}
"""The arms of each study: what the issue asks for."""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Scale:
    """Two layers that know a little English, and a few texts of everything."""
    folder = tmp_path_factory.mktemp("base")
    texts = [record.text for record in data.load("sst2-sentences", "dev")]
    words = "short description thing person place number terrible great it was a an or the what is means reason group"
    tokenizer = Tokenizer.train([*texts, *[words] * 200], kind="wordpiece", size=900, longest=64)
    spec = Backbone(vocab=tokenizer.vocab.size, depth=2, width=24, heads=2, ffn=24, positions=64, dropout=0.0)
    state = Model(spec, {}, seed=1).state_dict()
    save_model(
        folder,
        backbone=spec,
        heads={},
        state=state,
        labels=None,
        tokenizer_saver=tokenizer.save,
        card="",
        extra={},
        vocab=tokenizer.vocab,
    )
    return Scale(
        base=str(folder),
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
    found = told(name, work)
    rows = [line.split(" | ")[0].strip("| ") for line in found.splitlines() if line.startswith("| ")]
    assert ", ".join(row for row in rows if row not in ("arm", "way", "")) == ROWS[name]
    assert (tmp_path / f"{name}.md").read_text(encoding="utf-8") == found
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quire.train.loop._Run", None)
        assert told(name, work) == found
