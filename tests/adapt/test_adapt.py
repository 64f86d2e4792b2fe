"""The main job at toy size, as its user runs it: files in, a run folder out; stopped and gone on with."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quire
from quire import cli
from quire.adapt import adapt
from quire.adapt.task import held_out
from quire.core.errors import BadInput
from quire.core.results import Study
from quire.export import export_onnx
from quire.train.signals import StopRequest

QUICK: dict[str, Any] = {"budget": "6steps", "seeds": 2, "length": 24}
SMALL = ("train.batch=4", "finetune.train.batch=8", "finetune.train.checkpoint_every=2", "train.checkpoint_every=5")


def run(files: Path, out: Path, **options: Any) -> Any:
    return adapt(
        files / "reviews.csv",
        out=out,
        corpus=(files / "domain.txt",),
        base=str(files / "base"),
        changes=SMALL,
        **{**QUICK, **options},
    )


@pytest.fixture(scope="module")
def done(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("runs") / "run"
    run(files, out)
    return out


def test_a_run_folder_holds_what_the_readme_says(done: Path) -> None:
    study = Study.from_json((done / "results.json").read_text(encoding="utf-8"))
    assert [arm.name for arm in study.arms][:5] == ["majority", "tfidf", "features", "finetuned", "adapted"]
    assert {len(arm.seeds) for arm in study.arms} == {2}
    for name in ("recipe.yaml", "log.jsonl", "report.html", "model/README.md"):
        assert (done / name).stat().st_size > 0
    assert not list(done.rglob("checkpoints"))
    assert "No dev or test text is in the corpus" in (done / "report.html").read_text(encoding="utf-8")


def test_every_arm_of_a_job_of_pairs_reads_and_keeps_pairs(files: Path, tmp_path: Path) -> None:
    rows = [row.rsplit(",", 1) for row in (files / "reviews.csv").read_text(encoding="utf-8").splitlines()[1:]]
    lines = ["text,other,label", *(f"{text},it was so,{label}" for text, label in rows)]
    (tmp_path / "pairs.csv").write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "run"
    given: dict[str, Any] = {**QUICK, "budget": "2steps", "seeds": 1}
    base = str(files / "base")
    outcome = adapt(tmp_path / "pairs.csv", out=out, pair_column="other", base=base, changes=SMALL, **given)
    assert [arm.name for arm in outcome.study.arms][:5] == ["majority", "tfidf", "features", "finetuned", "adapted"]
    model = quire.load(out)
    assert model.pairs
    assert model(quire.Pair("a great phone", "it was so")).label in ("good", "bad")
    dev = held_out(out)
    assert all(isinstance(text, quire.Pair) for text in dev.texts)
    assert "quire predict" in (page := outcome.report.read_text(encoding="utf-8"))
    assert "another" in page


def test_dev_selects_and_test_is_reported_for_that_arm(done: Path) -> None:
    study = Study.from_json((done / "results.json").read_text(encoding="utf-8"))
    means = {arm.name: np.mean(arm.dev) for arm in study.arms if arm.name != "int8"}
    assert means[study.selected] == max(means.values())


def test_the_deployed_model_answers_as_it_did_in_the_study(done: Path, files: Path) -> None:
    study = Study.from_json((done / "results.json").read_text(encoding="utf-8"))
    arm = study.deployed
    model = quire.load(done)
    assert model.labels == study.labels
    assert model("a great phone").label in ("good", "bad")
    assert arm.probabilities is not None
    answers = [json.loads(line) for line in (done / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert answers[-1]["event"] == "finished"


def test_the_dev_texts_of_a_run_are_read_again_or_refused(files: Path, done: Path, tmp_path: Path) -> None:
    dev = held_out(done)
    study = Study.from_json((done / "results.json").read_text(encoding="utf-8"))
    assert dev.sha256 == {split.name: split.sha256 for split in study.data.splits}["dev"]
    shutil.copytree(done, tmp_path / "run")
    reviews = (files / "reviews.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "reviews.csv").write_text("\n".join(reviews[:60]), encoding="utf-8")
    recipe = (done / "recipe.yaml").read_text(encoding="utf-8")
    changed = recipe.replace(str(files / "reviews.csv"), str(tmp_path / "reviews.csv"))
    (tmp_path / "run" / "recipe.yaml").write_text(changed, encoding="utf-8")
    with pytest.raises(BadInput, match="the dev texts are not those"):
        held_out(tmp_path / "run")


def test_a_run_is_exported_once_it_says_the_same_of_its_dev_texts(done: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")
    outcome = export_onnx(done, out=tmp_path / "graph")
    assert outcome.export.compared.texts == len(held_out(done).records)
    assert (tmp_path / "graph" / "onnx" / "model.onnx").is_file()


def test_a_finished_run_is_reopened_and_another_is_refused(files: Path, done: Path) -> None:
    before = (done / "results.json").read_bytes()
    assert run(files, done).report == done / "report.html"
    assert (done / "results.json").read_bytes() == before
    with pytest.raises(BadInput, match="other settings"):
        run(files, done, seeds=1)
    assert (done / "results.json").read_bytes() == before


def test_the_winner_as_a_network_opens_in_transformers(done: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra hf")
    torch = pytest.importorskip("torch")
    folder = done / "network" if (done / "network").is_dir() else done / "model"
    ours = quire.load(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = ["a great phone", "my screen was broken and sad"]
    with torch.inference_mode():
        theirs = model(**tokenizer(texts, return_tensors="pt", padding=True)).logits.softmax(-1).numpy()
    np.testing.assert_allclose(ours.probabilities(texts), theirs, atol=1e-5)
    assert [model.config.id2label[i] for i in range(2)] == list(ours.labels)


class _StopAfter(StopRequest):
    """Asks to stop at the n-th look."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.left = looks

    def __bool__(self) -> bool:
        self.left -= 1
        self.reason = "SIGTERM" if self.left < 0 else ""
        return self.left < 0


