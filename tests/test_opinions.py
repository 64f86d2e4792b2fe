"""From a person's reviews to a model that tells what reviews say: scores, answers, a folder, stops, refusals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.predict.test_pointer import reviews
from tests.shift.conftest import after
from typer.testing import CliRunner

import quire
from quire.cli import app
from quire.core.errors import BadInput, Stopped
from quire.core.opinions import Opinion, Review
from quire.core.spec import Backbone
from quire.finetune.annotated import split, told_by
from quire.finetune.opinions import Opined, learn_opinions
from quire.nn.model import Model
from quire.report.reviews import spelled
from quire.text.absa import compared
from quire.text.tokenizers import Tokenizer
from quire.train.weights import save_model

__all__ = ["after"]  # a fixture
After = Callable[[int], dict[str, Any]]
PARTS = ("aspect", "opinion", "polarity")


def row(review: Review, *parts: str) -> str:
    """A line of a person's file, with these parts of each opinion."""

    def part(value: Any) -> Any:
        return [value["start"], value["end"]] if isinstance(value, dict) else value

    told = [{name: part(opinion[name]) for name in parts} for opinion in spelled(review)]
    return json.dumps({"text": review.text, "opinions": told})


def write(path: Path, learnt: list[Review], *parts: str) -> Path:
    path.write_text("\n".join(row(review, *(parts or PARTS)) for review in learnt), encoding="utf-8")
    return path


def untaught(folder: Path, texts: list[str]) -> None:
    """An encoder that has learnt nothing, and knows these words."""
    tokenizer = Tokenizer.train(texts, kind="wordpiece", size=120, longest=64)
    spec = Backbone(vocab=tokenizer.vocab.size, depth=2, width=48, heads=4, ffn=96, positions=64, dropout=0.0)
    spec = spec.model_copy(update={"attention_dropout": 0.0})
    save_model(
        folder,
        backbone=spec,
        heads={},
        state=Model(spec, {}, seed=1).state_dict(),
        labels=None,
        tokenizer_saver=tokenizer.save,
        card="",
        extra={},
        vocab=tokenizer.vocab,
    )


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """reviews.jsonl, and an encoder of two layers that knows its words."""
    folder = tmp_path_factory.mktemp("reviews")
    told = [Review(f"{i} {r.text}", _moved(r, f"{i} "), _later(r), "here") for i, r in enumerate(reviews(200, "a"))]
    write(folder / "reviews.jsonl", told)
    untaught(folder / "base", [review.text for review in told])
    return folder


def _moved(review: Review, before: str) -> tuple[tuple[int, int], ...]:
    """The places behind a number that makes the text its own."""
    return ((0, len(before) - 1), *((a + len(before), b + len(before)) for a, b in review.places))


def _later(review: Review) -> tuple[Opinion, ...]:
    def later(words: tuple[int, int] | None) -> tuple[int, int] | None:
        return words and (words[0] + 1, words[1] + 1)

    return tuple(Opinion(later(o.aspect), later(o.opinion), o.polarity) for o in review.opinions)


def run(person: Path, out: Path, train: Path | None = None, **changes: Any) -> Opined:
    given: dict[str, Any] = {"base": str(person / "base"), "length": 48, "lr": 5e-3, "epochs": 12}
    return learn_opinions(train or person / "reviews.jsonl", out=out, **{**given, **changes})


