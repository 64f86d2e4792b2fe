"""Tables as people keep them: CSV, TSV, JSONL, Parquet, standard input, a Hugging Face `datasets.Dataset`.

Every reader gives the same thing, named columns and rows with their place, so that an error can say `reviews.csv:17`.
"""

import csv
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeAlias

from quire.core.errors import BadInput

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet", ".txt")
STDIN = "-"
_LONGEST_FIELD = 2**31 - 1  # the highest limit that csv takes on every platform


class RowSource(Protocol):
    """What is asked of a `datasets.Dataset`, or of anything that looks like one."""

    @property
    def column_names(self) -> Sequence[str]: ...

    def __iter__(self) -> Iterator[Mapping[str, Any]]: ...


Source: TypeAlias = str | Path | RowSource
Line: TypeAlias = tuple[int, str]  # its number from 1, and its text with the line end
Row: TypeAlias = tuple[str, Mapping[str, Any]]  # its place, and its values by column


@dataclass(frozen=True)
class Table:
    """Named columns, and rows that are read as they are asked for."""

    name: str
    columns: tuple[str, ...]
    rows: Iterator[Row]


def ending(path: str | Path) -> str:
    """The ending of a readable file; BadInput for a missing file, a directory or another ending."""
    path = Path(path)
    if not path.exists():
        raise BadInput(f"{path}: no such file")
    if path.is_dir():
        raise BadInput(f"{path}: a directory; give a file")
    if path.suffix.lower() not in ENDINGS:
        raise BadInput(f"{path}: cannot tell the format from its name; rename it to end in {', '.join(ENDINGS)}")
    return path.suffix.lower()


def read_table(source: Source) -> Table:
    """Open a table; standard input, `-`, is JSONL when it begins with `{` and CSV otherwise."""
    if not isinstance(source, str | Path):
        return _from_object(source)
    if str(source) == STDIN:
        first, lines = peek(read_lines(STDIN))
        return read_jsonl("stdin", lines) if first.startswith("{") else _read_csv("stdin", lines, delimiter=",")
    match ending(source):
        case ".parquet":
            return _read_parquet(str(source))
        case ".jsonl":
            return read_jsonl(str(source), read_lines(source))
        case ".txt":
            raise BadInput(f"{source}: plain text has no columns, so no labels; give {', '.join(ENDINGS[:-1])}")
        case other:
            return _read_csv(str(source), read_lines(source), delimiter="," if other == ".csv" else "\t")


