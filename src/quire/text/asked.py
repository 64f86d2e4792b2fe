"""A person's files as problems of one task, and the data of a job: train, dev and test.

label, number   tables (CSV, TSV, JSONL, Parquet) with a column of texts, perhaps another beside it, and one of answers;
                or the files of a GLUE task as they are published
spans           columns of words and tags (CoNLL, BIO), or JSONL with the characters of each span; broken tags are
                refused, or read as conlleval does (conll-lenient); or reviews, whose aspects and opinions are spans
reading         SQuAD's JSON
tree            CoNLL-U
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationInfo, field_validator

from quire.core.answers import Answer, Task, Tree
from quire.core.config import Settings
from quire.core.errors import BadInput, nearest
from quire.core.random import rng
from quire.text.absa.extraction import read_extraction
from quire.text.audit import normalised, unseen
from quire.text.conll import read_conll
from quire.text.conllu import read_trees
from quire.text.glue import TASKS as GLUE
from quire.text.glue import read_glue
from quire.text.problems import Problem
from quire.text.records import NoColumn, iter_labelled
from quire.text.spans import read_spans
from quire.text.squad import read_squad

LAYOUTS: dict[Task, tuple[str, ...]] = {
    "label": ("table", *GLUE),
    "number": ("table", *GLUE),
    "spans": ("conll", "conll-lenient", "spans", "reviews"),
    "reading": ("squad",),
    "tree": ("conllu",),
}
"""How the files of each task may be laid out; the first is meant where nothing is said."""


class FileLayout(Settings):
    """How a file is laid out."""

    task: Task
    name: str | None = None
    """One of `LAYOUTS`; without, the first of the task, and JSONL for spans is told by the file's name."""
    text_column: str = "text"
    pair_column: str | None = None
    """Of a table: the second text, where there is one."""
    label_column: str = "label"

    @field_validator("name")
    @classmethod
    def _known(cls, name: str | None, info: ValidationInfo) -> str | None:
        known = LAYOUTS[info.data["task"]] if "task" in info.data else ()
        if name is not None and name not in known:
            raise ValueError(f"no layout of a {info.data.get('task')} is called {name!r}{nearest(name, known)}")
        return name

    def read(self, path: str, *, answered: bool = True) -> list[Problem]:
        """The problems of a file; BadInput where one has no answer, unless nobody needs them."""
        problems = self._read(path, answered)
        if not problems:
            raise BadInput(f"{path}: holds nothing to answer; give a file with rows")
        if answered and (blank := [p.where for p in problems if p.answer is None and not p.accepted]):
            raise BadInput(f"{blank[0]}: no answer ({len(blank)} in all); fill it in or remove the row")
        return problems

    def _read(self, path: str, answered: bool) -> list[Problem]:
        match self.name or self._told_by(path):
            case "conll":
                return read_conll(path)
            case "conll-lenient":
                return read_conll(path, strict=False)
            case "spans":
                return read_spans(path)
            case "reviews":
                return read_extraction(path)
            case "squad":
                return read_squad(path)
            case "conllu":
                return read_trees(path)
            case "table":
                return list(self._rows(path, answered))
            case glue:
                return read_glue(path, task=str(glue))

    def _told_by(self, path: str) -> str:
        if self.task == "spans" and path.endswith(".jsonl"):
            return "spans"
        return LAYOUTS[self.task][0]

    def _rows(self, path: str, answered: bool) -> Iterator[Problem]:
        columns = [self.text_column, *([self.pair_column] if self.pair_column else [])]
        try:
            for where, texts, label in iter_labelled(path, columns, self.label_column if answered else None):
                yield Problem(texts, _number(label, where) if self.task == "number" and label else label, where)
        except NoColumn as error:
            if self.name is not None:
                raise
            others = ("spans",) if path.endswith(".jsonl") else tuple(GLUE)
            raise BadInput(f"{error} (or it is laid out otherwise: give --layout {', '.join(others)})") from None


