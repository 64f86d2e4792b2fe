"""Labelled records and corpora from a person's files; each refusal is one line with its place."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from quire.core.errors import BadInput, nearest
from quire.text.joined import joined
from quire.text.rows import STDIN, Line, Source, Table, ending, peek, read_jsonl, read_lines, read_table


@dataclass(frozen=True)
class Record:
    """A text as it was written, its label where there is one, and its place, like `reviews.csv:17`."""

    text: str
    label: str | None
    where: str


class NoColumn(BadInput):
    """A table has no column of this name."""


def read_records(
    source: Source, *, text_column: str = "text", pair_column: str | None = None, label_column: str | None = "label"
) -> list[Record]:
    """Read a path, `-` or a `datasets.Dataset`; `label_column=None` reads texts alone, also plain text, one a line.

    With `pair_column` a text is the `Pair` of both columns. Texts are kept as they are. Labels lose outer blanks, and
    numbers and booleans become their JSON spelling.
    BadInput names the file, the row and the remedy for anything that cannot be used.
    """
    if pair_column == text_column:
        raise BadInput(f"the column {text_column!r} cannot hold both texts of a pair; name two columns")
    name, rows = _rows(source, (text_column, pair_column) if pair_column else (text_column,), label_column)
    try:
        records = list(rows)
    except NoColumn as error:
        raise NoColumn(f"{error} (--text-column and --label-column take other names)") from None
    if not records:
        raise BadInput(f"{name}: holds no rows")
    return records if label_column is None else _all_labelled(records, label_column, name)


def _rows(source: Source, columns: Sequence[str], label_column: str | None) -> tuple[str, Iterator[Record]]:
    """The name of the source, and its rows. For one column without labels plain text will do, one text a line."""
    bare = label_column is None and len(columns) == 1
    if bare and isinstance(source, str | Path) and str(source) == STDIN:
        first, lines = peek(read_lines(STDIN))
        if first.startswith("{"):
            return "stdin", _labelled(read_jsonl("stdin", lines), columns, None)
        return "stdin", _bare("stdin", (line for line in lines if line[1].strip()))
    if bare and isinstance(source, str | Path) and _is_plain(source):
        return str(source), _bare(str(source), read_lines(source))
    table = read_table(source)
    return table.name, _labelled(table, columns, label_column)


def _bare(name: str, lines: Iterable[Line]) -> Iterator[Record]:
    for number, text in lines:
        yield Record(_text(text.rstrip("\r\n"), f"{name}:{number}"), None, f"{name}:{number}")


def _labelled(table: Table, columns: Sequence[str], label_column: str | None) -> Iterator[Record]:
    for where, texts, label in _read(table, columns, label_column):
        yield Record(joined(texts), label, where)


def _read(
    table: Table, columns: Sequence[str], label_column: str | None = None
) -> Iterator[tuple[str, tuple[str, ...], str | None]]:
    """The place of each row, its texts in these columns, and its label."""
    for where, row in _checked(table, *columns, label_column).rows:
        texts = tuple(_text(_cell(row, column, where), f"{where}, column {column!r}") for column in columns)
        yield where, texts, None if label_column is None else _label(row.get(label_column), where)


def read_texts(source: Source, *, text_column: str = "text") -> list[str]:
    """All texts of a corpus; see `iter_texts`."""
    return list(iter_texts(source, text_column=text_column))


def iter_texts(source: Source, *, text_column: str = "text") -> Iterator[str]:
    """The texts of a corpus one at a time; empty ones are skipped, and a corpus without text is a BadInput.

    Plain text is documents separated by blank lines where there is such a line, else one document a line; a table
    gives its text column. Standard input is JSONL when it begins with `{`, else plain text, held in memory.
    """
    texts = (text for text in _corpus(source, text_column) if text.strip())
    first = next(texts, None)
    if first is None:
        raise BadInput(f"{source}: holds no text")
    yield first
    yield from texts


def iter_column(source: Source, column: str) -> Iterator[str]:
    """The texts of a table's column row by row; an empty one is a BadInput, so that columns stay beside each other."""
    return (text for _, (text,) in iter_rows(source, (column,)))


