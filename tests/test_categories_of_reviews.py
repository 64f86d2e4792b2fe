"""From reviews that tell categories without words to a model that rates: scores, answers, a page, stops, refusals."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tests.shift.conftest import after
from tests.test_opinions import untaught
from typer.testing import CliRunner

import quire
from quire.cli import app
from quire.core.errors import BadInput, Stopped
from quire.core.opinions import Opinion
from quire.core.random import rng
from quire.finetune.opinions import Opined, learn_opinions
from quire.predict.majority import Majority
from quire.predict.rater import Rating
from quire.report.reviews import page, spelled, summary

__all__ = ["after"]  # a fixture
After = Callable[[int], dict[str, Any]]
SAID = {
    "en": {
        "PRICE#ALL": {"cheap": "positive", "dear": "negative"},
        "food": {"tasty": "positive", "bland": "negative"},
    },
    "zh": {"价格": {"便宜": "positive", "贵": "negative"}, "味道": {"好吃": "positive", "咸": "negative"}},
}
"""Of each language, the words for each category, and how it is liked by whom says them."""


def reviews(language: str, count: int) -> list[dict[str, Any]]:
    """All that can be said of both categories, one or none."""
    draw, words = rng("rated", language), SAID[language]
    ways = [*product(*([*of_category.items(), None] for of_category in words.values()))]
    rows = []
    for number in range(count):
        said = [(category, *pair) for category, pair in zip(words, ways[draw.integers(len(ways))], strict=True) if pair]
        told = [{"category": category, "polarity": polarity} for category, _, polarity in said]
        text = " ".join([str(number), *(word for _, word, _ in said)])
        rows.append({"text": text if language == "en" else text.replace(" ", "，"), "opinions": told})
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each language: reviews.jsonl, and an encoder of two layers that knows its words."""
    folder = tmp_path_factory.mktemp("rated")
    for language, words in SAID.items():
        (folder / language).mkdir()
        rows = reviews(language, 240)
        write(folder / language / "reviews.jsonl", rows)
        asked = [*words, "positive negative none price all what do you think of the it ? polarity aspect is ."]
        untaught(folder / language / "base", [*(row["text"] for row in rows), *asked * 3])
    return folder


def run(person: Path, out: Path, train: Path | None = None, **changes: Any) -> Opined:
    given: dict[str, Any] = {"base": str(person / "base"), "length": 32, "lr": 5e-3, "epochs": 14}
    return learn_opinions(train or person / "reviews.jsonl", out=out, **{**given, **changes})