def test_a_person_gets_scores_answers_and_a_model(person: Path, tmp_path: Path) -> None:
    found = run(person, tmp_path / "run")
    assert (found.subtask, found.reviews) == ("triplet", {"train": 162, "dev": 18, "test": 20})
    assert found.scores["test"]["f1"] > 0.8
    assert found.scores["test"]["f1"] == found.scores["test"]["official_f1"], "within the grammar nothing is malformed"
    rows = [json.loads(line) for line in (tmp_path / "run/answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 20
    hits = sum(sum(told in one["truth"] for told in one["opinions"]) for one in rows)
    said, true = (sum(len(one[key]) for one in rows) for key in ("opinions", "truth"))
    assert found.scores["test"]["f1"] == pytest.approx(2 * hits / (said + true))
    pointer = quire.load_pointer(tmp_path / "run")
    assert [spelled(pointer(one["text"])) for one in rows] == [one["opinions"] for one in rows]
    assert run(person, tmp_path / "run") == found
    assert "f1" in (tmp_path / "run/model/README.md").read_text(encoding="utf-8")


def test_a_stopped_run_goes_on_to_the_same(person: Path, tmp_path: Path, after: After) -> None:
    whole = run(person, tmp_path / "whole", epochs=3)
    for updates in (4, 9):
        with pytest.raises(Stopped):
            run(person, tmp_path / "parts", epochs=3, **after(updates))
    assert run(person, tmp_path / "parts", epochs=3).scores == whole.scores
    one, two = (tmp_path / name / "model/model.safetensors" for name in ("whole", "parts"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("said", "subtask"),
    [
        (Opinion((0, 1), (1, 2), "positive"), "triplet"),
        (Opinion((0, 1), (1, 2)), "pair"),
        (Opinion((0, 1), polarity="positive"), "aesc"),
        (Opinion((0, 1)), "ae"),
        (Opinion(opinion=(1, 2)), "oe"),
        (Opinion(opinion=(1, 2), category="FOOD"), "oe"),
        (Opinion(category="FOOD"), "category"),
    ],
)
def test_what_is_told_is_what_is_annotated(said: Opinion, subtask: str) -> None:
    assert told_by([Review.of_words(["food", "good"], [said], "here")], "here") == subtask


def annotated(opinions: list[Opinion], *, where: str = "here") -> list[Review]:
    return [Review.of_words(["food", "good", str(n)], [said], f"{where}:{n}") for n, said in enumerate(opinions)]


@pytest.mark.parametrize(
    ("parts", "subtask"), [({"aspect": (0, 1), "polarity": "positive"}, "aesc"), ({"opinion": (1, 2)}, "oe")]
)
def test_what_most_opinions_lack_is_not_learnt(parts: dict[str, Any], subtask: str) -> None:
    """Else those that lack a part would be learnt as if nothing were said."""
    whole, most = Opinion((0, 1), (1, 2), "positive"), Opinion(**parts)
    assert told_by(annotated([whole] + [most] * 3), "here") == subtask
    assert told_by(annotated([whole] * 2 + [most] * 2), "here") == "triplet"


def test_opinions_that_are_not_learnt_are_counted(person: Path, tmp_path: Path) -> None:
    lines = (person / "reviews.jsonl").read_text(encoding="utf-8").splitlines()
    lines += [json.dumps({"text": f"food {n}", "opinions": [{"aspect": "food", "category": "FOOD"}]}) for n in range(3)]
    (tmp_path / "mixed.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = run(person, tmp_path / "run", tmp_path / "mixed.jsonl", epochs=1)
    (note,) = found.notes
    assert "3 of " in note
    assert "lack a part of what is, triplet; the first: " in note
    assert note.endswith("mixed.jsonl:201; --subtask category learns categories, without words")


def test_texts_that_differ_in_signs_alone_are_held_out_together() -> None:
    """A person's one file is never refused for what it was split into."""
    texts = ["Good food", "good food!", "\U0001f44d", "!!!", "\U0001f621", *(f"review {n}" for n in range(10))]
    rows = [Review.of_words(text.split(), [Opinion((0, 1))], f"here:{n}") for n, text in enumerate(texts)]
    for seed in range(20):
        found = split(rows, what="ae", train="here", dev=None, test=None, share=0.2, seed=seed)
        assert found.notes == ()
        parts = [{compared(review.text) for review in part} for part in (found.train, found.dev, found.test)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 14


@pytest.mark.parametrize("split_name", ["dev", "test"])
def test_a_file_that_tells_nothing_of_what_is_learnt_is_refused(person: Path, tmp_path: Path, split_name: str) -> None:
    bare = write(tmp_path / "bare.jsonl", reviews(5, "b"), "aspect")
    with pytest.raises(BadInput, match=r"bare\.jsonl: of no review is told what is learnt, triplet; annotate it"):
        run(person, tmp_path / "run", **{split_name: bare})
    assert not (tmp_path / "run").exists()


def test_a_base_that_does_not_read_the_language_is_refused(person: Path, tmp_path: Path) -> None:
    rows = [{"text": f"菜很好吃 {n}", "opinions": [{"aspect": "菜", "polarity": "positive"}]} for n in range(30)]
    (tmp_path / "zh.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(BadInput, match=r"zh\.jsonl: \d\d% of the tokens are unknown to .*base; give a base that reads"):
        run(person, tmp_path / "run", tmp_path / "zh.jsonl")
    assert not (tmp_path / "run").exists()


def test_longer_reviews_are_told_of_and_no_batch_is_empty(person: Path, tmp_path: Path) -> None:
    (note,) = run(person, tmp_path / "run", epochs=1, length=8).notes
    assert "% of the training reviews are longer than 8 tokens and were cut; raise --length" in note
    with pytest.raises(BadInput, match="batch"):
        run(person, tmp_path / "none", batch=0)


def test_answers_about_an_aspect_stand_beside_what_is_true_of_it(person: Path, tmp_path: Path) -> None:
    found = run(person, tmp_path / "run", subtask="alsc", epochs=6)
    rows = [json.loads(line) for line in (tmp_path / "run/answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(len(row["truth"]) == len(row["opinions"]) == 1 for row in rows)
    assert all(row["truth"][0]["aspect"] == row["opinions"][0]["aspect"] for row in rows)
    right = sum(row["truth"] == row["opinions"] for row in rows) / len(rows)
    assert found.scores["test"]["official_f1"] == pytest.approx(right), "one polarity is said of each"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (['{"text": "food good", "opinions": [{"aspect": "wine"}]}'], r"'wine'"),
        (['{"text": " ", "opinions": []}'], r"an empty review"),
        (['{"text": "food good", "opinions": [{"aspect": "food", "polarity": "fine"}]}'], r"'fine'"),
        (['{"text": "food good", "opinions": []}'], r"annotate what is to be learnt"),
        (
            ['{"text": "a b c", "opinions": [{"aspect": [0, 3], "opinion": [2, 5]}]}'],
            r"'a b' and 'b c' overlap|overlap and are not the same",
        ),
    ],
)
def test_what_cannot_be_learnt_is_one_line(rows: list[str], message: str, person: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.jsonl").write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(BadInput, match=message) as error:
        run(person, tmp_path / "run", tmp_path / "odd.jsonl")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_what_is_held_out_may_not_stand_in_train(person: Path, tmp_path: Path) -> None:
    for part in ("dev", "test"):
        with pytest.raises(BadInput, match="stands in the training data too"):
            run(person, tmp_path / "run", **{part: person / "reviews.jsonl"})
        assert not (tmp_path / "run").exists()


def test_the_command_line(person: Path, tmp_path: Path) -> None:
    given = ["finetune", "--train", str(person / "reviews.jsonl"), "--out", str(tmp_path / "run"), "--epochs", "1"]
    given += ["--start", str(person / "base"), "--length", "48"]
    made = CliRunner().invoke(app, [*given, "--paradigm", "absa"])
    assert made.exit_code == 0, made.output
    assert "test official" in made.output
    assert CliRunner().invoke(app, [*given, "--paradigm", "absa", "--layout", "conll"]).exit_code != 0
    assert CliRunner().invoke(app, [*given, "--paradigm", "class", "--subtask", "ae"]).exit_code != 0


def test_the_same_reviews_are_asked_about_by_machine_reading(person: Path, tmp_path: Path) -> None:
    given = ["finetune", "--train", str(person / "reviews.jsonl"), "--out", str(tmp_path / "run"), "--epochs", "20"]
    given += ["--start", str(person / "base"), "--length", "48", "--batch", "16", "--lr", "1e-2"]
    made = CliRunner().invoke(app, [*given, "--paradigm", "mrc", "--layout", "reviews"])
    assert made.exit_code == 0, made.output
    told = CliRunner().invoke(app, ["predict", str(tmp_path / "run"), "7 the wine list is not bad"])
    assert told.output.splitlines() == ["aspect\twine list", "opinion\tnot bad"]
    file = str(person / "reviews.jsonl")
    scored = CliRunner().invoke(
        app, ["evaluate", str(tmp_path / "run"), "--data", file, "--layout", "reviews", "--json"]
    )
    assert json.loads(scored.output)["f1"] > 0.9
