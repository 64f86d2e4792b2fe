"""Comparisons at toy size: equal budgets, shared text, nothing held out is trained on, stops that change nothing."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quire import recipe
from quire.adapt import measure
from quire.compare import arms as compare_arms
from quire.compare import compare, labels_of
from quire.compare.arms import Plan, reading
from quire.compare.corpus import Part
from quire.compare.settings import Shape, chosen, shape_of
from quire.core.config import parse
from quire.core.errors import BadInput, Stopped
from quire.core.random import rng
from quire.core.results import Study
from quire.core.verdict import Verdict
from quire.nn.model import Model
from quire.recipe import TokenizerPlan
from quire.text.tokenizers import Tokenizer
from quire.train.safe import read_json
from quire.train.signals import StopRequest
from quire.train.weights import read_model

SHAPE = Shape(length=24, batch=8, tokenizer=TokenizerPlan(size=120))


@pytest.fixture(autouse=True)
def toy_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recipe.SIZES, "tiny", (1, 32, 2, 64))
    monkeypatch.setattr(compare_arms, "LEAST_FINETUNE", 12)
    monkeypatch.setattr(measure, "SECONDS", 0.1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """reviews.csv, and corpus.txt with a document a block."""
    folder, draw = tmp_path_factory.mktemp("person"), rng(0, "compare")
    words = ["the", "phone", "camera", "battery", "screen", "book", "was", "is", "really", "very"]
    with (folder / "reviews.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["text", "label"])
        for i in range(80):
            tell = ["awful", "great"][i % 2]
            out.writerow([" ".join([*draw.choice(words, 5), tell, str(i)]), ["bad", "good"][i % 2]])
    documents = ["\n".join(" ".join(draw.choice(words, 6)) + f" {d}." for _ in range(4)) for d in range(150)]
    (folder / "corpus.txt").write_text("\n\n".join(documents), encoding="utf-8")
    return folder


def run(files: Path, out: Path, **changes: Any) -> list[Any]:
    given: dict[str, Any] = {"budget": "2ktokens", "seeds": 2, "shape": SHAPE, **changes}
    corpus = (files / "corpus.txt",)
    return compare(given.pop("arms", ("mlm", "nsp")), task=files / "reviews.csv", out=out, corpus=corpus, **given)


@pytest.fixture(scope="module")
def done(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Study, Verdict]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipe.SIZES, "tiny", (1, 32, 2, 64))
        patch.setattr(compare_arms, "LEAST_FINETUNE", 12)
        patch.setattr(measure, "SECONDS", 0.1)
        out = tmp_path_factory.mktemp("compare") / "run"
        [outcome] = run(files, out)
        yield out, outcome.study, outcome.verdict


def test_a_comparison_has_every_arm_its_control_and_the_baselines(done: tuple[Path, Study, Verdict]) -> None:
    out, study, verdict = done
    assert [arm.name for arm in study.arms] == ["majority", "tfidf", "scratch", "mlm", "nsp"]
    assert verdict.selected in ("mlm", "nsp"), "what is selected was pre-trained; baselines only stand beside"
    assert {(run.arm, run.seed) for run in study.pretrained} == {(a, s) for a in ("mlm", "nsp") for s in (0, 1)}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Held-out loss of each objective" in page
    assert (out / "model" / "quire.json").exists()


def test_arms_spend_the_same_tokens_and_share_tokenizer_and_shards(done: tuple[Path, Study, Verdict]) -> None:
    out, study, _ = done
    for found in study.pretrained:
        assert found.cost.tokens == pytest.approx(2000, rel=0.1)
        assert found.points[0].step == 0
        assert found.points[-1].step == found.cost.steps
        assert found.points[-1].losses.keys() == ({"mlm"} if found.arm == "mlm" else {"pair", "mlm"})
        assert found.points[-1].figures["mlm.nats"] == pytest.approx(found.points[-1].losses["mlm"], rel=1e-5)
        assert found.flops > 0
    assert len(list(out.rglob("tokens-*.bin"))) == 2, "the corpus and its held-out part, whatever the number of arms"
    first, second = (run for run in study.pretrained if run.arm == "mlm")
    assert first.points[0].losses != second.points[0].losses, "each seed is pre-trained by itself"


def test_flops_are_counted_and_can_be_the_budget(files: Path, tmp_path: Path) -> None:
    [outcome] = run(files, tmp_path / "run", budget="0.5gflops", seeds=1)
    for found in outcome.study.pretrained:
        plan = parse(Plan, read_json(tmp_path / "run" / "arms" / found.arm / "plan.json"), where="plan")
        assert plan.flops * plan.steps == pytest.approx(0.5e9, rel=0.1)
        assert found.flops == pytest.approx(0.5e9, rel=0.15)


def test_a_stopped_comparison_goes_on_and_gives_the_same(
    files: Path, tmp_path: Path, done: tuple[Path, Study, Verdict]
) -> None:
    stop = StopRequest()

    class Stopping:
        """Asks to stop when the second arm has begun."""

        def start(self, title: str, total: int, done: int = 0) -> None:
            if title.startswith("nsp"):
                stop.reason = "a test"

        def update(self, step: int, figures: str = "") -> None: ...

        def say(self, line: str) -> None: ...

    with pytest.raises(Stopped):
        run(files, tmp_path / "run", progress=Stopping(), stop=stop)
    kept = tmp_path / "run" / "arms" / "mlm" / "seed-0" / "pretrained.json"
    before = kept.stat().st_mtime_ns
    [outcome] = run(files, tmp_path / "run")
    assert kept.stat().st_mtime_ns == before, "what was pre-trained is not made again"
    _, undisturbed, _ = done
    for arm in undisturbed.arms:
        again = outcome.study.arm(arm.name)
        assert (again.predictions == arm.predictions).all()
        assert again.dev == arm.dev
    assert run(files, tmp_path / "run")[0].study.to_json() == outcome.study.to_json()


def test_few_and_all_labels_give_a_study_each_over_the_same_pre_training(files: Path, tmp_path: Path) -> None:
    few, whole = run(files, tmp_path / "run", arms=("mlm",), per_class=(3, None), seeds=1)
    assert [s.examples for s in few.study.data.splits if s.name == "train"] == [6]
    assert [s.examples for s in whole.study.data.splits if s.name == "train"] == [52]
    assert few.report.parent.name == "labels-3"
    assert few.study.pretrained == whole.study.pretrained
    assert (few.study.truth == whole.study.truth).all()
    (tmp_path / "run" / "labels-all" / "results.json").unlink()  # stopped between the two
    for left in (tmp_path / "run" / "labels-all" / "arms").rglob("result.json"):
        left.unlink()
    again = run(files, tmp_path / "run", arms=("mlm",), per_class=(3, None), seeds=1)
    assert again[0].study.to_json() == few.study.to_json()
    assert (again[1].study.arm("mlm").predictions == whole.study.arm("mlm").predictions).all()


def test_held_out_documents_are_never_trained_on() -> None:
    texts = [f"document {i}" for i in range(400)] + ["document 7", "Document  7"]
    seen, held = list(Part(lambda: texts, held_out=False)()), list(Part(lambda: texts, held_out=True)())
    assert sorted(seen + held) == sorted(texts)
    assert not {" ".join(t.split()).lower() for t in seen} & {" ".join(t.split()).lower() for t in held}
    assert 8 < len(held) < 40


@pytest.mark.parametrize(
    ("arms", "says"),
    [
        (("mlm", "mlm"), "'mlm' stands there twice"),
        (("mml",), "no recipe named 'mml'; did you mean 'mlm'"),
        (("minilm-adapt",), "starts from the base 'minilm', but arms are pre-trained from nothing"),
        ((), "give at least one arm"),
    ],
)
def test_arms_that_cannot_be_compared_are_refused(
    arms: tuple[str, ...], says: str, files: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=says):
        run(files, tmp_path / "run", arms=arms)
    assert not (tmp_path / "run").exists()


def test_an_arm_that_does_not_fit_is_named_before_any_training(files: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("cite: me\nsurvey: x\nbackbone: {segments: 1}\ndata: {shape: sentence-pairs}\ntrain: {steps: 5}\n")
    with pytest.raises(BadInput, match=r"arm mine: .*segment"):
        run(files, tmp_path / "run", arms=("mlm", str(mine)))
    assert not (tmp_path / "run").exists()


def test_a_recipe_keeps_its_architecture_at_the_common_size() -> None:
    arms = chosen(["mlm", "nsp"], shape=SHAPE)
    sizes = {(a.backbone.depth, a.backbone.width, a.backbone.vocab) for a in arms.values() if a.backbone}
    assert sizes == {(1, 32, 120)}
    assert [a.backbone.segments for a in arms.values() if a.backbone] == [0, 2]
    assert {a.train.lr for a in arms.values()} == {SHAPE.lr}
    assert arms["mlm"].train.betas == (0.9, 0.98), "the optimiser's own settings stay"


def test_arms_with_a_decoder_share_their_marks_and_are_fine_tuned_without_it(files: Path, tmp_path: Path) -> None:
    shape = SHAPE.model_copy(update={"tokenizer": TokenizerPlan(size=240)})
    [outcome] = run(files, tmp_path / "run", arms=("mlm", "t5"), shape=shape, seeds=1, budget="1ktokens")
    assert {arm.name for arm in outcome.study.arms} >= {"scratch", "mlm", "t5"}
    last = {run.arm: run.points[-1] for run in outcome.study.pretrained}
    assert {"denoise.nats", "denoise.accuracy"} <= last["t5"].figures.keys()
    assert len(Tokenizer.load(tmp_path / "run" / "tokenizer").vocab.sentinels) == 100
    read = read_model(tmp_path / "run" / "arms" / "t5" / "seed-0" / "base")
    assert read.backbone.decoder
    encoder = reading(read)
    assert encoder.backbone.decoder is None
    assert encoder.state.keys() == Model(encoder.backbone, {}).state_dict().keys()
    assert all((encoder.state[name] == read.state[name]).all() for name in encoder.state)


def test_options_are_read_with_one_line_for_a_mistake() -> None:
    assert labels_of("50,all") == (50, None)
    with pytest.raises(BadInput, match="--labels some: expected numbers"):
        labels_of("some")
    with pytest.raises(BadInput, match=r"compare\.length"):
        shape_of(size="tiny", length=3, batch=8, lr=1e-3, vocab=100)
