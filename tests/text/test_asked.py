"""A person's files as train, dev and test of one task: what is read, held out, left out and refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from quire.core.answers import Span, Task, Tree
from quire.core.config import parse
from quire.core.errors import BadInput
from quire.text.asked import LAYOUTS, FileLayout, asked, fingerprint, names, parted, plain, told
from quire.text.problems import Problem


def table(path: Path, *rows: str, header: str = "text,label") -> str:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return str(path)


def reviews(path: Path, count: int, *, offset: int = 0) -> str:
    return table(path, *(f"review {i},{'good' if i % 2 else 'bad'}" for i in range(offset, offset + count)))


def test_shares_are_held_out_text_by_text(tmp_path: Path) -> None:
    path = table(tmp_path / "all.csv", *(f"review {i // 2},{'good' if i % 2 else 'bad'}" for i in range(80)))
    found = asked(FileLayout(task="label"), train=path, dev=None, test=None, share=0.2)
    texts = [{told(problem) for problem in split} for split in (found.train, found.dev, found.test)]
    assert [len(split) for split in (found.train, found.dev, found.test)] == [52, 12, 16]
    assert not texts[0] & texts[1]
    assert not texts[0] & texts[2], "texts alike stay together"
    assert found.labels == ("bad", "good")
    assert not found.leaked
    again = asked(FileLayout(task="label"), train=path, dev=None, test=None, share=0.2)
    assert again.hashes == found.hashes


def test_test_texts_that_were_seen_are_counted(tmp_path: Path) -> None:
    train, test = reviews(tmp_path / "train.csv", 40), reviews(tmp_path / "test.csv", 10, offset=35)
    found = asked(FileLayout(task="label"), train=train, dev=None, test=test, share=0.2)
    assert found.leaked == (0, 1, 2, 3, 4)


def test_a_dev_set_that_repeats_training_text_is_refused_and_a_few_are_left_out(tmp_path: Path) -> None:
    train = reviews(tmp_path / "train.csv", 100)
    few, many = (reviews(tmp_path / f"{n}.csv", 40, offset=100 - n) for n in (2, 3))
    found = asked(FileLayout(task="label"), train=train, dev=few, test=None, share=0.0 + 0.1)
    assert len(found.dev) <= 39
    assert "left out of dev" in found.notes[0]
    with pytest.raises(BadInput, match=r"3.csv:2: also stands in the training data \(.*train.csv:\d+\), and so do"):
        asked(FileLayout(task="label"), train=train, dev=many, test=few, share=0.1)


def test_two_texts_and_a_number(tmp_path: Path) -> None:
    path = table(tmp_path / "pairs.csv", "a b,c d,2.5", "e,f,0", header="text,other,label")
    layout = FileLayout(task="number", pair_column="other")
    [one, two] = layout.read(path)
    assert (one.texts, one.answer, two.answer) == (("a b", "c d"), 2.5, 0.0)
    assert one.where.endswith("pairs.csv:2")
    [blank, _] = layout.read(path, answered=False)
    assert blank.answer is None


@pytest.mark.parametrize(
    ("task", "file", "text", "found"),
    [
        ("spans", "a.conll", "Ada B-PER\nmet O\n", frozenset({Span(0, 1, "PER")})),
        ("spans", "a.jsonl", '{"text": "Ada met", "spans": [[0, 3, "PER"]]}\n', frozenset({Span(0, 1, "PER")})),
        ("tree", "a.conllu", "1\ta\t_\t_\t_\t_\t2\tdet\t_\t_\n2\tb\t_\t_\t_\t_\t0\troot\t_\t_\n\n",
         Tree((2, 0), ("det", "root"))),
        ("number", "a.tsv", "main\tx\t2012\t1\t4.200\tA b.\tC d.\n", 4.2),
    ],
)  # fmt: skip
def test_files_tell_their_layout(tmp_path: Path, task: Task, file: str, text: str, found: Any) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8")
    layout = FileLayout(task=task, name="sts-b" if task == "number" else None)
    [problem] = layout.read(str(tmp_path / file))
    assert problem.answer == found
    assert problem.answer is not None
    assert json.dumps(problem.told(problem.answer))


def test_a_table_without_the_columns_may_be_of_another_layout(tmp_path: Path) -> None:
    path = tmp_path / "dev.tsv"
    path.write_text("index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"no column 'text'; .* \(or it is laid out otherwise: give --layout .*, rte,"):
        FileLayout(task="label").read(str(path))
    with pytest.raises(BadInput, match=r"no column 'text'; known: index, label, sentence1, sentence2$"):
        FileLayout(task="label", name="table").read(str(path))
    assert FileLayout(task="label", name="rte").read(str(path))


def test_every_task_has_a_layout_and_every_layout_is_read() -> None:
    for task, layouts in LAYOUTS.items():
        for name in layouts:
            with pytest.raises(BadInput, match=r"no such file|cannot be read"):
                FileLayout(task=task, name=name).read("nowhere.csv")


def test_names_are_what_answers_are_made_of() -> None:
    spans = Problem.of_words(["a", "b"], frozenset({Span(0, 1, "y"), Span(1, 2, "x")}), "here")
    tree = Problem.of_words(["a"], Tree((0,), ("root",)), "here")
    assert names([spans, tree, Problem(("t",), "z", "here"), Problem(("t",), 1.0, "here")]) == ("root", "x", "y", "z")
    assert plain(spans.answer) == [[0, 1, "y"], [1, 2, "x"]]
    assert fingerprint([spans]) != fingerprint([tree])


@pytest.mark.parametrize(
    ("rows", "task", "message"),
    [
        (["a,1", "b,often"], "number", r"x.csv:3: the answer is no number but 'often'"),
        (["a,1", "b,nan"], "number", r"x.csv:3: the answer is no number but 'nan'"),
        (["a,good", "b,"], "label", r"x.csv:3: no answer \(1 in all\); fill it in or remove the row"),
        (["a,good", ",bad"], "label", r"x.csv:3, column 'text': empty text"),
        ([], "label", r"x.csv: holds nothing to answer; give a file with rows"),
    ],
)
def test_rows_that_say_nothing_are_refused(tmp_path: Path, rows: list[str], task: Task, message: str) -> None:
    with pytest.raises(BadInput, match=message) as error:
        FileLayout(task=task).read(table(tmp_path / "x.csv", *rows))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["good"] * 20, r"holds only the class 'good'"),
        (["good", "Good"] * 10, r"the labels 'Good' and 'good' differ in case alone"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(tmp_path: Path, labels: list[str], message: str) -> None:
    path = table(tmp_path / "x.csv", *(f"text {i},{label}" for i, label in enumerate(labels)))
    with pytest.raises(BadInput, match=message):
        asked(FileLayout(task="label"), train=path, dev=None, test=None, share=0.2)


def test_a_label_that_was_never_learnt_is_refused(tmp_path: Path) -> None:
    test = table(tmp_path / "test.csv", "a new one,god")
    with pytest.raises(BadInput, match=r"test.csv:2: no training example has the label 'god'; did you mean 'good'"):
        asked(FileLayout(task="label"), train=reviews(tmp_path / "a.csv", 20), dev=None, test=test, share=0.2)


def test_too_little_to_hold_out_and_unknown_layouts() -> None:
    with pytest.raises(BadInput, match=r"here: cannot hold out 10% of 2 different texts"):
        parted([Problem((str(i),), "a", "x") for i in range(2)], share=0.1, seed=0, where="here")
    with pytest.raises(BadInput, match=r"no layout of a tree is called 'conll'; did you mean 'conllu'"):
        parse(FileLayout, {"task": "tree", "name": "conll"}, where="layout")
