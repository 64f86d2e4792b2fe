"""What a person hands in: every format gives the same records, every fault one line with its place."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.errors import BadInput
from quire.text.records import Record, check_labels, iter_texts, read_records, read_texts

ROWS = [("it broke, twice", "bad"), ('said "fine"\nand meant it', "good"), (" 很好 ", "good")]
FIELDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def as_csv(path: Path, rows: list[tuple[str, str]], *, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([("text", "label"), *rows])
    return path


def as_jsonl(path: Path, rows: list[tuple[str, str]]) -> Path:
    return write(path, "".join(json.dumps({"text": t, "label": v}, ensure_ascii=False) + "\n" for t, v in rows))


def as_parquet(path: Path, rows: list[tuple[str, str]]) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": [t for t, _ in rows], "label": [v for _, v in rows]}), path)
    return path


def refusal(path: Path | str, *, text_column: str = "text", label_column: str | None = "label") -> str:
    with pytest.raises(BadInput) as caught:
        read_records(path, text_column=text_column, label_column=label_column)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_format_gives_the_same_records(tmp_path: Path) -> None:
    paths = [
        as_csv(tmp_path / "a.csv", ROWS),
        as_csv(tmp_path / "bom.csv", ROWS, encoding="utf-8-sig"),
        as_csv(tmp_path / "a.tsv", ROWS, delimiter="\t"),
        as_jsonl(tmp_path / "a.jsonl", ROWS),
        as_parquet(tmp_path / "a.parquet", ROWS),
    ]
    for path in paths:
        assert [(r.text, r.label) for r in read_records(path)] == ROWS, path
        assert read_texts(path) == [text for text, _ in ROWS], path


@given(st.lists(st.tuples(FIELDS, FIELDS.map(str.strip)), min_size=1, max_size=5))
def test_csv_and_jsonl_bring_back_any_text(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for path in (as_csv(folder / "a.csv", rows), as_jsonl(folder / "a.jsonl", rows)):
        assert [(r.text, r.label) for r in read_records(path)] == rows


def test_the_place_is_where_the_row_begins(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'text,label\n"one\nmore",x\n\ntwo,y\n')
    assert [r.where for r in read_records(path)] == [f"{path}:2", f"{path}:5"]


def test_a_text_longer_than_the_csv_limit_is_read_and_the_limit_put_back(tmp_path: Path) -> None:
    before, long = csv.field_size_limit(1000), "x" * 200_000
    try:
        assert read_records(as_csv(tmp_path / "a.csv", [(long, "y")]))[0].text == long
        assert csv.field_size_limit() == 1000
    finally:
        csv.field_size_limit(before)


def test_plain_text_without_labels_is_one_text_a_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one\r\ntwo\n")
    assert read_records(path, label_column=None) == [Record("one", None, f"{path}:1"), Record("two", None, f"{path}:2")]
    assert "no labels" in refusal(path)


def test_labels_that_are_no_text_become_text(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl", "".join(f'{{"text": "t", "label": {v}}}\n' for v in ("3", "true", "0.5", '"a "'))
    )
    assert [r.label for r in read_records(path)] == ["3", "true", "0.5", "a"]


def test_standard_input_is_jsonl_or_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    for content in ('\n{"text": "t", "label": "l"}\n', "text,label\nt,l\n"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
        [record] = read_records("-")
        assert (record.text, record.label, record.where) == ("t", "l", "stdin:2")


def test_a_datasets_object_gives_the_names_of_its_classes() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    data = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    assert [(r.text, r.label) for r in read_records(data)] == [("a", "pos"), ("b", "neg")]
    with pytest.raises(BadInput, match="several splits"):
        read_records(datasets.DatasetDict(train=data))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "a.csv",
            "text,lable\na,b\n",
            "no column 'label'; did you mean 'lable'? (--text-column and --label-column take other names)",
        ),
        ("a.csv", "text;label\na;b\n", "a.csv: its columns look separated by ';' ('text;label'); save it with commas"),
        ("a.csv", "text\tlabel\na\tb\n", "a.csv: its columns look separated by tabs ('text\\tlabel'); name it .tsv"),
        (
            "a.jsonl",
            '{"text": "a", "label": "b"}\n{"txt": "a", "label": "b"}\n',
            ":2: no column 'text'; did you mean 'txt'?",
        ),
        ("a.csv", "text,label\na,\nb, \n", "no labels at all in column 'label'"),
        ("a.csv", "text,label\na,x\nb,\n", ":3: empty label (1 in all)"),
        ("a.jsonl", '{"text": "a", "label": "x"}\n{"text": "b", "label": null}\n', ":2: empty label"),
        ("a.csv", "text,label\n \t ,x\n", ":2, column 'text': empty text"),
        ("a.csv", b"text,label\n\xc3\xb6k,x\nb\xe4d,x\n", ":3: not UTF-8 at byte 18 (0xe4)"),
        ("a.csv", "text,label\na\0b,x\n", ":2: a NUL byte at byte 12"),
        ("a.jsonl", '{"text": "a\\u0000", "label": "x"}\n', ":1, column 'text': a NUL character"),
        ("a.jsonl", '{"text": "a\\ud800", "label": "x"}\n', ":1, column 'text': half of a surrogate pair"),
        ("a.csv", "text,label\na,x\na,b,c\n", ":3: expected 2 fields, found 3"),
        ("a.csv", "text,label\na\n", ":2: expected 2 fields, found 1"),
        ("a.csv", 'text,label\nok,x\n"open,x\nmore,x\n', ":3: unexpected end of data"),
        ("a.jsonl", '{"text": "a", "label": "x"}\n["a"]\n', ":2: not a JSON object"),
        ("a.jsonl", '{"text": "a", "label": "x"}\n{"text"\n', ":2: not valid JSON"),
        ("a.jsonl", '{"text": "a", "text": "b"}\n', ":1: column 'text' stands there more than once"),
        ("a.jsonl", '{"text": 3, "label": "x"}\n', ":1, column 'text': the text is no string but '3'"),
        ("a.jsonl", '{"text": "a", "label": ["x"]}\n', ":1: the label is neither text nor a number"),
        ("a.csv", "text,label,text\na,b,c\n", "column 'text' stands there more than once"),
        ("a.csv", "", "holds no rows"),
        ("a.csv", "text,label\n", "holds no rows"),
        ("a.jsonl", "\n", "holds no rows"),
        ("a.parquet", "text", "not a readable Parquet file"),
        ("a.docx", "text", "cannot tell the format from its name"),
    ],
)
def test_bad_input_is_one_line_with_its_place(tmp_path: Path, name: str, content: str | bytes, says: str) -> None:
    path = write(tmp_path / name, content)
    message = refusal(path)
    assert message.startswith(str(path))
    assert says in message


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "absent.csv")
    assert "a directory" in refusal(tmp_path)
    with pytest.raises(BadInput, match="no table"):
        read_records([("a", "b")])  # type: ignore[arg-type]


def test_a_corpus_is_documents_between_blank_lines_or_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    assert read_texts(write(path, "\none\ntwo\n\n")) == ["one", "two"]  # blank lines around are no separators
    assert read_texts(write(path, "one\r\ntwo\r\n \r\n\nthree")) == ["one\ntwo", "three"]
    with pytest.raises(BadInput, match="holds no text"):
        read_texts(write(path, "\n \n"))


def test_a_corpus_skips_empty_cells(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": null}\n{"text": " "}\n{"text": "b"}\n')
    assert read_texts(path) == ["a", "b"]


def test_a_corpus_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for content in ('{"text": "a, b"}\n{"text": "c"}\n', "a, b\nc\n"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
        assert read_texts("-") == ["a, b", "c"]


def test_a_corpus_is_read_as_it_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a"}\n' * 3 + "broken\n")
    texts = iter_texts(path)
    assert [next(texts) for _ in range(2)] == ["a", "a"]
    with pytest.raises(BadInput, match=r":4: not valid JSON"):
        list(texts)


def records(*labels: str) -> list[Record]:
    return [Record(f"text {i}", label, f"a.csv:{i + 2}") for i, label in enumerate(labels)]


def test_labels_are_enough_to_learn_from() -> None:
    assert check_labels(records("b", "a", "a", "b"), held_out=records("a")) == ("a", "b")
    for train, held_out, says in [
        (records("a", "a"), [], "only the class 'a'"),
        ([], [], "no labels"),
        (records("a", "b", "a"), [], "a.csv:3: the only training example of class 'b'"),
        (
            records("good", "bad") * 2,
            records("good", "godo"),
            "a.csv:3: no training example has the label 'godo'; did you mean 'good'?",
        ),
    ]:
        with pytest.raises(BadInput) as caught:
            check_labels(train, held_out=held_out)
        assert says in str(caught.value)
