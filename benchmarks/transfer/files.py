"""The data sets as files that `quire` reads: drawn from what $QUIRE_DATA holds, the same whenever they are written."""

import csv
import gzip
import lzma
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.studies import drawn, home, shuffled
from quire import data, recipe
from quire.text.glue import read_glue
from quire.text.records import Record

Row = tuple[str, ...]
SPLITS = ("train", "dev", "test")


def rows_of(records: Iterable[Record]) -> list[Row]:
    """Text and label, each text once."""
    return list({record.text: (record.text, record.label or "") for record in records}.values())


def written(folder: Path, name: str, **splits: Sequence[Row]) -> dict[str, str]:
    """The paths of tables with these rows: text and label, or text, other and label."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for split, rows in splits.items():
        path = folder / f"{name}-{split}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "other", "label") if len(rows[0]) == 3 else ("text", "label"), *rows])
        paths[split] = str(path)
    return paths


def component(path: Path, data: Mapping[str, Any]) -> str:
    """A component of Quire as a YAML file; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    return str(path)


def recipe_file(path: Path, changes: Sequence[str]) -> str:
    """The recipe of `quire adapt` with these changes as a YAML file; its path."""
    return component(path, recipe.load("minilm-adapt", changes=[*changes]).model_dump(mode="json"))


def sst2(folder: Path, *, train: int | None = None, dev: int = 300, test: int | None = None) -> dict[str, str]:
    """Sentences of SST-2 as published, 6,920 to learn from and 1,821 to judge on, and some of the dev sentences."""
    found = {split: rows_of(data.load("sst2-sentences", split)) for split in SPLITS}
    counts = {"train": train, "dev": dev, "test": test}
    return written(folder, "sst2", **{split: drawn(found[split], counts[split], "sst2", split) for split in SPLITS})


def trec(folder: Path, *, train: int | None = None, dev: int = 300, test: int | None = None) -> dict[str, str]:
    """Questions of TREC in six classes; dev is drawn from the training part, since none is published."""
    mixed = shuffled(rows_of(data.load("trec", "train")), "trec")
    learnt = drawn(mixed[dev:], train, "trec", "train")
    judged = drawn(rows_of(data.load("trec", "test")), test, "trec", "test")
    return written(folder, "trec", train=learnt, dev=mixed[:dev], test=judged)


def imdb(folder: Path, *, train: int, dev: int, test: int) -> dict[str, str]:
    """Reviews of IMDb: train and dev of its training part."""
    mixed = drawn(rows_of(data.load("imdb", "train")), train + dev, "imdb", "train")
    judged = drawn(rows_of(data.load("imdb", "test")), test, "imdb", "test")
    return written(folder, "imdb", train=mixed[:train], dev=mixed[train:], test=judged)


def pairs(folder: Path, name: str, *, train: int, dev: int, test: int) -> dict[str, str]:
    """RTE, whose published dev pairs are those to judge on, or MRPC; dev is drawn from the training part."""
    learnt, judged = {"rte": ("RTE/train.tsv", "RTE/dev.tsv"), "mrpc": _MRPC}[name]

    def rows(file: str) -> list[Row]:
        found = read_glue(home("glue", file), task=name)
        return list({problem.texts: (*problem.texts, str(problem.answer)) for problem in found}.values())

    mixed = drawn(rows(learnt), train + dev, name, "train")
    return written(folder, name, train=mixed[dev:], dev=mixed[:dev], test=drawn(rows(judged), test, name, "test"))


_MRPC = ("MRPC/msr_paraphrase_train.txt", "MRPC/msr_paraphrase_test.txt")


def blocks(folder: Path, name: str, **splits: tuple[Path, int]) -> dict[str, str]:
    """Files whose sentences are parted by blank lines (columns, CoNLL-U), with so many sentences drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for split, (source, count) in splits.items():
        found = [(block.strip("\n"),) for block in _text(source).split("\n\n") if block.strip()]
        path = folder / f"{name}-{split}{'.conllu' if 'conllu' in source.name else '.conll'}"
        kept = sorted(drawn([(*block, str(at)) for at, block in enumerate(found)], count, name, split), key=_place)
        path.write_text("".join(f"{block}\n\n" for block, _ in kept), encoding="utf-8")
        paths[split] = str(path)
    return paths


def _text(source: Path) -> str:
    unpacked = {".gz": gzip.decompress, ".xz": lzma.decompress}.get(source.suffix, bytes)
    return unpacked(source.read_bytes()).decode("utf-8")


def _place(row: Row) -> int:
    return int(row[1])