def sha256(path: str | Path) -> str:
    """Of a file; BadInput where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error


def read_lines(source: str | Path) -> Iterator[Line]:
    """The lines of a UTF-8 file or of standard input, one at a time; a byte order mark is dropped."""
    name = "stdin" if str(source) == STDIN else str(source)
    try:
        with nullcontext(sys.stdin.buffer) if str(source) == STDIN else Path(source).open("rb") as file:
            yield from decoded(file, name=name)
    except OSError as error:
        raise BadInput(f"{name}: cannot be read: {error.strerror}") from error


def decoded(lines: Iterable[bytes], *, name: str, encoding: str = "utf-8") -> Iterator[Line]:
    """Number and decode raw lines; BadInput names the line and the byte where it cannot be done."""
    offset = 0  # of the line in the file
    for number, raw in enumerate(lines, start=1):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError as error:
            wrong = f"byte {offset + error.start} (0x{raw[error.start]:02x})"
            raise BadInput(f"{name}:{number}: not UTF-8 at {wrong}; save the file as UTF-8") from None
        if "\0" in text:
            at = offset + raw.index(b"\0")
            raise BadInput(f"{name}:{number}: a NUL byte at byte {at}; is this a text file? Save it as UTF-8 text")
        offset += len(raw)
        yield number, text.removeprefix("\ufeff") if number == 1 else text


def peek(lines: Iterator[Line]) -> tuple[str, Iterator[Line]]:
    """The first line that is not blank, and all lines."""
    seen: list[Line] = []
    for line in lines:
        seen.append(line)
        if line[1].strip():
            break
    return (seen[-1][1] if seen else ""), chain(seen, lines)


def read_jsonl(name: str, lines: Iterator[Line]) -> Table:
    """One JSON object a line; the columns are the keys of the first. Blank lines are skipped."""

    def rows() -> Iterator[Row]:
        for number, text in lines:
            if text.strip():
                yield f"{name}:{number}", _object(text, where=f"{name}:{number}")

    found = rows()
    first = next(found, None)
    if first is None:
        raise BadInput(f"{name}: holds no rows")
    return Table(name, tuple(first[1]), chain([first], found))


def _object(text: str, *, where: str) -> Mapping[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _check_unique([key for key, _ in pairs], where=where)
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadInput(f"{where}: not valid JSON: {error}; each line must be one object") from None
    if not isinstance(value, dict):
        raise BadInput(f'{where}: not a JSON object; each line must be one, like {{"text": "...", "label": "..."}}')
    return value


def _read_csv(name: str, lines: Iterator[Line], *, delimiter: str) -> Table:
    rows = _csv_rows(name, (text for _, text in lines), delimiter)
    _, header = next(rows, ("", []))
    if not header:
        raise BadInput(f"{name}: holds no rows; the first must name the columns")
    _check_unique(header, where=name)

    def named() -> Iterator[Row]:
        for where, fields in rows:
            if len(fields) != len(header):
                hint = "quote a field that holds the separator or a line end"
                raise BadInput(f"{where}: expected {len(header)} fields, found {len(fields)}; {hint}")
            yield where, dict(zip(header, fields, strict=True))

    return Table(name, tuple(header), named())


def _csv_rows(name: str, lines: Iterator[str], delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """Rows that are not blank, each with the place where it begins: a quoted field may hold line ends."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    begins = 1
    with _any_field_length():
        while True:
            try:
                fields = next(reader, None)
            except csv.Error as error:
                raise BadInput(f"{name}:{begins}: {error} in the row that begins here; check its quotes") from None
            if fields is None:
                return
            if fields:
                yield f"{name}:{begins}", fields
            begins = reader.line_num + 1


@contextmanager
def _any_field_length() -> Iterator[None]:
    """The csv module refuses fields over 128 KiB by a setting of the process: lift it, then put it back."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_parquet(name: str) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise BadInput(f"{name}: Parquet needs pyarrow; run: pip install 'quire[data]'") from None

    def broken(error: Exception) -> NoReturn:
        raise BadInput(f"{name}: not a readable Parquet file: {' '.join(str(error).split())}") from error

    try:
        file = parquet.ParquetFile(name)
    except (pyarrow.ArrowException, OSError) as error:
        broken(error)
    columns = tuple(file.schema_arrow.names)
    _check_unique(columns, where=name)

    def rows() -> Iterator[Mapping[str, Any]]:
        try:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            broken(error)

    return Table(name, columns, _numbered(name, rows()))


def _from_object(source: RowSource) -> Table:
    name = type(source).__name__
    columns = getattr(source, "column_names", None)
    if isinstance(columns, Mapping):
        raise BadInput(f"{name}: holds several splits ({', '.join(columns)}); pass one of them")
    if columns is None:
        raise BadInput(f"{name}: not a path and no table; pass a path, '-' or a datasets.Dataset")
    return Table(name, tuple(columns), _numbered(name, _with_label_names(source)))


def _with_label_names(source: RowSource) -> Iterator[Mapping[str, Any]]:
    """`datasets` keeps classes as numbers and their names in `features`: a person reads the names."""
    features: Mapping[str, Any] = getattr(source, "features", None) or {}
    names = {column: kind.int2str for column, kind in features.items() if hasattr(kind, "int2str")}
    for row in source:
        known = {c: int2str(row[c]) for c, int2str in names.items() if row.get(c) is not None and row[c] >= 0}
        yield {**row, **known}


def _numbered(name: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    return ((f"{name}: row {number}", row) for number, row in enumerate(rows, start=1))


def _check_unique(columns: Iterable[str], *, where: str) -> None:
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise BadInput(f"{where}: column {twice[0]!r} stands there more than once; rename one of them")