def _number(text: str, where: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise BadInput(f"{where}: the answer is no number but {text[:40]!r}; mend it, or choose a paradigm for labels")
    return found


@dataclass(frozen=True)
class Asked:
    """The problems of a job, and the names that their answers are made of."""

    task: Task
    train: Sequence[Problem]
    dev: Sequence[Problem]
    test: Sequence[Problem]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """What a paradigm may have to know of them: `labels`; of numbers the lowest and the highest learnt from."""
        if self.task != "number":
            return {"labels": self.labels}
        numbers = [float(problem.answer) for problem in self.train if isinstance(problem.answer, float | int)]
        return {"labels": (), "low": min(numbers), "high": max(numbers)}

    @property
    def hashes(self) -> dict[str, str]:
        """sha256 of each split."""
        return {name: fingerprint(getattr(self, name)) for name in ("train", "dev", "test")}

    @property
    def leaked(self) -> tuple[int, ...]:
        """Test problems whose texts also stand in train or dev."""
        seen = {told(problem) for problem in (*self.train, *self.dev)}
        return tuple(number for number, problem in enumerate(self.test) if told(problem) in seen)


def asked(layout: FileLayout, *, train: str, dev: str | None, test: str | None, share: float, seed: int = 0) -> Asked:
    """Read what there is, and hold out a share of train for each file that is not given: texts alike stay together."""
    learnt = layout.read(train)
    if test is None:
        learnt, tried = parted(learnt, share=share, seed=seed, where=train)
    else:
        tried = layout.read(test)
    if dev is None:
        learnt, watched = parted(learnt, share=share, seed=seed + 1, where=train)
        notes: tuple[str, ...] = ()
    else:
        watched, notes = unseen(layout.read(dev), train=learnt, key=told, path=dev)
    labels = names(learnt)
    if layout.task == "label":
        _check_labels((*watched, *tried), labels)
    return Asked(layout.task, learnt, watched, tried, labels, notes)


def names(problems: Sequence[Problem]) -> tuple[str, ...]:
    """What answers are made of, sorted: labels, kinds of spans, relations; nothing for numbers."""
    found: set[str] = set()
    for problem in problems:
        match problem.answer:
            case str(label):
                found.add(label)
            case Tree(_, relations):
                found |= {*relations}
            case frozenset() as spans:
                found |= {span.label for span in spans}
    return tuple(sorted(found))


def parted(problems: Sequence[Problem], *, share: float, seed: int, where: str) -> tuple[list[Problem], list[Problem]]:
    """The rest, and about `share` of the texts, drawn from `seed`; the order is kept."""
    texts = sorted({told(problem) for problem in problems})
    if not 0 < (number := round(share * len(texts))) < len(texts):
        raise BadInput(f"{where}: cannot hold out {share:.0%} of {len(texts)} different texts; give dev and test files")
    drawn = {texts[i] for i in rng(seed, "split problems").permutation(len(texts))[:number].tolist()}
    held = [told(problem) in drawn for problem in problems]
    rest = [problem for problem, out in zip(problems, held, strict=True) if not out]
    return rest, [problem for problem, out in zip(problems, held, strict=True) if out]


def _check_labels(held_out: Sequence[Problem], labels: Sequence[str]) -> None:
    if len(labels) < 2:
        raise BadInput(f"the training data holds only the class {labels[0]!r}; a classifier needs at least two")
    folded = Counter(label.casefold().strip() for label in labels)
    if twice := [label for label in labels if folded[label.casefold().strip()] > 1]:
        raise BadInput(f"the labels {' and '.join(map(repr, twice[:2]))} differ in case alone; spell them alike")
    for problem in held_out:
        if problem.answer not in labels:
            unknown = f"no training example has the label {problem.answer!r}{nearest(str(problem.answer), labels)}"
            raise BadInput(f"{problem.where}: {unknown}")


def told(problem: Problem) -> tuple[str, ...]:
    """What two problems have in common that are the same."""
    return tuple(normalised(text) for text in problem.texts)


def fingerprint(problems: Sequence[Problem]) -> str:
    """sha256 of texts, words and answers in their order."""
    rows = json.dumps([[p.texts, p.words, plain(p.answer), p.accepted] for p in problems], ensure_ascii=False)
    return hashlib.sha256(rows.encode()).hexdigest()


def plain(answer: Answer | None) -> Any:
    """An answer as JSON holds it: spans by words, a tree as its heads and relations."""
    match answer:
        case Tree(heads, relations):
            return [list(heads), list(relations)]
        case frozenset() as spans:
            return [[span.start, span.end, span.label] for span in sorted(spans)]
    return answer
