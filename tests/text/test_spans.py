"""Spans by characters: which words they are, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from quire.core.errors import BadInput
from quire.text.spans import read_spans


def write(folder: Path, *rows: Any) -> Path:
    file = folder / "x.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "given", "found"),
    [
        ("Ada met Bo.", [[0, 3, "PER"], [8, 10, "PER"]], [("Ada", "PER"), ("Bo", "PER")]),
        ("Ada met.", [{"start": 0, "end": 3, "label": "PER", "text": "Ada"}], [("Ada", "PER")]),
        ("王小明在北京大学", [[0, 3, "PER"], [4, 8, "ORG"]], [("王小明", "PER"), ("北京大学", "ORG")]),
        ("U.S.-made", [[0, 4, "LOC"]], [("U.S.", "LOC")]),
        ("in New York now", [[2, 12, "LOC"], [7, 11, " GPE "]], [("New York", "LOC"), ("York", "GPE")]),  # nested
        ("nobody", [], []),
    ],
)
def test_spans_are_words(tmp_path: Path, text: str, given: list[Any], found: list[tuple[str, str]]) -> None:
    [problem] = read_spans(write(tmp_path, {"text": text, "spans": given, "more": 1}))
    assert isinstance(problem.answer, frozenset)
    assert [(problem.quoted(span.start, span.end), span.label) for span in sorted(problem.answer)] == found
    assert (problem.texts, problem.where) == ((text,), f"{tmp_path / 'x.jsonl'}:1")


def test_a_line_without_spans_asks(tmp_path: Path) -> None:
    one, two = read_spans(write(tmp_path, {"text": "a b"}, {"text": "c", "spans": [[0, 1, "X"]]}))
    assert one.answer is None
    assert two.answer is not None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "Berlin wall", "spans": [[0, 3, "L"]]}, r"splits the word 'Berlin' at character 3; move it to 0 or"),
        (
            {"text": "a Berlin", "spans": [[4, 8, "L"]]},
            r"splits the word 'Berlin' at character 4; move it to 2 or to 8",
        ),
        ({"text": "abc", "spans": [[0, 4, "L"]]}, r"the span \[0, 4, 'L'\] is empty or outside the 3 characters"),
        ({"text": "abc", "spans": [[-1, 3, "L"]]}, "is empty or outside"),
        ({"text": "abc", "spans": [[3, 3, "L"]]}, "is empty or outside"),
        ({"text": "a  b", "spans": [[1, 3, "L"]]}, "holds blanks alone"),
        ({"text": "abc", "spans": [[0, 3]]}, r"is not \[start, end, kind\]"),
        ({"text": "abc", "spans": [[0, True, "L"]]}, r"is not \[start, end, kind\]"),
        ({"text": "abc", "spans": [[0, 3.0, "L"]]}, r"is not \[start, end, kind\]"),
        ({"text": "abc", "spans": [[0, 3, " "]]}, r"is not \[start, end, kind\]"),
        ({"text": "abc", "spans": {"L": 1}}, "is no list"),
        ({"text": " ", "spans": []}, "no text"),
        ({"spans": []}, "no text"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(tmp_path: Path, row: Any, message: str) -> None:
    file = write(tmp_path, {"text": "fine", "spans": []}, row)
    with pytest.raises(BadInput, match=message) as caught:
        read_spans(file)
    assert str(caught.value).startswith(f"{file}:2: ")
    assert "\n" not in str(caught.value)
