"""Ways to share at toy size: what each has seen, what is kept, stops that change nothing, and refusals of one line."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import quire
from quire.cli import app
from quire.core.errors import BadInput, Stopped
from quire.core.random import rng
from quire.judge import compare, holm
from quire.multitask import Shared, share
from quire.multitask.job import Results
from quire.multitask.settings import tasks_of, ways_of
from quire.multitask.shop import Shop
from quire.multitask.table import tabulate
from quire.nn.model import Model
from quire.train.evaluate import predict
from quire.train.progress import Silent
from quire.train.safe import read_json
from quire.train.signals import StopRequest

TOY = """
title: Toy
cite: nobody
survey: x
backbone: {kind: lstm, depth: 1, width: 16, embedding: 16, directions: apart, positions: 64, init_std: 0.1}
data: {shape: documents, length: 32, tokenizer: {size: 120}}
objectives: [mlm]
train: {steps: 10, batch: 8, lr: 1e-2, checkpoint_every: 2}
finetune:
  train: {steps: 1, batch: 16, lr: 2e-2, checkpoint_every: 5}
  private: 8
  epochs: 4
  sampling: uniform
"""
LABELS = {"mood": (["bad", "good"], ["awful", "great"]), "topic": (["art", "law", "sport"], ["paint", "court", "goal"])}
SIZES = {"train": 64, "dev": 20, "test": 24}


def texts(task: str, split: str, count: int) -> Iterator[tuple[str, str]]:
    """A word tells the label, and a number makes each text one of its kind."""
    draw, (labels, tells) = rng(task, split), LABELS[task]
    for i in range(count):
        words = draw.choice(["the", "phone", "camera", "screen", "was", "is", "really"], 4)
        yield " ".join([*words, tells[i % len(tells)], f"{split}{i}"]), labels[i % len(labels)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("person")
    (folder / "toy.yaml").write_text(TOY)
    for task in LABELS:
        for split, count in SIZES.items():
            _write(folder / f"{task}-{split}.csv", list(texts(task, split, count)))
    return folder


def _write(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


def task(files: Path, name: str) -> str:
    return f"{name}=" + ",".join(str(files / f"{name}-{split}.csv") for split in SIZES)


def run(files: Path, out: Path, **changes: Any) -> Shared:
    given: dict[str, Any] = {"budget": "1ktokens", "seeds": 2, **changes}
    tasks = given.pop("tasks", [task(files, name) for name in LABELS])
    return share([str(files / "toy.yaml")], tasks=tasks, out=out, **given)


@pytest.fixture(scope="module")
def done(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    return run(files, tmp_path_factory.mktemp("shared") / "run")


def test_every_way_has_a_row_and_every_task_a_study_a_report_and_a_model(done: Shared) -> None:
    assert [row.name for row in done.table.rows] == ["single", "joint", "lm", "finetune"]
    assert done.table.tasks == ("mood", "topic")
    page = done.report.read_text(encoding="utf-8")
    for name, study in done.results.studies.items():
        assert [arm.seeds for arm in study.arms] == [(0, 1)] * 4
        assert "Joint + LM" in (done.folder / f"report-{name}.html").read_text(encoding="utf-8")
        assert f"report-{name}.html" in page
        said = quire.load(done.folder / "models" / name)(["the phone was really great court"])
        assert said[0].label in LABELS[name][0]
    read = Results.model_validate_json((done.folder / "results.json").read_text())
    assert read.model_dump_json() == done.results.model_dump_json()
    assert not list(done.folder.glob("arms/**/*.safetensors")), "what is not deployed is not kept"


def test_labels_are_learnt_and_fine_tuning_is_never_worse_on_dev_than_where_it_began(done: Shared) -> None:
    for study in done.results.studies.values():
        chance = 1 / len(study.labels)
        assert all(np.mean(arm.dev) > chance + 0.2 for arm in study.arms)
        assert all(
            after >= before for after, before in zip(study.arm("finetune").dev, study.arm("joint").dev, strict=True)
        )


def test_all_ways_make_as_many_updates(done: Shared) -> None:
    arms = next(iter(done.results.studies.values())).arms
    steps = {arm.name: {cost.steps for cost in arm.cost} for arm in arms}
    assert steps["single"] == steps["joint"] == {2 * 4 * 4}  # tasks, epochs, batches
    assert min(steps["lm"]) > 32, "pre-training comes first"
    assert steps["finetune"] == {32 + 2 * 2 * 4}


def test_differences_are_judged_against_the_single_task_and_corrected_over_the_whole_table(done: Shared) -> None:
    pairs = [(name, "single") for name in ("joint", "lm", "finetune")]
    raw = {task: compare(study, pairs) for task, study in done.results.studies.items()}
    corrected = holm([c.p for found in raw.values() for c in found])
    cells = [row.cells[task] for task in raw for row in done.table.rows[1:]]
    assert [cell.against.p_holm for cell in cells if cell.against] == corrected
    assert tabulate(done.results.studies, pairs) == done.table
    for row in done.table.rows[1:]:
        gains = [row.cells[task].test.value - done.table.rows[0].cells[task].test.value for task in raw]
        assert row.gain == pytest.approx(np.mean(gains))
    assert done.table.rows[0].gain is None


class Stopping(Silent):
    """Asks to stop when a phase begins that is called so, after some of its steps."""

    def __init__(self, phase: str, stop: StopRequest) -> None:
        self.phase, self.stop, self.title = phase, stop, ""

    def start(self, title: str, total: int, done: int = 0) -> None:
        self.title = title

    def update(self, step: int, figures: str) -> None:
        if self.phase in self.title and step >= 7:
            self.stop.reason = "a test"


def test_a_stopped_comparison_goes_on_and_finds_the_same(files: Path, done: Shared, tmp_path: Path) -> None:
    for phase in ("Single task, topic, seed 0", "Joint, seed 0", "pre-training, seed 1", "fine-tuning, mood, seed 1"):
        stop = StopRequest()
        with pytest.raises(Stopped):
            run(files, tmp_path / "run", stop=stop, progress=Stopping(phase, stop))
    kept = tmp_path / "run" / "arms" / "toy" / "joint" / "seed-0" / "result.json"
    before = kept.stat().st_mtime_ns
    found = run(files, tmp_path / "run")
    assert kept.stat().st_mtime_ns == before, "what was trained is not trained again"
    for name, study in done.results.studies.items():
        for arm in study.arms:
            again = found.results.studies[name].arm(arm.name)
            assert again.dev == arm.dev
            assert (again.predictions == arm.predictions).all()
    assert run(files, tmp_path / "run").results.model_dump_json() == found.results.model_dump_json()


def test_held_out_texts_of_one_task_are_left_out_of_the_training_of_another(files: Path, tmp_path: Path) -> None:
    leaky = [*texts("mood", "train", 64), (next(texts("topic", "test", 1))[0].upper(), "good")]
    _write(tmp_path / "leaky.csv", leaky)
    tasks = [f"mood={tmp_path / 'leaky.csv'},{files / 'mood-dev.csv'},{files / 'mood-test.csv'}", task(files, "topic")]
    found = run(files, tmp_path / "run", tasks=tasks, sharing="joint", seeds=1)
    train = found.results.studies["mood"].data.splits[0]
    assert train.examples == 64
    assert "without 1 texts that are held out in one of the tasks" in found.results.studies["mood"].data.notes[0]
    corpus = read_json(tmp_path / "run" / "run.json")
    assert "mood/train" in corpus["data"]


def test_pre_training_reads_training_texts_alone(files: Path, tmp_path: Path) -> None:
    run(files, tmp_path / "run", sharing="lm", seeds=1)
    index = read_json(tmp_path / "run" / "arms" / "toy" / "corpus" / "index.json")
    assert "128" in {str(value) for value in index.values() if isinstance(value, int)}, "64 texts of each of two tasks"


def test_files_that_are_not_given_are_drawn_from_train(files: Path, tmp_path: Path) -> None:
    tasks = [f"{name}={files / f'{name}-train.csv'}" for name in LABELS]
    found = run(files, tmp_path / "run", tasks=tasks, sharing="joint", seeds=1)
    sizes = [split.examples for split in found.results.studies["mood"].data.splits]
    assert sum(sizes) == 64
    assert all(sizes)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tasks": ["mood"]}, "expected NAME=TRAIN,DEV,TEST, for instance sst2=train.csv"),
        ({"tasks": ["mood={mood-train.csv}"]}, "1 task given; sharing needs two or more"),
        ({"tasks": ["mood={mood-train.csv}", "mood={mood-dev.csv}"]}, "two are called 'mood'; rename one"),
        (
            {"tasks": ["mood={mood-train.csv},{mood-dev.csv},{topic-test.csv}", "topic={topic-train.csv}"]},
            r"task mood: .*topic-test.csv:2: no training example has the label 'art'",
        ),
        ({"tasks": ["mood={mood-train.csv}", "topic={odd.csv}"]}, "task topic: .*odd.csv: no column 'label'"),
        ({"tasks": ["mood={mood-train.csv}", "topic={nowhere.csv}"]}, "task topic: .*nowhere.csv: no such file"),
        ({"sharing": "single,jiont"}, "--sharing: no way called 'jiont'; did you mean 'joint'"),
        ({"sharing": ","}, "--sharing: give one or more of single, joint, lm, finetune"),
        ({"budget": "5m"}, "count tokens or steps of pre-training, not seconds"),
        ({"changes": ["finetune=null"]}, "the recipe has no `finetune` section"),
        ({"changes": ["objectives=[plm]"]}, r"arm toy: objectives\.0\.plm: "),
    ],
)
def test_what_cannot_be_shared_is_refused_in_one_line_and_leaves_nothing(
    files: Path, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    _write(files / "odd.csv", [("a text", "art")] * 3)
    (files / "odd.csv").write_text((files / "odd.csv").read_text().replace("text,label", "text,lable"))
    if "tasks" in change:
        change = {**change, "tasks": [t.replace("{", f"{files}/").replace("}", "") for t in change["tasks"]]}
    with pytest.raises(BadInput, match=says) as caught:
        run(files, tmp_path / "run", **change)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_options_are_read_in_the_order_of_the_table() -> None:
    assert ways_of("finetune, single") == ("single", "finetune")
    found = tasks_of(["a-1=x.csv,y.csv"], text_column="t", label_column="l")
    assert (found["a-1"].train, found["a-1"].dev, found["a-1"].test, found["a-1"].text_column) == (
        "x.csv",
        "y.csv",
        None,
        "t",
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--sharing=joint", "--size=mini"], "--size: means nothing with --sharing"),
        (["--sharing=joint", "--dev=x.csv"], "--dev: means nothing with --sharing"),
        (["--set=train.steps=3"], "--set: needs --strategies or --paradigms or --sharing"),
        (
            ["--sharing=joint", "--set=train.steps=3"],
            "--set train.steps=3: changes nothing with --sharing",
        ),
        (["--task=other.csv"], "--task: several tasks share a network; say how"),
    ],
)
def test_options_of_the_other_comparison_are_refused(arguments: list[str], says: str) -> None:
    found = CliRunner().invoke(app, ["compare", "--arms=mlm", "--task=a.csv", "--out=run", *arguments])
    assert isinstance(found.exception, BadInput)
    assert str(found.exception).startswith(says)


def test_the_command_prints_the_table(files: Path, done: Shared) -> None:
    given = [f"--task={task(files, name)}" for name in LABELS]
    arguments = [
        f"--arms={files / 'toy.yaml'}",
        "--sharing=single,joint,lm,finetune",
        "--budget=1ktokens",
        "--seeds=2",
    ]
    found = CliRunner().invoke(app, ["compare", *arguments, *given, f"--out={done.folder}"], catch_exceptions=False)
    lines = found.output.splitlines()
    assert next(line for line in lines if line.startswith("way")).split() == ["way", "mood", "topic", "gain"]
    row = next(line for line in lines if line.startswith("Joint + LM"))
    assert f"{done.table.rows[2].cells['mood'].test.value * 100:.1f}" in row


ADAPTED = """
backbone: {depth: 1, width: 16, heads: 2, ffn: 16, positions: 64}
"""


@pytest.mark.parametrize("strategy", ["houlsby", "lora", "pals", {"self_ensemble": {"over": "lora"}}])
def test_what_a_strategy_puts_in_or_averages_is_in_what_is_kept(
    files: Path, tmp_path: Path, strategy: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said of test by the network that was kept is what the network in training said at its best moment."""
    toy = yaml.safe_load(TOY) | yaml.safe_load(ADAPTED)
    del toy["finetune"]["private"]
    toy["finetune"] |= {"strategy": strategy, "epochs": 2}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(toy))
    best: dict[str, tuple[float, Any]] = {}
    scored = Shop.score

    def told(self: Shop, model: Model, name: str) -> float:
        found = scored(self, model, name)
        if found > best.get(name, (-1.0, None))[0]:
            best[name] = found, predict(model, self.asks[name], self.labelled(name, self.tasks[name].test).examples)
        return found

    monkeypatch.setattr(Shop, "score", told)
    tasks = [task(files, name) for name in LABELS]
    done = share([str(tmp_path / "toy.yaml")], tasks=tasks, out=tmp_path / "run", sharing="joint", seeds=1)
    for name, study in done.results.studies.items():
        kept = study.arm("joint").probabilities
        assert kept is not None
        np.testing.assert_allclose(kept[0], best[name][1], atol=1e-5)
