"""The tasks of `benchmarks/multitask.md` as files, and the command over them: `python -m benchmarks.multitask OUT`.

SST-1 and SST-2 are whole as they come. Of IMDb a part is drawn, since a review is ten sentences long. SUBJ is not at
hand, and MR cannot stand for it: 89 % of its sentences are SST's. In its place stands a task made in SUBJ's manner, for
which the answer is known without asking anyone: a sentence of a review (SST-1's, each split from its own) or one of an
encyclopaedia (WikiText-2: its validation part for training and dev, its test part for test).
"""

import csv
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from quire import data
from quire.core.random import rng
from quire.text.corpus import sentences
from quire.text.records import Record

SUBJECTIVITY = {"train": 2400, "dev": 500, "test": 1000}
"""Sentences of each class: the copy of WikiText-2 has 2,939 in its validation part that will do."""
IMDB = {"train": 3000, "dev": 1000, "test": 3000}
WORDS = range(5, 41)
WAYS = "single,joint,lm,finetune"

Row = tuple[str, str]


def tasks() -> dict[str, dict[str, Sequence[Row]]]:
    """Rows by task and split."""
    made: dict[str, dict[str, Sequence[Row]]] = {
        name: {split: _rows(data.load(source, split)) for split in ("train", "dev", "test")}
        for name, source in (("sst1", "sst5-sentences"), ("sst2", "sst2-sentences"))
    }
    made["subj-like"] = _subjectivity()
    made["imdb"] = _imdb()
    return made


def _rows(records: Iterable[Record]) -> list[Row]:
    return [(record.text, record.label or "") for record in records]


def _drawn(rows: Sequence[Row], count: int, *key: str) -> list[Row]:
    return [rows[i] for i in rng(0, *key).permutation(len(rows))[:count]]


def _subjectivity() -> dict[str, Sequence[Row]]:
    found: dict[str, Sequence[Row]] = {}
    encyclopaedia = {split: _encyclopaedia(split) for split in ("valid", "test")}
    taken = _drawn(encyclopaedia["valid"], SUBJECTIVITY["train"] + SUBJECTIVITY["dev"], "wiki", "train")
    test = _drawn(encyclopaedia["test"], SUBJECTIVITY["test"], "wiki", "test")
    objective = {"train": taken[SUBJECTIVITY["dev"] :], "dev": taken[: SUBJECTIVITY["dev"]], "test": test}
    for split, count in SUBJECTIVITY.items():
        reviews = [(_bare(r.text), "subjective") for r in data.load("sst5-sentences", split) if _fits(r.text)]
        found[split] = _drawn(reviews, count, "reviews", split) + objective[split]
    return found


def _encyclopaedia(split: str) -> list[Row]:
    """Sentences without headings and without rare words, which are `<unk>` there and would tell the class."""
    made = []
    for article in data.load("wikitext2", split):
        for sentence in sentences(article.text):
            text = sentence.replace(" @-@ ", "-").replace(" @,@ ", ",").replace(" @.@ ", ".")
            if "<unk>" not in text and "=" not in text and _fits(text):
                made.append((_bare(text), "objective"))
    return made


def _fits(text: str) -> bool:
    return len(text.split()) in WORDS


def _bare(text: str) -> str:
    """Without a full stop at the end, which tells more of who cut the text than of what it says."""
    return text.rstrip(" .")


def _imdb() -> dict[str, Sequence[Row]]:
    mixed = _drawn(_rows(data.load("imdb", "train")), IMDB["train"] + IMDB["dev"], "imdb", "train")
    return {
        "train": mixed[: IMDB["train"]],
        "dev": mixed[IMDB["train"] :],
        "test": _drawn(_rows(data.load("imdb", "test")), IMDB["test"], "imdb", "test"),
    }


def written(folder: Path) -> list[str]:
    """Write all files; returns the values of `--task`."""
    folder.mkdir(parents=True, exist_ok=True)
    given = []
    for name, splits in tasks().items():
        for split, rows in splits.items():
            with (folder / f"{name}-{split}.csv").open("w", newline="", encoding="utf-8") as out:
                csv.writer(out).writerows([("text", "label"), *rows])
            print(f"{name:10} {split:6} {len(rows):6} rows")
        given.append(f"{name}=" + ",".join(str(folder / f"{name}-{split}.csv") for split in splits))
    return given


def main(folder: Path) -> None:
    given = [part for task in written(folder / "files") for part in ("--task", task)]
    small = ["--set", "finetune.epochs=3", "--set", "data.tokenizer.size=4000", "--budget", "500ktokens"]
    arms = ["--arms", "liu2016-model3", "--sharing", WAYS, "--seeds", "3", *small]
    print(shlex.join(["quire", "compare", *arms, *given, "--out", str(folder / "run")]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
