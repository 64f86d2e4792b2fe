"""The few formats that published text data sets come in; a catalogue entry names one of them."""

import csv
import json
import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, TypeAlias

from pydantic import Field

from quire.core.catalogue import Component
from quire.core.errors import BadInput
from quire.text.records import Record, documents
from quire.text.rows import Line


class Format(Component):
    """How the lines of a file become records."""

    home: ClassVar[str] = "quire.data.formats"

    @abstractmethod
    def records(self, lines: Sequence[Line], *, file: str) -> Iterator[Record]:
        """The records of `file`, whose places begin with its name."""


Column: TypeAlias = Literal["text", "label", "skip"]


class Delimited(Format):
    """One record a line: fields by a delimiter, or the fields of a CSV row; blank fields mean no record."""

    columns: tuple[Column, ...] = ("label", "text")
    delimiter: str = "\t"
    quoted: bool = False
    header: int = Field(default=0, ge=0, description="lines before the first record")
    label_until: str = Field(default="", description="what ends the coarse part of a label, like ':'")

    def records(self, lines: Sequence[Line], *, file: str) -> Iterator[Record]:
        for number, fields in self._rows(lines[self.header :]):
            if len(fields) != len(self.columns):
                raise BadInput(f"{file}:{number}: expected {len(self.columns)} fields, found {len(fields)}")
            row = dict(zip(self.columns, fields, strict=True))
            label = row["label"].strip()
            if self.label_until:
                label = label.partition(self.label_until)[0]
            if label and row["text"].strip():
                yield Record(row["text"], label, f"{file}:{number}")

    def _rows(self, lines: Sequence[Line]) -> Iterator[tuple[int, list[str]]]:
        if not self.quoted:
            for number, line in lines:
                yield number, line.rstrip("\r\n").split(self.delimiter, len(self.columns) - 1)
            return
        reader = csv.reader((text for _, text in lines), delimiter=self.delimiter, strict=True)
        for fields in reader:
            yield self.header + reader.line_num, fields


class Jsonl(Format):
    """One JSON object a line, with the keys `text` and `label`."""

    def records(self, lines: Sequence[Line], *, file: str) -> Iterator[Record]:
        for number, line in lines:
            row = json.loads(line)
            yield Record(row["text"], str(row["label"]), f"{file}:{number}")


class Lines(Format):
    """One text a line; all texts of a file share the class that `classes` gives it, if any."""

    classes: dict[str, str] = Field(default_factory=dict)

    def records(self, lines: Sequence[Line], *, file: str) -> Iterator[Record]:
        for number, line in lines:
            if line.strip():
                yield Record(line.rstrip("\r\n"), self.classes.get(file), f"{file}:{number}")


class Blocks(Format):
    """Documents between blank lines, without labels; a place counts documents."""

    def records(self, lines: Sequence[Line], *, file: str) -> Iterator[Record]:
        for number, text in enumerate(documents((text for _, text in lines), blocks=True), start=1):
            yield Record(text, None, f"{file}: document {number}")


class Articles(Format):
    """Wikipedia articles as WikiText writes them: one begins at ` = Title = ` between blank lines."""

    def records(self, lines: Sequence[Line], *, file: str) -> Iterator[Record]:
        texts = ["", *(text.strip() for _, text in lines), ""]
        titles = (i for i, text in enumerate(texts) if re.fullmatch(r"= [^=].*[^=] =", text))
        begins = [i for i in titles if not texts[i - 1] and not texts[i + 1]]
        for begin, end in zip(begins, [*begins[1:], len(texts)], strict=True):
            yield Record("\n".join(filter(None, texts[begin:end])), None, f"{file}:{begin}")