@pytest.mark.parametrize("looks", [2, 9, 30])
def test_a_stopped_job_goes_on_to_the_same_answers(files: Path, done: Path, tmp_path: Path, looks: int) -> None:
    with pytest.raises(quire.Stopped, match="SIGTERM"):
        run(files, tmp_path / "run", stop=_StopAfter(looks))
    run(files, tmp_path / "run")
    again, first = (
        Study.from_json((folder / "results.json").read_text(encoding="utf-8")) for folder in (tmp_path / "run", done)
    )
    for one, other in zip(again.arms, first.arms, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        assert one.dev == other.dev


def test_from_scratch_there_are_no_features_to_freeze(files: Path, tmp_path: Path) -> None:
    small = ("backbone.depth=1", "backbone.width=32", "backbone.heads=2", "backbone.ffn=32", "data.tokenizer.size=90")
    found = adapt(
        files / "reviews.csv",
        out=tmp_path / "run",
        corpus=(files / "domain.txt",),
        base="none",
        changes=(*SMALL, *small),
        **QUICK,
    )
    assert [arm.name for arm in found.study.arms][:4] == ["majority", "tfidf", "finetuned", "adapted"]
    assert quire.load(tmp_path / "run")("great").label in ("good", "bad")


def test_a_datasets_object_serves_as_well_as_a_file(files: Path, tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the extra data")
    table = datasets.Dataset.from_dict({"text": [text for text, _ in rows], "label": [label for _, label in rows]})
    found = adapt(table, out=tmp_path / "run", base=str(files / "base"), changes=SMALL, **{**QUICK, "seeds": 1})
    assert len(found.study.truth) == 16


def quire_command(*words: str | Path, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "quire.cli", *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, stdout=pipe, stderr=pipe, text=True, env={**os.environ, "CI": "1"})


def test_sigterm_saves_exits_75_and_the_same_command_goes_on(files: Path, tmp_path: Path) -> None:
    sets = [word for change in (*SMALL, "finetune.epochs=400") for word in ("--set", change)]
    line: list[str | Path] = [
        "adapt",
        "--train",
        files / "reviews.csv",
        "--base",
        files / "base",
        "--out",
        tmp_path / "run",
    ]
    options = ["--budget", "120steps", "--seeds", "1", "--length", "24", *sets]
    process = quire_command(*line, *options, cwd=tmp_path)
    log = tmp_path / "run" / "arms" / "finetuned" / "seed-0" / "log.jsonl"
    until = time.monotonic() + 90
    while not (log.exists() and log.stat().st_size) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert "the same command goes on" in errors.splitlines()[-1]
    assert not (tmp_path / "run" / "results.json").exists()
    process = quire_command(*line, *options, cwd=tmp_path)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "report.html" in output
    steps = [json.loads(line)["step"] for line in log.read_text(encoding="utf-8").splitlines()]
    assert steps == list(range(1, 121))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--text-column", "txt"], "reviews.csv: no column 'txt'; did you mean 'text'?"),
        (["--label-column", "labels"], "no column 'labels'; did you mean 'label'?"),
        (["--budget", "5x"], "--budget 5x: expected a number with a unit"),
        (["--base", "minilmm"], "base minilmm: no such folder"),
        (["--recipe", "minilm-adpt"], "did you mean 'minilm-adapt'?"),
        (["--set", "train.lr=-1"], "train.lr: Input should be greater than 0"),
        (["--set", "train.lrr=1"], "train: unknown field 'lrr'; did you mean 'lr'?"),
        (["--seeds", "0"], "seeds: Input should be greater than 0"),
        (["--length", "4000"], "length 4000: the model has 48 positions"),
        (["--corpus", "nofile.txt"], "nofile.txt: cannot be read: No such file"),
        (["--test", "nofile.csv"], "nofile.csv: no such file"),
    ],
)
def test_bad_options_are_one_line_exit_2_and_leave_nothing(
    files: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    message: str,
) -> None:
    base = [] if "--base" in options else ["--base", str(files / "base")]
    out = ["--out", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["quire", "adapt", "--train", str(files / "reviews.csv"), *base, *out, *options])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "run").exists()


