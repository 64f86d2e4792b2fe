"""GLUE's files as they are published: tab-separated, quotes are letters, with a header or without (Wang et al. 2019).

In the table below are the columns that hold the texts and the answer, what 0 and 1 stand for, and the metrics by which
a task is measured. A file whose first line names the columns of the texts has a header. Where the column of the answer
is not there, which is so in unlabelled test files, answers are None.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quire.core.errors import BadInput, nearest
from quire.text.problems import Problem
from quire.text.rows import read_lines


@dataclass(frozen=True)
class GlueTask:
    """How the files of one task are laid out."""

    texts: tuple[str, ...]
    answer: str
    metrics: tuple[str, ...]
    labels: tuple[str, ...] = ()
    """What 0, 1, ... are called; of two, the second is what F1 is of, and sorts last. None where numbers are asked."""
    bare: tuple[tuple[str, ...], ...] = ()
    """The columns of files without a header."""


_PAIR = ("sentence1", "sentence2")
_ENTAILED = ("entailment", "not_entailment")
_STS = ("genre", "filename", "year", "index", "score", *_PAIR)

TASKS: Mapping[str, GlueTask] = {
    "cola": GlueTask(
        ("sentence",),
        "label",
        ("matthews",),
        ("unacceptable", "acceptable"),
        bare=(("source", "label", "star", "sentence"),),
    ),
    "sst-2": GlueTask(("sentence",), "label", ("accuracy",), ("negative", "positive")),
    "mrpc": GlueTask(
        ("#1 String", "#2 String"),
        "Quality",
        ("f1", "accuracy"),
        ("different", "equivalent"),
        bare=(("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"),),
    ),
    "qqp": GlueTask(("question1", "question2"), "is_duplicate", ("f1", "accuracy"), ("different", "duplicate")),
    "sts-b": GlueTask(_PAIR, "score", ("pearson", "spearman"), bare=(_STS, (*_STS, "licence1", "licence2"))),
    "mnli": GlueTask(_PAIR, "gold_label", ("accuracy",), ("entailment", "neutral", "contradiction")),
    "qnli": GlueTask(("question", "sentence"), "label", ("accuracy",), _ENTAILED),
    "rte": GlueTask(_PAIR, "label", ("accuracy",), _ENTAILED),
    "wnli": GlueTask(_PAIR, "label", ("accuracy",), _ENTAILED[::-1]),
}
"""By name. STS-B asks for a number from 0 to 5."""


def read_glue(path: str | Path, *, task: str) -> list[Problem]:
    """The problems of a file of a GLUE task, labels by their names.

    BadInput for a task that is none, for a file without the task's columns, and for a row with another number of fields
    than its header, an empty text, or an answer that is no label and no number.
    """
    if task not in TASKS:
        raise BadInput(f"no GLUE task is called {task!r}{nearest(task, TASKS)}")
    rows = [(f"{path}:{n}", text.rstrip("\r\n").split("\t")) for n, text in read_lines(path) if text.strip()]
    if not rows:
        raise BadInput(f"{path}: holds no rows; give the file as GLUE publishes it")
    _, first = rows[0]
    if {*TASKS[task].texts} <= {*first}:
        return [_problem(fields, (tuple(first),), where, task) for where, fields in rows[1:]]
    if not TASKS[task].bare:
        missing = next(name for name in TASKS[task].texts if name not in first)
        raise BadInput(f"{path}: no column {missing!r}, which files of {task} have; is it another task's?")
    return [_problem(fields, TASKS[task].bare, where, task) for where, fields in rows]


def _problem(fields: Sequence[str], layouts: Sequence[Sequence[str]], where: str, task: str) -> Problem:
    columns = next((layout for layout in layouts if len(layout) == len(fields)), None)
    if columns is None:
        expected = " or ".join(str(len(layout)) for layout in layouts)
        raise BadInput(f"{where}: expected {expected} fields between tabs, found {len(fields)}; mend or remove the row")
    row = dict(zip(columns, fields, strict=True))
    plan = TASKS[task]
    texts = tuple(row[column] for column in plan.texts)
    if not all(text.strip() for text in texts):
        raise BadInput(f"{where}: empty text; fill it in or remove the row")
    return Problem(texts, _answer(row[plan.answer].strip(), plan, where) if plan.answer in row else None, where)


def _answer(given: str, plan: GlueTask, where: str) -> str | float:
    if not plan.labels:
        try:
            return float(given)
        except ValueError:
            raise BadInput(f"{where}: {given[:40]!r} is no number in the column {plan.answer!r}; mend it") from None
    if given in plan.labels:
        return given
    numbers = {str(number): label for number, label in enumerate(plan.labels)}
    if given not in numbers:
        raise BadInput(f"{where}: no label {given[:40]!r} in the column {plan.answer!r}{nearest(given, plan.labels)}")
    return numbers[given]
