"""Every form of every task, from a person's files to scores, a folder and answers; and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from quire.cli import app
from quire.core.answers import Task
from quire.core.errors import BadInput, Stopped
from quire.export import export_lora, export_onnx
from quire.finetune import Solved, solve
from quire.finetune.solving import task_told
from quire.paradigms.shift import FORMS
from quire.predict import load, load_solver
from quire.shift import compare_paradigms
from quire.text.conll import read_conll
from quire.text.cut import Cut

After = Callable[[int], dict[str, Any]]
FILES: dict[Task, str] = {
    "label": "reviews.csv",
    "number": "pairs.csv",
    "spans": "names.conll",
    "reading": "questions.json",
    "tree": "trees.conllu",
}
FIRST: dict[Task, str] = {"label": "accuracy", "number": "pearson", "spans": "f1", "reading": "exact", "tree": "las"}
EVERY = [pytest.param(task, name, id=f"{name}-{task}") for name, forms in FORMS.items() for task in forms]


def run(person: Path, out: Path, task: Task, name: str, **changes: Any) -> Solved:
    given: dict[str, Any] = {"epochs": 20, "batch": 8, "lr": 1e-2, "length": 48, "base": str(person / "base")}
    if task == "number":
        given |= {"pair_column": "other", "task": "number"}
    return solve(person / FILES[task], out=out, paradigm=name, **{**given, **changes})


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_a_person_gets_scores_a_folder_and_answers(person: Path, tmp_path: Path, task: Task, name: str) -> None:
    copied = (task, name) == ("spans", "seq2seq")  # whose base has to learn here how words are copied
    found = run(person, tmp_path / "run", task, name, epochs=40 if copied else 20)
    least = 0.2 if copied else 0.6
    assert found.scores["test"][FIRST[task]] > least, f"a word gives the answer away: {found.scores}"
    assert min(found.problems.values()) > 4
    lines = [json.loads(line) for line in (tmp_path / "run/answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == found.problems["test"]
    solver = load_solver(tmp_path / "run")
    for line in lines[:3]:  # what was answered then is answered again, one text at a time
        told = solver(*line["texts"]).told
        assert told == (pytest.approx(line["answer"]) if task == "number" else line["answer"])
    if task == "label":
        predictor = load(tmp_path / "run")
        assert predictor(lines[0]["texts"][0]).label == lines[0]["answer"]
    assert run(person, tmp_path / "run", task, name, epochs=40 if copied else 20) == found, (
        "a finished run is told again"
    )


def test_pairs_are_told_as_pairs_and_single_texts_are_not(person: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"paradigm": "class", "epochs": 1, "length": 48, "base": str(person / "base")}
    solve(person / "pairs.csv", out=tmp_path / "pairs", pair_column="other", task="label", **given)
    solve(person / "reviews.csv", out=tmp_path / "single", **given)

    def told(out: str, *texts: str) -> str:
        done = CliRunner().invoke(app, ["predict", str(tmp_path / out), *texts])
        return str(done.exception or done.output)

    assert len(told("pairs", "great", "low", "awful", "high").splitlines()) == 2
    assert len(told("single", "great", "awful").splitlines()) == 2
    assert "reads pairs of texts, and 3 were given" in told("pairs", "great", "low", "awful")
    assert [load(tmp_path / out).pairs for out in ("pairs", "single")] == [True, False]
    with pytest.raises(BadInput, match="text 1: give one text, not blank"):
        load_solver(tmp_path / "single")("great", "awful")
    with pytest.raises(BadInput, match="text 1: give two texts, not blank"):
        load_solver(tmp_path / "pairs")("great")


def test_rows_of_a_file_are_not_taken_for_pairs(person: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"paradigm": "class", "epochs": 1, "length": 48, "base": str(person / "base")}
    solve(person / "pairs.csv", out=tmp_path / "run", pair_column="other", task="label", **given)
    file = str(person / "pairs.csv")

    def told(*options: str) -> str:
        done = CliRunner().invoke(app, ["predict", str(tmp_path / "run"), *options])
        return str(done.exception or done.output)

    assert told("--file", file) == (
        f"{file}: this model reads pairs of texts; give --pair-column, the column of the second; known columns: "
        "text, other, label"
    )
    assert told().startswith("stdin: this model reads pairs of texts; give --pair-column")
    assert len(told("--file", file, "--pair-column", "other").splitlines()) == 60


def test_data_that_a_model_cannot_be_measured_on_is_refused(person: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"epochs": 1, "length": 48, "base": str(person / "base"), "pair_column": "other"}
    tasks: tuple[Task, ...] = ("label", "number")
    for task in tasks:
        solve(person / "pairs.csv", out=tmp_path / task, task=task, paradigm="class", **given)
    solve(person / "reviews.csv", out=tmp_path / "single", paradigm="class", **{**given, "pair_column": None})

    def told(out: str, file: str, *options: str) -> str:
        done = CliRunner().invoke(app, ["evaluate", str(tmp_path / out), "--data", str(person / file), *options])
        assert isinstance(done.exception, BadInput), done.output
        return str(done.exception)

    for task in tasks:
        assert told(task, "pairs.csv").endswith("the model reads pairs of texts; give --pair-column")
    single = told("single", "pairs.csv", "--pair-column", "other")
    assert single.endswith("the model reads single texts; leave out --pair-column")
    assert told("single", "pairs.csv") == (
        f"{person / 'pairs.csv'}: none of the labels '0.5', '1.5' is known to the model ('bad', 'good'); "
        "see --label-column"
    )


def test_a_stopped_run_goes_on_to_the_same_model(person: Path, tmp_path: Path, after: After) -> None:
    whole = run(person, tmp_path / "whole", "label", "mlm", epochs=2)
    for updates in (5, 310):  # while the head learns alone, and later
        with pytest.raises(Stopped):
            run(person, tmp_path / "run", "label", "mlm", epochs=2, **after(updates))
    again = run(person, tmp_path / "run", "label", "mlm", epochs=2)
    assert again.scores == whole.scores
    one, two = (tmp_path / name / "model" / "model.safetensors" for name in ("whole", "run"))
    assert one.read_bytes() == two.read_bytes()


def test_the_command_line(person: Path, tmp_path: Path) -> None:
    runner, out = CliRunner(), str(tmp_path / "run")
    base = ["--start", str(person / "base"), "--length", "48", "--batch", "8", "--lr", "1e-2", "--epochs", "20"]
    made = runner.invoke(
        app, ["finetune", "--train", str(person / "names.conll"), "--paradigm", "seqlab", "--out", out, *base]
    )
    assert made.exit_code == 0, made.output
    assert "precision" in made.output
    told = runner.invoke(app, ["predict", out, "the phone for ada in rome"])
    assert told.output.splitlines() == ["PER\tada", "LOC\trome"]
    told = runner.invoke(app, ["predict", out, "--json", "ada was"])
    assert json.loads(told.output)["answer"] == [{"start": 0, "end": 3, "label": "PER", "text": "ada"}]
    for option in ("--beam=2", "--stream", "--stop=a"):
        refused = str(runner.invoke(app, ["predict", out, "ada was", option]).exception)
        assert refused == f"{option.partition('=')[0]}: is of a generator, and {out} writes nothing"
    with pytest.raises(BadInput, match=r"answers with spans, numbers or trees; open it with quire\.load_solver$"):
        load(out)
    scored = runner.invoke(app, ["evaluate", out, "--data", str(person / "names.conll"), "--json"])
    assert json.loads(scored.output)["f1"] > 0.6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "seqlb"}, r"no paradigm is called 'seqlb'; did you mean 'seqlab'"),
        ({"name": "seqlab", "task": "label"}, r"paradigm seqlab: has no form for a label; it can be class, matching"),
        ({"name": "parse", "task": "label"}, r"paradigm parse: answers with tree, and a label is asked for"),
        ({"layout": "conlu"}, r"no layout of a label is called 'conlu'"),
        ({"name": "matching", "cut": "windows"}, r"cut windows: match reads a text in one piece"),
        ({"length": 900}, r"length 900: the base has 64 positions"),
        ({"dev": "train"}, r"also stands in the training data .* give other texts for dev"),
    ],
)
def test_what_cannot_be_done_is_refused(person: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    given = {"name": "class", "task": "label", **changes}
    if "dev" in given:
        given["dev"] = person / "reviews.csv"
    name, task = given.pop("name"), given.pop("task")
    with pytest.raises(BadInput, match=message) as error:
        solve(
            person / "reviews.csv",
            out=tmp_path / "run",
            paradigm=name,
            **{"task": task, "base": str(person / "base"), "length": 48, **given},
        )
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


SHARED = [{"text": f"ada was in rome n{i}", "spans": [[0, 7, "PER"], [4, 10, "LOC"]]} for i in range(30)]


def test_what_cannot_be_learnt_leaves_no_folder(person: Path, tmp_path: Path) -> None:
    """So that the mended command may use the same name."""
    (tmp_path / "names.jsonl").write_text("".join(json.dumps(row) + "\n" for row in SHARED), encoding="utf-8")
    given: dict[str, Any] = {"base": str(person / "base"), "length": 48, "out": tmp_path / "run", "epochs": 1}
    (tmp_path / "crf.yaml").write_text("label: {crf: true}")
    told = (
        r"paradigm label: can hold no training answer; the first, .*jsonl:\d+: the span of words 2 to 3 \(LOC\) shares"
    )
    with pytest.raises(BadInput, match=told):
        solve(tmp_path / "names.jsonl", paradigm="seqlab", **given)
    with pytest.raises(BadInput, match=told):
        compare_paradigms(
            ["seqlab", str(tmp_path / "crf.yaml")], train=tmp_path / "names.jsonl", **given, few=(4, None), seeds=1
        )
    with pytest.raises(BadInput, match=r"strategy.sda: stands over another that remembers"):
        solve(person / "names.conll", paradigm="seqlab", **given, changes=("strategy={sda: {over: {ema: {}}}}",))
    with pytest.raises(BadInput, match=r"strategy: compares logits of labels, and nothing here has a head"):
        solve(person / "names.conll", paradigm="seq2aseq", **given, changes=("strategy=sda",))
    with pytest.raises(BadInput, match=r"strategy: compares logits of labels, and nothing here has a head"):
        solve(person / "reviews.csv", paradigm="mlm", **given, changes=("strategy=sda", "head_steps=1"))
    assert not (tmp_path / "run").exists()
    solve(person / "names.conll", paradigm="seqlab", **given)


def spans_of(person: Path) -> list[str]:
    """names.conll as JSONL."""
    rows = [
        {"text": problem.texts[0], "spans": problem.told(problem.answer)}
        for problem in read_conll(person / "names.conll")
        if problem.answer is not None
    ]
    return [json.dumps(row) + "\n" for row in rows]


def test_a_jsonl_of_spans_is_told_by_its_first_line(person: Path, tmp_path: Path) -> None:
    path, table = tmp_path / "names.jsonl", tmp_path / "reviews.jsonl"
    path.write_text("\n" + "".join(spans_of(person)), encoding="utf-8")
    table.write_text('{"text": "a", "spans": [[0, 1, "x"]], "label": "b"}\n', encoding="utf-8")
    for name, task in (("mrc", "spans"), ("seq2seq", "spans"), ("own.yaml", "spans"), ("class", "label")):
        assert task_told(str(path), name, None, None) == task
        assert task_told(str(table), name, None, None) == "label"
        assert task_told(str(tmp_path / "none.jsonl"), name, None, None) == "label"
    assert task_told(str(table), "seq2aseq", None, None) == "spans", "which takes no labels"
    given: dict[str, Any] = {"base": str(person / "base"), "length": 48, "epochs": 1}
    solved = solve(path, paradigm="mrc", out=tmp_path / "run", **given)
    assert (solved.task, sum(solved.problems.values())) == ("spans", 80)
    with pytest.raises(BadInput, match=r"no column 'label'; known: spans, text \(or it .* give --layout spans\)"):
        solve(path, paradigm="class", out=tmp_path / "class", **given)
    with pytest.raises(BadInput, match=r"--budget 1m: give updates or tokens") as error:  # not: no form for a label
        compare_paradigms(["mrc", "seqlab"], train=path, out=tmp_path / "class", budget="1m", **given)
    assert "\n" not in str(error.value)


def test_a_word_of_several_pieces_fills_no_gap(person: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("mlm: {words: {good: the phone, bad: bad}}")
    with pytest.raises(BadInput, match=r"paradigm prompt: words: 'the phone' for 'good' is 2 pieces here"):
        run(person, tmp_path / "run", "label", str(tmp_path / "own.yaml"))


def test_labels_that_collide_are_refused(person: Path, tmp_path: Path) -> None:
    rows = (person / "reviews.csv").read_text(encoding="utf-8").replace(",bad", ",Good", 3)
    (tmp_path / "reviews.csv").write_text(rows, encoding="utf-8")
    with pytest.raises(BadInput, match=r"the labels 'Good' and 'good' differ in case alone"):
        solve(tmp_path / "reviews.csv", out=tmp_path / "run", paradigm="class", base=str(person / "base"), length=48)


def test_low_rank_updates_are_kept_beside_what_they_are_merged_into(person: Path, tmp_path: Path) -> None:
    run(person, tmp_path / "run", "label", "class", epochs=3, changes=("strategy={lora: {rank: 2}}",))
    assert export_lora(tmp_path / "run", out=tmp_path / "peft") == str((person / "base").resolve())
    texts = ["the phone was awful", "the book is great"]
    ours, theirs = (load(tmp_path / name).probabilities(texts) for name in ("run", "peft"))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.abs(ours - 0.5).max() > 0.01
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: the extra `onnx`")
    export_onnx(tmp_path / "run", out=tmp_path / "graph", texts=person / "reviews.csv")
    assert list((tmp_path / "graph").rglob("model.onnx"))
    with pytest.raises(BadInput, match="holds updates over a base and no graph's weights"):
        export_onnx(tmp_path / "peft", out=tmp_path / "none", texts=person / "reviews.csv")
    run(person, tmp_path / "tagger", "spans", "seqlab", epochs=1, changes=("strategy={lora: {rank: 2}}",))
    with pytest.raises(BadInput, match="only classifiers of texts go into peft's layout"):
        export_lora(tmp_path / "tagger", out=tmp_path / "other")


def test_a_tagger_opens_in_transformers(person: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForTokenClassification

    run(person, tmp_path / "run", "spans", "seqlab", epochs=1)
    theirs = AutoModelForTokenClassification.from_pretrained(tmp_path / "run/model")
    assert list(theirs.config.id2label.values()) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def test_windows_are_read_by_class(person: Path, tmp_path: Path) -> None:
    run(person, tmp_path / "run", "label", "class", epochs=1, length=8, cut="windows")
    predictor = load(tmp_path / "run")
    assert predictor("the " * 40 + "awful").probability != predictor("the " * 41).probability, "the end is read too"


@pytest.mark.parametrize(("name", "cut"), [("class", "tail"), ("mrc", "head")])
def test_texts_that_are_cut_are_told(person: Path, tmp_path: Path, name: str, cut: Cut) -> None:
    header, first, *others = (person / "reviews.csv").read_text(encoding="utf-8").splitlines()
    text, label = first.rsplit(",", 1)
    (tmp_path / "reviews.csv").write_text(
        "\n".join([header, f"{text}{' and' * 60},{label}", *others]), encoding="utf-8"
    )
    found = run(tmp_path, tmp_path / "run", "label", name, base=str(person / "base"), epochs=1, cut=cut, seed=1)
    kept = {"head": "the beginning", "tail": "the end"}[cut]
    told = f"1 of {found.problems['train']} training texts are longer than 48 tokens hold; kept is {kept}"
    assert found.notes[-1:] == (told,)


def test_what_a_form_cannot_hold_is_counted_with_its_place(person: Path, tmp_path: Path) -> None:
    questions = json.loads((person / "questions.json").read_text(encoding="utf-8"))
    paragraphs = [paragraph for article in questions["data"] for paragraph in article["paragraphs"]]
    for paragraph in paragraphs[::2]:  # a form has answers of 30 words at most
        paragraph["context"] += " very" * 40
        paragraph["qas"][0]["answers"] = [{"text": paragraph["context"], "answer_start": 0}]
    (tmp_path / "questions.json").write_text(json.dumps(questions), encoding="utf-8")
    arguments = [
        "--train",
        str(tmp_path / "questions.json"),
        "--epochs",
        "1",
        "--length",
        "48",
        "--out",
        str(tmp_path / "run"),
    ]
    result = CliRunner().invoke(app, ["finetune", "--paradigm", "mrc", "--start", str(person / "base"), *arguments])
    assert result.exit_code == 0, result.output
    found = Solved.model_validate_json((tmp_path / "run/results.json").read_text(encoding="utf-8"))
    told = f"{len(found.lost)} of {found.problems['train']} training answers have no form in this paradigm"
    assert 0 < len(found.lost) <= len(paragraphs[::2])
    assert f"{told} and were left out; the first: {found.lost[0]}" in result.output
    assert all("words, where 30 is the most" in lost for lost in found.lost)


def test_a_question_has_several_answers(person: Path, tmp_path: Path) -> None:
    run(person, tmp_path / "run", "reading", "mrc")
    line = json.loads((tmp_path / "run/answers.jsonl").read_text(encoding="utf-8").splitlines()[0])
    listed = load_solver(tmp_path / "run").best(*line["texts"], count=3)
    shares = [share for _, share in listed]
    assert line["answer"] in [told for told, _ in listed]
    assert len(shares) == 3
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    arguments = ["predict", str(tmp_path / "run"), *line["texts"], "--best", "2"]
    shown = CliRunner().invoke(app, arguments).output.splitlines()
    assert [row.split("\t")[1] for row in shown] == [told[0]["text"] if told else "-" for told, _ in listed[:2]]
    [told] = CliRunner().invoke(app, [*arguments, "--json"]).output.splitlines()
    assert [one["answer"] for one in json.loads(told)["answers"]] == [told for told, _ in listed[:2]]


def test_only_questions_have_several_answers(person: Path, tmp_path: Path) -> None:
    run(person, tmp_path / "run", "spans", "seqlab", epochs=1)
    with pytest.raises(BadInput, match="label has one answer and no others"):
        load_solver(tmp_path / "run").best("Ada met Bo", count=2)