@pytest.mark.parametrize("language", SAID)
def test_a_person_gets_scores_answers_and_a_model(people: Path, tmp_path: Path, language: str) -> None:
    person, out = people / language, tmp_path / "run"
    found = run(person, out)
    assert (found.subtask, found.reviews, found.lost) == ("category", {"train": 194, "dev": 22, "test": 24}, ())
    assert found.scores["test"]["joint_f1"] > 0.9, found.scores
    assert {"official_f1", "official_accuracy_4"} <= found.scores["test"].keys()
    rows = [json.loads(line) for line in (out / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    hits = sum(sum(told in row["truth"] for told in row["opinions"]) for row in rows)
    said, true = (sum(len(row[key]) for row in rows) for key in ("opinions", "truth"))
    assert found.scores["test"]["joint_f1"] == pytest.approx(2 * hits / (said + true))
    rater = quire.load_rater(out)
    assert [spelled(rater(row["text"])) for row in rows] == [row["opinions"] for row in rows]
    assert run(person, out) == found, "a finished run answers from its folder"
    one, other = SAID[language]
    both = rater({"en": "7 cheap bland", "zh": "7，便宜，咸"}[language])
    assert both.opinions == (
        Opinion(category=one, polarity="positive"),
        Opinion(category=other, polarity="negative"),
    )
    assert {aspect.name: dict(aspect.polarities) for aspect in summary([both])} == {
        one: {"positive": 1},
        other: {"negative": 1},
    }
    assert one in page([both], title="t", source="s")


@pytest.mark.parametrize("form", ["qa_m", "nli_b", "qa_b"])
def test_every_form_answers_from_its_folder(people: Path, tmp_path: Path, form: Any) -> None:
    """Those that ask for each label by itself give each category one answer all the same."""
    found = run(people / "en", tmp_path / "run", form=form, epochs=1)
    rater = quire.load_rater(tmp_path / "run")
    assert rater.plan == Rating(categories=("PRICE#ALL", "food"), polarities=("positive", "negative"), form=form)
    asked = rater.plan.sheet(rater.reviews(["cheap", "bland"]))
    shares_BAC = rater.shares(asked)
    assert shares_BAC.shape == (2, 2, 3)
    assert shares_BAC.sum(axis=-1) == pytest.approx(1, abs=1e-5)
    assert len(asked.problems) == (12 if form.endswith("_b") else 4)
    assert found.scores["dev"].keys() == found.scores["test"].keys()


def test_a_stopped_run_goes_on_to_the_same(people: Path, tmp_path: Path, after: After) -> None:
    whole = run(people / "zh", tmp_path / "whole", epochs=1)
    for updates in (4, 9):
        with pytest.raises(Stopped):
            run(people / "zh", tmp_path / "parts", epochs=1, **after(updates))
    assert run(people / "zh", tmp_path / "parts", epochs=1).scores == whole.scores
    one, two = (tmp_path / name / "model/model.safetensors" for name in ("whole", "parts"))
    assert one.read_bytes() == two.read_bytes()


def test_without_polarities_it_learns_what_is_spoken_of(people: Path, tmp_path: Path) -> None:
    rows = [
        {**row, "opinions": [{"category": told["category"]} for told in row["opinions"]]} for row in reviews("en", 240)
    ]
    found = run(people / "en", tmp_path / "run", write(tmp_path / "spoken.jsonl", rows))
    assert found.scores["test"]["f1"] == found.scores["test"]["joint_f1"] > 0.9
    assert "accuracy_4" not in found.scores["test"]
    rater = quire.load_rater(tmp_path / "run")
    answers = {rater(row["text"]).opinions for row in rows}
    assert answers >= {(), (Opinion(category="PRICE#ALL"),), (Opinion(category="food"),)}, "each, and no polarity"


def test_the_command_line(people: Path, tmp_path: Path) -> None:
    data, model = str(people / "zh/reviews.jsonl"), str(tmp_path / "run")

    def told(*given: str) -> str:
        found = CliRunner().invoke(app, [*given])
        assert found.exit_code == 0, found.output
        return found.stdout

    start = ["--start", str(people / "zh/base"), "--length", "32", "--epochs", "10", "--lr", "5e-3"]
    made = told("finetune", "--paradigm", "absa", "--train", data, "--out", model, *start)
    assert "joint_f1  accuracy_4" in made
    texts = ["1，便宜，咸", "2"]
    assert told("predict", model, *texts).splitlines() == ["-\t-\tpositive\t价格", "-\t-\tnegative\t味道", "-"]
    [first, second] = [json.loads(line) for line in told("predict", model, *texts, "--json").splitlines()]
    assert [(said["category"], said["polarity"]) for said in first["opinions"]] == [
        ("价格", "positive"),
        ("味道", "negative"),
    ]
    assert second["opinions"] == []
    assert [line.split()[:4] for line in told("predict", model, *texts, "--summary").splitlines()] == [
        ["1", "价格", "1", "positive"],
        ["1", "味道", "1", "negative"],
    ]
    told("predict", model, *texts, "--html", str(tmp_path / "page.html"))
    assert "<bdi>味道</bdi>" in (tmp_path / "page.html").read_text(encoding="utf-8")
    scores = json.loads(told("evaluate", model, "--data", data, "--json"))
    assert scores["reviews"] == 240
    assert scores["joint_f1"] > 0.9
    assert "official_accuracy_2" in scores
    cut = CliRunner().invoke(app, ["predict", model, "便宜" * 30, "便宜"])
    assert "50% of the texts are longer than 32 tokens and were cut" in cut.stderr


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"text": " ", "opinions": []}', "odd.jsonl:1: an empty review"),
        ('{"text": "a", "opinions": [{"category": "food", "polarity": "fine"}]}', "polarity 'fine' is not known"),
        ('{"text": "a", "opinions": [{"category": "food"}]}', "odd.jsonl:1: food has no polarity; it must be positive"),
        (
            '{"text": "a", "opinions": [{"category": "food", "polarity": "neutral"}]}',
            "odd.jsonl:1: food has the polarity neutral; it must be positive, negative",
        ),
        (
            '{"text": "a", "opinions": [{"category": "foods", "polarity": "positive"}]}',
            "odd.jsonl:1: the category 'foods' was not learnt; did you mean 'food'",
        ),
    ],
)
def test_what_was_not_learnt_is_one_line(row: str, message: str, people: Path, tmp_path: Path) -> None:
    """Before anything is learnt."""
    (tmp_path / "odd.jsonl").write_text(row, encoding="utf-8")
    with pytest.raises(BadInput) as error:
        run(people / "en", tmp_path / "run", test=tmp_path / "odd.jsonl")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_learnt_is_refused(people: Path, tmp_path: Path) -> None:
    person = people / "en"
    with pytest.raises(BadInput, match="no category is told of any review"):
        run(person, tmp_path / "run", _line(tmp_path, aspect="cheap"), subtask="category")
    with pytest.raises(BadInput, match="--form nli_b: asks about categories, and ae is learnt"):
        run(person, tmp_path / "run", _line(tmp_path, aspect="cheap"), form="nli_b")
    with pytest.raises(BadInput, match="'A#B' and 'a b' are the same in words; rename one"):
        run(person, tmp_path / "run", _line(tmp_path, category="a b", more="A#B"))
    with pytest.raises(BadInput, match="length 65: the base has 64 positions"):
        run(person, tmp_path / "run", length=65)
    with pytest.raises(BadInput, match=r"the same in tokens .*give a base that reads this language as --start"):
        run(person, tmp_path / "run", people / "zh/reviews.jsonl")
    assert not (tmp_path / "run").exists()
    Majority.fit(("a", "b"), ["a"]).save(tmp_path / "majority")
    with pytest.raises(BadInput, match=r"labels texts; open it with quire\.load$"):
        quire.load_rater(tmp_path / "majority")


def _line(folder: Path, *, more: str = "", **part: str) -> Path:
    return write(
        folder / "line.jsonl",
        [{"text": "cheap", "opinions": [part, *([{"category": more}] if more else [])]}],
    )


def test_a_category_that_is_liked_in_two_ways_is_told(people: Path, tmp_path: Path) -> None:
    rows = reviews("en", 60)
    rows[3]["opinions"] = [{"category": "food", "polarity": polarity} for polarity in ("positive", "negative")]
    given = {"dev": people / "en/reviews.jsonl", "test": people / "en/reviews.jsonl"}
    with pytest.raises(BadInput, match="stands in the training data too"):
        run(people / "en", tmp_path / "run", **given)
    for at, row in enumerate(rows):
        row["text"] += f" x{at}"
    found = run(people / "en", tmp_path / "run", write(tmp_path / "odd.jsonl", rows), epochs=1, **given)
    assert len(found.lost) == 1
    assert "odd.jsonl:4: 'food' is liked in two ways, of which the first was learnt" in found.lost[0]
