"""GLUE's files: every layout, what 0 and 1 stand for, and the sizes of the published splits."""

import os
from collections import Counter
from pathlib import Path

import pytest

from quire.core.errors import BadInput
from quire.text.glue import TASKS, read_glue

DATA = Path(os.environ.get("QUIRE_DATA", "nowhere")) / "glue"
LINES = {
    "cola": ("gj04\t1\t\tIt sails.", ("It sails.",), "acceptable"),
    "sst-2": ("sentence\tlabel\na charming ride . \t1", ("a charming ride . ",), "positive"),
    "mrpc": ('\ufeff1\t17\t18\tHe said "no.\tHe said no.', ('He said "no.', "He said no."), "equivalent"),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tWhy?\tHow?\t0",
        ("Why?", "How?"),
        "different",
    ),
    "sts-b": ("g\tf\t2012\t0001\t3.80\tA man.\tA boy.", ("A man.", "A boy."), 3.8),
    "mnli": (
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
        "sentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n0\t1\t1n\tfiction\t( a )\t( b )\tA\tB\tYes.\tNo.\t"
        "neutral\tcontradiction",
        ("Yes.", "No."),
        "contradiction",
    ),
    "qnli": ("index\tquestion\tsentence\tlabel\n0\tWhen?\tIn May.\tentailment", ("When?", "In May."), "entailment"),
    "rte": ("index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tnot_entailment", ("A.", "B."), "not_entailment"),
    "wnli": ("index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\t1", ("A.", "B."), "entailment"),
}


def file(text: str, folder: Path) -> Path:
    path = folder / "train.tsv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("task", TASKS)
def test_each_task_is_read_as_it_is_published(task: str, tmp_path: Path) -> None:
    text, texts, answer = LINES[task]
    (problem,) = read_glue(path := file(text.replace("\n", "\r\n") + "\r\n\r\n", tmp_path), task=task)
    assert (problem.texts, problem.answer, problem.where) == (texts, answer, f"{path}:{1 + text.count(chr(10))}")


def test_f1_is_of_the_label_that_sorts_last() -> None:
    measured = [task for task in TASKS.values() if "f1" in task.metrics]
    assert [max(task.labels) for task in measured] == [task.labels[1] for task in measured]


def test_other_layouts_of_the_same_task(tmp_path: Path) -> None:
    unlabelled = read_glue(file("index\tsentence\n0\tIt sails.\n1\tIt.", tmp_path), task="cola")
    assert [(p.texts, p.answer) for p in unlabelled] == [(("It sails.",), None), (("It.",), None)]
    header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\tA.\tB."
    (raw,) = read_glue(file("\ufeff" + header, tmp_path), task="mrpc")
    assert (raw.texts, raw.answer) == (("A.", "B."), "different")
    nine = read_glue(file("g\tf\ty\t1\t5.000\tA.\tB.\tone\ttwo", tmp_path), task="sts-b")
    assert (nine[0].texts, nine[0].answer) == (("A.", "B."), 5.0)


@pytest.mark.parametrize(
    ("task", "text", "says"),
    [
        ("sst2", "x", "no GLUE task is called 'sst2'; did you mean 'sst-2'?"),
        ("rte", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.", ":2: expected 4 fields between tabs, found 3;"),
        ("sts-b", "a\tb\tc\td\t5\tA.\tB.\tx", ":1: expected 7 or 9 fields between tabs, found 8;"),
        ("rte", "sentence\tlabel\na\t1", "no column 'sentence1', which files of rte have"),
        ("rte", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tentailed", ":2: no label 'entailed'"),
        ("sts-b", "g\tf\t2012\t0001\thigh\tA man.\tA boy.", ":1: 'high' is no number in the column 'score'"),
        ("sst-2", "sentence\tlabel\n \t1", ":2: empty text"),
        ("sst-2", "\n", "holds no rows"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(task: str, text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read_glue(file(text, tmp_path), task=task)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


PUBLISHED = [
    ("cola", "CoLA/train.tsv", 8551, {"unacceptable": 2528, "acceptable": 6023}),
    ("cola", "CoLA/test.tsv", 1063, {None: 1063}),
    ("sst-2", "SST-2/dev.tsv", 872, {"negative": 428, "positive": 444}),
    ("mrpc", "MRPC/msr_paraphrase_train.txt", 4076, {"different": 1323, "equivalent": 2753}),
    ("mrpc", "MRPC/msr_paraphrase_test.txt", 1725, {"different": 578, "equivalent": 1147}),
    ("sts-b", "STS-B/sts-dev.csv", 1500, {}),
    ("sts-b", "STS-B/sts-test.csv", 1379, {}),
    ("rte", "RTE/train.tsv", 2490, {"entailment": 1249, "not_entailment": 1241}),
    ("rte", "RTE/test.tsv", 3000, {None: 3000}),
    ("wnli", "WNLI/train.tsv", 635, {"not_entailment": 323, "entailment": 312}),
]


@pytest.mark.skipif(not DATA.is_dir(), reason="needs $QUIRE_DATA/glue")
@pytest.mark.parametrize(("task", "name", "rows", "labels"), PUBLISHED)
def test_the_published_splits_have_their_sizes(task: str, name: str, rows: int, labels: dict[str | None, int]) -> None:
    problems = read_glue(DATA / name, task=task)
    assert len(problems) == rows
    if labels:
        assert Counter(problem.answer for problem in problems) == labels
    else:
        numbers = [problem.answer for problem in problems]
        assert all(isinstance(number, float) and 0 <= number <= 5 for number in numbers)
