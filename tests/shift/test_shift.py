"""One data set in several paradigms at toy size: one budget, draws of its own for each seed, one verdict."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from quire.adapt.job import Outcome
from quire.cli import app
from quire.core.config import read_yaml
from quire.core.errors import BadInput, Stopped
from quire.finetune.course import Course, Learnt
from quire.paradigms.base import Paradigm
from quire.predict import load_solver
from quire.shift import compare_paradigms
from quire.train.folder import RECIPE

After = Callable[[int], dict[str, Any]]


def run(person: Path, out: Path, file: str, *names: str, **changes: Any) -> list[Outcome]:
    given: dict[str, Any] = {
        "epochs": 6,
        "batch": 8,
        "lr": 1e-2,
        "length": 48,
        "base": str(person / "base"),
        "seeds": 2,
    }
    return compare_paradigms(names, train=person / file, out=out, **{**given, **changes})


def test_labels_are_compared_as_every_study_is(person: Path, tmp_path: Path) -> None:
    [found] = run(person, tmp_path / "run", "reviews.csv", "class", "matching", "mrc")
    study = found.study
    assert [arm.name for arm in study.arms] == ["class", "matching", "mrc"]
    assert len({cost.steps for arm in study.arms for cost in arm.cost}) == 1, "as many updates for all"
    tokens = {arm.name: arm.cost[0].tokens for arm in study.arms}
    assert tokens["matching"] > 1.9 * tokens["class"], "a pair for each label"
    assert all(arm.probabilities is not None for arm in study.arms)
    assert found.report.read_text(encoding="utf-8").count("Confusions")
    assert load_solver(tmp_path / "run").paradigm.name() == study.arm(study.selected).title.split("(")[-1].rstrip(")")
    [again] = run(person, tmp_path / "run", "reviews.csv", "class", "matching", "mrc")
    assert again.study.to_json() == study.to_json()


def test_spans_are_compared_by_what_adds_up(person: Path, tmp_path: Path) -> None:
    [found] = run(person, tmp_path / "run", "names.conll", "seqlab", "mrc", "seq2aseq")
    study, page = found.study, found.report.read_text(encoding="utf-8")
    assert study.metric == "f1"
    for arm in study.arms:
        assert arm.marks is not None
        assert arm.marks.shape == (2, len(study.truth), 2)
    assert "Test F1" in page
    assert "Confusions" not in page
    assert "Calibration" not in page


def test_the_seed_is_that_of_the_splits_and_the_first_run(
    person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds, real = list[int](), Course.learn

    def told(self: Course, paradigm: Paradigm, *, seed: int, **given: Any) -> Learnt:
        seeds.append(seed)
        return real(self, paradigm, seed=seed, **given)

    monkeypatch.setattr(Course, "learn", told)
    [first] = run(person, tmp_path / "first", "reviews.csv", "class", "mrc", epochs=1)
    [other] = run(person, tmp_path / "other", "reviews.csv", "class", "mrc", epochs=1, seed=5)
    assert seeds == [0, 1, 0, 1, 5, 6, 5, 6]
    splits = [[split.sha256 for split in one.study.data.splits] for one in (first, other)]
    assert all(a != b for a, b in zip(*splits, strict=True))


def test_a_budget_of_tokens_is_the_same_for_all(person: Path, tmp_path: Path) -> None:
    [found] = run(person, tmp_path / "run", "reviews.csv", "class", "matching", budget="4ktokens", seeds=1)
    spent = [arm.cost[0].tokens for arm in found.study.arms]
    assert max(spent) < 1.2 * min(spent)
    assert found.study.arms[0].cost[0].steps > 1.5 * found.study.arms[1].cost[0].steps


def test_what_a_head_over_the_vocabulary_takes_is_told_on_top(person: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"budget": "12steps", "changes": ("head_steps=20",)}
    [found] = run(person, tmp_path / "run", "reviews.csv", "class", "mlm", **given)
    plain, taught = (found.study.arm(name) for name in ("class", "mlm"))
    assert plain.how == "12 updates of 8 problems; rate 0.01."
    assert taught.how.startswith("12 updates of 8 problems; on top a head over the vocabulary, which the base lacks")
    assert taught.how.endswith("once for all seeds, 20 updates; rate 0.01.")
    assert [arm.cost[0].steps for arm in (plain, taught)] == [12, 12 + 20 // 2], "each seed bears its half"
    assert "; on top, for mlm, a head over the vocabulary" in found.study.budget
    [bare] = run(person, tmp_path / "bare", "reviews.csv", "class", "mrc", budget="12steps", seeds=1)
    assert bare.study.budget.endswith(", on all problems")


def test_a_few_labels_are_drawn_anew_for_each_seed(person: Path, tmp_path: Path) -> None:
    found = run(person, tmp_path / "run", "reviews.csv", "class", "matching", few=(4, None), seeds=3)
    assert [one.report.parent.name for one in found] == ["labels-4", "labels-all"]
    dev = found[0].study.arms[0].dev
    assert all(score * 8 == pytest.approx(round(score * 8)) for score in dev), "dev has 4 of each class too"
    assert "drawn anew for each seed" in found[0].study.budget


def test_a_stopped_comparison_goes_on_to_the_same_results(person: Path, tmp_path: Path, after: After) -> None:
    [whole] = run(person, tmp_path / "whole", "reviews.csv", "class", "matching", epochs=2)
    for updates in (3, 30):
        with pytest.raises(Stopped):
            run(person, tmp_path / "run", "reviews.csv", "class", "matching", epochs=2, **after(updates))
    [again] = run(person, tmp_path / "run", "reviews.csv", "class", "matching", epochs=2)
    for one, two in zip(whole.study.arms, again.study.arms, strict=True):
        assert one.dev == two.dev
        assert (one.predictions == two.predictions).all()


def test_rates_are_chosen_on_dev_with_the_first_seed(person: Path, tmp_path: Path) -> None:
    [found] = run(person, tmp_path / "run", "reviews.csv", "class", "mrc", rates=(1e-2, 1e-9), seeds=1, epochs=16)
    assert all("rate 0.01" in arm.how for arm in found.study.arms)


def test_a_form_may_say_how_it_is_learnt(person: Path, tmp_path: Path) -> None:
    for name, how in (("whole", "cut: windows"), ("tail", "cut: tail"), ("small", "strategy: lora")):
        (tmp_path / f"{name}.yaml").write_text(f"class: {{}}\nhow: {{{how}}}\n")
    names = [str(tmp_path / f"{name}.yaml") for name in ("whole", "tail", "small")]
    rows = [f"{'the ' * 30}{word},{label}" for word, label in (("awful", "bad"), ("great", "good")) for _ in range(40)]
    rows = [f"{number} {row}" for number, row in enumerate(rows)]
    (tmp_path / "long.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    [found] = run(tmp_path, tmp_path / "run", "long.csv", "class", *names, length=10, base=str(person / "base"))
    dev = {arm.name: max(arm.dev) for arm in found.study.arms}
    assert dev["tail"] == dev["whole"] == 1 > dev["class"], "what tells stands at the end"
    sizes = {arm.name: arm.parameters for arm in found.study.arms}
    assert sizes["small"] == sizes["class"], "an update of low rank is merged"


def test_set_changes_how_all_learn(person: Path, tmp_path: Path) -> None:
    changes = ("strategy={head: {}}", "train.warmup=3")
    run(person, tmp_path / "run", "reviews.csv", "class", "matching", seeds=1, epochs=1, changes=changes)
    written = read_yaml(tmp_path / "run" / RECIPE)["how"]
    assert (written["strategy"], written["train"]["warmup"]) == ({"head": {}}, 3)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("class: {}\nmrc: {}", r"odd.yaml: expected one paradigm with its fields"),
        ("class: {}\nhow: {epochs: 9}", r"odd.yaml: how.epochs is no form's own; known: cut, head_steps"),
        ("class: {}\nhow: {cut: middle}", r"paradigm odd: how.cut: Input should be"),
        ("match: {}\nhow: {cut: windows}", r"cut windows: match reads a text in one piece"),
    ],
)
def test_a_form_that_cannot_be_is_one_line(person: Path, tmp_path: Path, written: str, message: str) -> None:
    (tmp_path / "odd.yaml").write_text(written)
    with pytest.raises(BadInput, match=message) as error:
        run(person, tmp_path / "run", "reviews.csv", "class", str(tmp_path / "odd.yaml"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("file", "names", "changes", "message"),
    [
        ("reviews.csv", ("class",), {}, r"give two or more to compare; a label can be class, matching, mrc"),
        ("reviews.csv", ("class", "class"), {}, r"'class' stands there twice"),
        ("reviews.csv", ("class", "seqlab"), {}, r"paradigm seqlab: has no form for a label"),
        ("reviews.csv", ("class", "mrc"), {"metric": "las"}, r"--metric las: a label is compared by accuracy"),
        ("reviews.csv", ("class", "mrc"), {"budget": "5m"}, r"--budget 5m: give updates or tokens here"),
        ("pairs.csv", ("class", "regress"), {"task": "number"}, r"a number takes one form here"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    person: Path, tmp_path: Path, file: str, names: tuple[str, ...], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message) as error:
        run(person, tmp_path / "run", file, *names, **changes)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_the_command_line(person: Path, tmp_path: Path) -> None:
    few = ["--epochs", "2", "--batch", "8", "--seeds", "1", "--length", "48", "--base", str(person / "base")]
    out = ["--task", str(person / "reviews.csv"), "--out", str(tmp_path / "run")]
    made = CliRunner().invoke(app, ["compare", "--paradigms", "class,matching", *out, *few])
    assert made.exit_code == 0, made.output
    assert "class (classify)" in made.output
    refused = CliRunner().invoke(app, ["compare", "--paradigms", "class,mrc", "--arms", "mlm", *out])
    assert refused.exit_code != 0
