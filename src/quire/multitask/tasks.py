"""The tasks of a comparison: read, checked, and parted from each other's held-out texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from quire.adapt.settings import AdaptSettings, Inputs
from quire.adapt.task import Given, Task, read_task
from quire.core.errors import BadInput, nearest
from quire.text.audit import Banned, audit
from quire.text.records import check_labels
from quire.text.rows import read_table


def read_tasks(jobs: Mapping[str, AdaptSettings]) -> dict[str, Task]:
    """The tasks of these jobs, by name; BadInput names the task.

    A training text that equals or holds a dev or test text of any task is left out for all ways alike: a network that
    shares would have seen it, with a label, in another task (SST's sentences are also those of MR).
    """
    found = {name: _read(name, job) for name, job in jobs.items()}
    held_out = Banned(text for task in found.values() for part in (task.dev, task.test) for text in part.texts)
    return {name: _parted(name, task, held_out) for name, task in found.items()}


def paired(tasks: Mapping[str, Inputs], column: str) -> dict[str, Inputs]:
    """The tasks, of pairs each that has a table with this column; BadInput where none has.

    Where one table of a task has it and another lacks it, reading that one says so.
    """
    columns = {name: _columns(name, files) for name, files in tasks.items()}
    if not any(column in found for found in columns.values()):
        raise BadInput(
            f"--pair-column: no task has a column {column!r}{nearest(column, set().union(*columns.values()))}"
        )
    pairs = {"pair_column": column}
    return {name: files.model_copy(update=pairs if column in columns[name] else {}) for name, files in tasks.items()}


def _columns(name: str, files: Inputs) -> set[str]:
    """Of all tables of a task."""
    try:
        return {column for path in (files.train, files.dev, files.test) if path for column in read_table(path).columns}
    except BadInput as error:
        raise BadInput(f"task {name}: {error}") from error


def _read(name: str, job: AdaptSettings) -> Task:
    try:
        return read_task(job, Given.again(job.inputs))
    except BadInput as error:
        raise BadInput(f"task {name}: {error}") from error


def _parted(name: str, task: Task, held_out: Banned) -> Task:
    kept = tuple(record for record in task.train.records if record.text not in held_out)
    if dropped := len(task.train.records) - len(kept):
        try:
            check_labels(kept, held_out=(*task.dev.records, *task.test.records), least=1)
        except BadInput as error:
            raise BadInput(f"task {name}: without texts that are held out in one of the tasks, {error}") from error
        origin = f"{task.train.origin}, without {dropped} texts that are held out in one of the tasks"
        train = replace(task.train, records=kept, origin=origin)
        found = audit(train.records, dev=task.dev.records, test=task.test.records)
        return replace(task, train=train, audit=found)
    return task


def training_texts(tasks: Mapping[str, Task]) -> Iterator[str]:
    """What the shared part is pre-trained on: never a dev or test text."""
    return (text for task in tasks.values() for text in task.train.texts)


def identity(tasks: Mapping[str, Task]) -> dict[str, str]:
    """Hashes of all splits."""
    return {
        f"{name}/{part.name}": part.sha256 for name, task in tasks.items() for part in (task.train, task.dev, task.test)
    }
