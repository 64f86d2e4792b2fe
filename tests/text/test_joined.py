"""A pair is a string wherever texts are strings, and stays a pair wherever records are parted or copied."""

import copy
from pathlib import Path

import pytest

from quire.adapt.task import Part
from quire.core.errors import BadInput
from quire.text.joined import Pair, joined, parts
from quire.text.records import Record, read_records
from quire.text.split import few, few_splits, split


def records(count: int) -> list[Record]:
    return [Record(Pair(f"a lamp {i}", f"a chair {i}"), str(i % 2), f"x:{i}") for i in range(count)]


def test_it_is_both_texts_as_one_string() -> None:
    pair = joined(["a lamp", "a chair"])
    assert pair == "a lamp\na chair"
    assert parts(pair) == ("a lamp", "a chair")
    assert parts("a lamp\na chair") == ("a lamp\na chair",)
    for again in (copy.copy(pair), copy.deepcopy(pair)):
        assert parts(again) == ("a lamp", "a chair")


def test_draws_keep_pairs() -> None:
    rest, held = split(records(20), share=0.3, seed=1)
    [(train, dev)] = few_splits(records(20), per_class=2, seeds=[0])
    for part in (rest, held, few(records(20), per_class=3, seed=0), train, dev):
        assert part
        assert all(len(parts(record.text)) == 2 for record in part)


def test_a_split_of_pairs_is_another_than_that_of_the_same_texts_parted_elsewhere() -> None:
    found = {
        Part("train", (Record(text, "x", "y"),), "z").sha256
        for text in ("a\nb\nc", Pair("a\nb", "c"), Pair("a", "b\nc"), Pair("a", "b"))
    }
    assert len(found) == 4
    assert Part("train", (Record("a", "x", "y"),), "z").sha256 == (
        "c24acc958dbfcb9148bbe8234a877f2cb90a5505c1eee63a173464e6f3f8a458"  # as before there were pairs
    )


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_pairs_are_read_from_two_columns(tmp_path: Path, name: str) -> None:
    rows = {
        "t.csv": "text,other,label\na,b,x\nc,d,y\n",
        "t.jsonl": '{"text":"a","other":"b"}\n{"text":"c","other":"d"}\n',
    }
    (tmp_path / name).write_text(rows[name])
    label = "label" if name == "t.csv" else None
    found = read_records(tmp_path / name, pair_column="other", label_column=label)
    assert [(parts(r.text), r.label) for r in found] == [(("a", "b"), label and "x"), (("c", "d"), label and "y")]


def test_plain_text_holds_no_pairs(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a\nb\n")
    with pytest.raises(BadInput, match="plain text has no columns"):
        read_records(tmp_path / "t.txt", pair_column="other", label_column=None)
