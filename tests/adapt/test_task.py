"""Splits are drawn by class and recorded, test text never reaches the corpus."""

from dataclasses import replace
from pathlib import Path

import pytest

from quire.adapt.settings import AdaptSettings, Budget, Inputs
from quire.adapt.task import Given, Task, labels_in_words, read_task, warnings, with_labels
from quire.core.errors import BadInput
from quire.recipe import load
from quire.text.audit import normalised


def settings(**inputs: str) -> AdaptSettings:
    return AdaptSettings(
        inputs=Inputs(**{"train": "reviews.csv", **inputs}),
        recipe=load("minilm-adapt"),
        budget=Budget.parse("10steps"),
    )


def read(files: Path, **given: Path) -> Task:
    sources = Given({"train": files / "reviews.csv", **given}, (files / "domain.txt",), "text", "label")
    return read_task(settings(), sources)


def test_without_dev_and_test_both_are_drawn_by_class(files: Path) -> None:
    task = read(files)
    sizes = [len(part.records) for part in (task.train, task.dev, task.test)]
    assert sum(sizes) == 80
    assert sizes == [52, 12, 16]
    for part in (task.train, task.dev, task.test):
        assert abs(part.labels.count("good") - part.labels.count("bad")) <= 2
    assert "seed 0" in task.test.origin
    assert read(files).test.sha256 == task.test.sha256


def test_no_held_out_text_reaches_the_corpus(files: Path, tmp_path: Path) -> None:
    task = read(files)
    leaky = tmp_path / "leaky.txt"
    stolen = task.test.texts[0]
    leaky.write_text(f"something else entirely\n  {stolen.upper()}  \n{task.dev.texts[0]}\n", encoding="utf-8")
    leaking = Task(task.labels, task.train, task.dev, task.test, task.audit, (leaky,), "text")
    corpus = leaking.corpus_texts()
    kept = {normalised(text) for text in corpus}
    assert not kept & {normalised(text) for text in (*task.test.texts, *task.dev.texts)}
    assert "something else entirely" in kept
    assert set(map(normalised, task.train.texts)) <= kept
    assert corpus.dropped == 2
    assert "2 that equalled or contained one" in corpus.proof()


def test_a_test_text_that_was_trained_on_is_announced(files: Path, tmp_path: Path) -> None:
    task = read(files)
    test = tmp_path / "test.csv"
    test.write_text(f"text,label\n{task.train.texts[0]},{task.train.labels[0]}\nnew words,bad\n", encoding="utf-8")
    leaky = read(files, test=test)
    assert leaky.audit.leaked == (0,)
    assert any("1 of 2 test texts" in line and "clean score" in line for line in warnings(leaky))


def test_a_dev_set_that_repeats_training_text_is_refused_and_a_few_are_left_out(files: Path, tmp_path: Path) -> None:
    train, dev = files / "reviews.csv", tmp_path / "dev.csv"
    with pytest.raises(BadInput, match=r"csv:2: also stands in the training data .*, and so do 80 of 80 in .*; give"):
        read(files, dev=train, test=train)
    header, *rows = train.read_text(encoding="utf-8").splitlines()
    for repeated, left in ((2, 38), (3, None)):
        own = [row.upper().replace(",GOOD", ",good").replace(",BAD", ",bad") for row in rows[:repeated]]
        new = [f"unheard of {number},{'good' if number % 2 else 'bad'}" for number in range(40 - repeated)]
        dev.write_text("\n".join([header, *own, *new]) + "\n", encoding="utf-8")
        if left is None:
            with pytest.raises(BadInput, match=r"dev.csv:2: .* and so do 3 of 40 in "):
                read(files, dev=dev, test=train)
        else:
            task = read(files, dev=dev, test=train)
            assert len(task.dev.records) == left
            assert "2 of 40 dev texts also stand in train and were left out of dev" in [*warnings(task)]


def test_a_label_that_training_lacks_is_refused_with_the_nearest(files: Path, tmp_path: Path) -> None:
    test = tmp_path / "test.csv"
    test.write_text("text,label\nnice thing,goood\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"test.csv:2: .*'goood'; did you mean 'good'"):
        read(files, test=test)


def test_fewer_labels_than_asked_for_are_said_as_they_are(files: Path) -> None:
    task = read(files)
    counts = sorted(task.train.labels.count(label) for label in task.labels)
    least, most = counts[0], counts[-1]
    few = with_labels(task, 5, seed=0)
    assert few.train.origin == f"5 labels a class of {task.train.origin}, drawn with seed 0"
    there = f"{least}" if least == most else f"{least} to {most}"
    assert with_labels(task, 500, seed=0).train.origin.startswith(f"all labels, {there} a class (500 asked for) of ")
    uneven = replace(task, train=replace(task.train, records=(*few.train.records, *task.train.records[:1] * 20)))
    assert labels_in_words(uneven, 7) == "5 to 7 labels a class (7 asked for)"
    assert labels_in_words(uneven, None) == "all labels"


def test_one_example_of_a_class_stands_in_the_way_of_a_split_alone(files: Path, tmp_path: Path) -> None:
    rows = (files / "reviews.csv").read_text(encoding="utf-8")
    (tmp_path / "rare.csv").write_text(f"{rows.rstrip()}\na text of its own,odd\n", encoding="utf-8")
    (tmp_path / "test.csv").write_text("text,label\nnew words,bad\n", encoding="utf-8")
    (tmp_path / "dev.csv").write_text("text,label\nother words,good\n", encoding="utf-8")
    given = {"train": tmp_path / "rare.csv", "test": tmp_path / "test.csv"}
    with pytest.raises(BadInput, match="the only training example of class 'odd'"):
        read(files, **given)
    assert read(files, **given, dev=tmp_path / "dev.csv").labels == ("bad", "good", "odd")
