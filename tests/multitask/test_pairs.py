"""A task of pairs beside one of single texts: both texts are read, a stop changes nothing, and what is kept answers."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import quire
from quire.cli import app
from quire.core.errors import BadInput, Stopped
from quire.core.random import rng
from quire.multitask import Shared, share
from quire.train.progress import Silent
from quire.train.signals import StopRequest

TOY = """
title: Toy
cite: nobody
survey: x
backbone: {kind: lstm, depth: 1, width: 32, embedding: 32, directions: joined, positions: 16, init_std: 0.1, dropout: 0}
data: {shape: documents, length: 12, tokenizer: {size: 120}}
objectives: [mlm]
train: {steps: 10, batch: 8, lr: 1e-2, checkpoint_every: 2}
finetune:
  train: {steps: 1, batch: 8, lr: 1e-2, checkpoint_every: 5}
  dropout: 0
  epochs: 12
  sampling: annealed
"""
NAMES, MOODS = ("ada", "bob"), ("awful", "great")
FILLERS = ("the", "phone", "camera", "screen", "was", "is", "really", "so")
SIZES = {"train": 128, "dev": 80, "test": 64}


def pairs(split: str, count: int) -> list[tuple[str, str, str]]:
    """Whether both texts are of the same name, which is the first word of the first and alone in the second.

    The first is longer than what is read, so that of both as one text nothing of the second is left.
    """
    draw, made = rng("pairs", split), []
    for i in range(count):
        first, second = NAMES[i % 2], NAMES[i // 2 % 2]
        words = draw.choice(FILLERS, 14)
        made.append((" ".join([first, *words, f"{split}{i}"]), second, "same" if first == second else "other"))
    return made


def moods(split: str, count: int) -> list[tuple[str, str]]:
    draw = rng("moods", split)
    return [(" ".join([MOODS[i % 2], *draw.choice(FILLERS, 4), f"{split}{i}"]), str(i % 2)) for i in range(count)]


def _write(path: Path, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("person")
    (folder / "toy.yaml").write_text(TOY)
    for split, count in SIZES.items():
        _write(folder / f"same-{split}.csv", ("text", "other", "label"), pairs(split, count))
        _write(folder / f"mood-{split}.csv", ("text", "label"), moods(split, count))
    return folder


def tasks(files: Path) -> list[str]:
    return [f"{name}=" + ",".join(str(files / f"{name}-{split}.csv") for split in SIZES) for name in ("same", "mood")]


def run(files: Path, out: Path, **changes: Any) -> Shared:
    given = {"tasks": tasks(files), "sharing": "single,joint", "seeds": 1, "pair_column": "other", **changes}
    return share([str(files / "toy.yaml")], out=out, **given)


@pytest.fixture(scope="module")
def done(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    return run(files, tmp_path_factory.mktemp("shared") / "run")


def test_what_lies_between_both_texts_is_learnt_alone_and_beside_a_task_of_single_texts(done: Shared) -> None:
    for row in done.table.rows:
        assert row.cells["same"].test.value > 0.9, row.name
        assert row.cells["mood"].test.value > 0.9, row.name


def test_it_cannot_be_learnt_from_one_text(files: Path, tmp_path: Path) -> None:
    """Neither from one of both columns, nor from both as one text, of which the beginning is read."""
    for split, count in SIZES.items():
        joined = [(f"{first} {second}", label) for first, second, label in pairs(split, count)]
        _write(tmp_path / f"joined-{split}.csv", ("text", "label"), joined)
    whole = "whole=" + ",".join(str(tmp_path / f"joined-{split}.csv") for split in SIZES)
    same, _ = tasks(files)
    found = run(files, tmp_path / "run", pair_column=None, tasks=[same, whole], sharing="single")
    assert all(cell.test.value < 0.7 for cell in found.table.rows[0].cells.values())


class Stopping(Silent):
    """Asks to stop after some steps of a phase that is called so."""

    def __init__(self, phase: str, stop: StopRequest) -> None:
        self.phase, self.stop, self.title = phase, stop, ""

    def start(self, title: str, total: int, done: int = 0) -> None:
        self.title = title

    def update(self, step: int, figures: str) -> None:
        if self.phase in self.title and step >= 7:
            self.stop.reason = "a test"


def test_a_stopped_comparison_goes_on_and_finds_the_same(files: Path, done: Shared, tmp_path: Path) -> None:
    for phase in ("Single task, same", "Joint, seed 0"):
        stop = StopRequest()
        with pytest.raises(Stopped):
            run(files, tmp_path / "run", stop=stop, progress=Stopping(phase, stop))
    found = run(files, tmp_path / "run")
    for name, study in done.results.studies.items():
        for arm in study.arms:
            again = found.results.studies[name].arm(arm.name)
            assert again.dev == arm.dev
            np.testing.assert_array_equal(again.probabilities, arm.probabilities)
    with pytest.raises(BadInput, match="a run with other settings"):
        run(files, tmp_path / "run", pair_column=None)


def test_what_is_kept_labels_pairs(files: Path, done: Shared) -> None:
    home = done.folder / "models" / "same"
    model, study = quire.load(home), done.results.studies["same"]
    found = model([quire.Pair(first, second) for first, second, _ in pairs("test", SIZES["test"])])
    arm = study.arm(study.selected)
    assert [study.labels.index(answer.label) for answer in found] == arm.predictions[0].tolist()
    with pytest.raises(BadInput, match=r"text 1: the model labels pairs: give quire.Pair\(first, second\)"):
        model("ada was here")
    with pytest.raises(BadInput, match="text 2: the model labels single texts"):
        quire.load(done.folder / "models" / "mood")(["great", quire.Pair("great", "so")])


def test_the_commands_read_pairs(files: Path, done: Shared) -> None:
    home = str(done.folder / "models" / "same")

    def told(*arguments: str) -> str:
        return CliRunner().invoke(app, arguments, catch_exceptions=False).output

    assert told("predict", home, "ada was", "ada", "bob was", "ada").split("\n")[0].startswith("same\t")
    table = str(files / "same-test.csv")
    rows = told("predict", home, f"--file={table}", "--pair-column=other", "--json").splitlines()
    labels = [label for *_, label in pairs("test", SIZES["test"])]
    right = np.mean([json.loads(row)["label"] == label for row, label in zip(rows, labels, strict=True)])
    assert right > 0.9
    figures = json.loads(told("evaluate", home, f"--data={table}", "--pair-column=other", "--json"))
    assert figures["accuracy"] == pytest.approx(right)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["predict", "same", "ada", "bob", "ada"], "the model reads pairs of texts, and 3 were given; give both"),
        (["predict", "mood", "great", "--pair-column=other"], "give texts or --pair-column, not both"),
        (["predict", "mood", "--file={same-test.csv}", "--pair-column=other"], "text 1: the model labels single texts"),
        (["evaluate", "same", "--data={same-test.csv}"], "text 1: the model labels pairs"),
    ],
)
def test_commands_refuse_what_the_model_does_not_read(
    files: Path, done: Shared, arguments: list[str], says: str
) -> None:
    command, name, *given = (text.replace("{", f"{files}/").replace("}", "") for text in arguments)
    found = CliRunner().invoke(app, [command, str(done.folder / "models" / name), *given])
    assert isinstance(found.exception, BadInput)
    assert says in str(found.exception)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pair_column": "othr"}, "--pair-column: no task has a column 'othr'; did you mean 'other'"),
        ({"pair_column": "text"}, "the column 'text' cannot hold both texts of a pair; name two columns"),
        ({"tasks": ["same={same-train.csv},{mood-dev.csv}"]}, "task same: .*mood-dev.csv: no column 'other'"),
        ({"tasks": ["same={mood-train.csv},{same-dev.csv}"]}, "task same: .*mood-train.csv: no column 'other'"),
        ({"tasks": ["same={half.csv}"]}, r"task same: .*half.csv:3, column 'other': empty text"),
        ({"tasks": ["same={nowhere.csv}"]}, "task same: .*nowhere.csv: no such file"),
    ],
)
def test_what_is_no_task_of_pairs_is_refused_in_one_line_and_leaves_nothing(
    files: Path, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    _write(files / "half.csv", ("text", "other", "label"), [("ada", "ada", "same"), ("ada", "", "other")])
    if "tasks" in change:
        [given] = change["tasks"]
        change = {"tasks": [given.replace("{", f"{files}/").replace("}", ""), tasks(files)[1]]}
    with pytest.raises(BadInput, match=says) as caught:
        run(files, tmp_path / "run", **change)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