def test_a_folder_of_something_else_is_left_alone(files: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work", encoding="utf-8")
    with pytest.raises(BadInput, match="is no run of Quire"):
        run(files, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_texts_are_predicted_from_arguments_files_and_a_pipe(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(*words: str | Path) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["quire", "predict", *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        assert exit_.value.code == 0
        return capsys.readouterr().out.splitlines()

    texts = tmp_path / "texts.txt"
    texts.write_text("a great phone\nan awful screen\n", encoding="utf-8")
    given = answers(done, "a great phone", "an awful screen")
    assert given == answers(done, "--file", texts)
    detailed = [json.loads(line) for line in answers(done, "a great phone", "an awful screen", "--json")]
    assert [line.split("\t")[0] for line in given] == [found["label"] for found in detailed]
    assert sum(detailed[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_a_folder_is_evaluated_on_a_table(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = ["good", "bad", "good"]
    texts = ["a great phone", "an awful screen", "an awful phone"]
    (tmp_path / "asked.csv").write_text(
        "text,label\n" + "".join(f"{row[0]},{row[1]}\n" for row in zip(texts, labels, strict=True)), encoding="utf-8"
    )
    monkeypatch.setattr(sys, "argv", ["quire", "evaluate", str(done), "--data", str(tmp_path / "asked.csv"), "--json"])
    with pytest.raises(SystemExit):
        cli.main()
    found = json.loads(capsys.readouterr().out)
    right = [answer.label == label for answer, label in zip(quire.load(done)(texts), labels, strict=True)]
    assert found["texts"] == 3
    assert found["accuracy"] == pytest.approx(sum(right) / 3)
    assert 0 <= found["macro_f1"] <= 1