def iter_rows(source: Source, columns: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The place of each row of a table, and its texts in these columns; an empty one is a BadInput."""
    for where, texts, _ in _read(read_table(source), columns):
        yield where, texts


def iter_labelled(
    source: Source, text_columns: Sequence[str], label_column: str | None
) -> Iterator[tuple[str, tuple[str, ...], str | None]]:
    """The place of each row of a table, its texts, and its label, None where there is none or no column for it."""
    yield from _read(read_table(source), text_columns, label_column)


class Held:
    """Texts in memory as a source that can be read again: what came through standard input."""

    def __init__(self, texts: Sequence[str], column: str) -> None:
        self.texts, self.column_names = texts, (column,)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return ({self.column_names[0]: text} for text in self.texts)


def rereadable(source: Source, *, text_column: str = "text") -> Source:
    """The source itself, or what standard input holds, read now."""
    if isinstance(source, str | Path) and str(source) == STDIN:
        return Held(read_texts(source, text_column=text_column), text_column)
    return source


def documents(lines: Iterable[str], *, blocks: bool) -> Iterator[str]:
    """Join lines to documents at blank lines (`blocks`), or take each line as one; line ends are dropped."""
    if not blocks:
        yield from (line.rstrip("\r\n") for line in lines)
        return
    block: list[str] = []
    for line in chain(lines, [""]):
        if line.strip():
            block.append(line.rstrip("\r\n"))
        elif block:
            yield "\n".join(block)
            block = []


def has_blocks(lines: Iterable[str]) -> bool:
    """Whether a blank line stands between two lines of text; reads no further than the first such place."""
    state = 0  # 0: nothing yet, 1: text, 2: text and then a blank line
    for line in lines:
        if line.strip():
            if state == 2:
                return True
            state = 1
        elif state == 1:
            state = 2
    return False


def check_labels(train: Sequence[Record], *, held_out: Iterable[Record] = (), least: int = 2) -> tuple[str, ...]:
    """The classes of `train`, sorted: at least two, and none in `held_out` beyond them.

    Each has two examples, as a split of them needs, or `least` 1.
    """
    counts: Counter[str] = Counter(record.label for record in train if record.label is not None)
    if len(counts) < 2:
        only = f"only the class {next(iter(counts))!r}" if counts else "no labels"
        raise BadInput(f"the training data holds {only}; a classifier needs at least two classes")
    for record in train:
        if record.label is not None and counts[record.label] < least:
            remedy = "add a second or remove it"
            raise BadInput(f"{record.where}: the only training example of class {record.label!r}; {remedy}")
    for record in held_out:
        if record.label is not None and record.label not in counts:
            unknown = f"no training example has the label {record.label!r}{nearest(record.label, counts)}"
            raise BadInput(f"{record.where}: {unknown}")
    return tuple(sorted(counts))


def _is_plain(path: str | Path) -> bool:
    return str(path) != STDIN and ending(path) == ".txt"


def _corpus(source: Source, text_column: str) -> Iterator[str]:
    if isinstance(source, str | Path) and str(source) == STDIN:
        first, lines = peek(read_lines(STDIN))
        if first.startswith("{"):
            return _column(read_jsonl("stdin", lines), text_column)
        held = [text for _, text in lines]
        return documents(held, blocks=has_blocks(held))
    if isinstance(source, str | Path) and _is_plain(source):
        blocks = has_blocks(text for _, text in read_lines(source))
        return documents((text for _, text in read_lines(source)), blocks=blocks)
    return _column(read_table(source), text_column)


def _column(table: Table, text_column: str) -> Iterator[str]:
    for where, row in _checked(table, text_column).rows:
        value = _cell(row, text_column, where)
        if value is not None and value != "":
            yield _text(value, where, may_be_blank=True)


def _check_separated(table: Table) -> None:
    """BadInput where the only column holds what other programs put between columns."""
    remedies = {";": "save it with commas", "\t": "name it .tsv", "|": "save it with commas"}
    header = table.columns[0] if len(table.columns) == 1 else ""
    for mark, remedy in remedies.items():
        if mark in header:
            told = "tabs" if mark == "\t" else repr(mark)
            raise BadInput(f"{table.name}: its columns look separated by {told} ({header[:40]!r}); {remedy}")


def _checked(table: Table, *columns: str | None) -> Table:
    for column in columns:
        if column is not None and column not in table.columns:
            _check_separated(table)
            known = [name[:40] for name in table.columns]  # a file without a header has a text there
            raise NoColumn(f"{table.name}: no column {column!r}{nearest(column, known)}")
    return table


def _cell(row: Mapping[str, Any], column: str, where: str) -> Any:
    if column not in row:
        raise BadInput(f"{where}: no column {column!r}{nearest(column, row)}")
    return row[column]


def _text(value: Any, where: str, *, may_be_blank: bool = False) -> str:
    if value is None or (isinstance(value, str) and not value.strip() and not may_be_blank):
        raise BadInput(f"{where}: empty text; fill it in or remove the row")
    if not isinstance(value, str):
        raise BadInput(f"{where}: the text is no string but {str(value)[:40]!r}; name another text column")
    if "\0" in value:
        raise BadInput(f"{where}: a NUL character in the text; remove it")
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can spell half of a surrogate pair
        raise BadInput(f"{where}: half of a surrogate pair in the text, which is no character; remove it") from None
    return value


def _label(value: Any, where: str) -> str | None:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise BadInput(f"{where}: the label is neither text nor a number but {str(value)[:40]!r}")
    return str(value).strip() or None


def _all_labelled(records: list[Record], label_column: str, name: str) -> list[Record]:
    unlabelled = [record.where for record in records if record.label is None]
    if len(unlabelled) == len(records):
        raise BadInput(f"{name}: no labels at all in column {label_column!r}; fill it in or name another column")
    if unlabelled:
        raise BadInput(f"{unlabelled[0]}: empty label ({len(unlabelled)} in all); fill it in or remove the row")
    return records
