"""Comparisons of strategies at toy size: one base, as many updates, rates chosen on dev, stops that change nothing."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quire.adapt import measure
from quire.adapt.bench import Bench
from quire.adapt.rates import OTHERS, for_arms, rates_of, tried
from quire.core.errors import BadInput, Stopped
from quire.core.random import rng
from quire.predict import load
from quire.pretrain import pretrain
from quire.recipe import Recipe
from quire.strategies import compare_strategies
from quire.strategies.compound import Compound
from quire.strategies.job import Tuning, in_words
from quire.strategies.settings import chosen
from quire.text.joined import Pair
from quire.train.progress import Lines
from quire.train.signals import StopRequest
from quire.tuning.adversarial import Fgm
from quire.tuning.base import Over
from quire.tuning.distil import Sda
from quire.tuning.full import Full
from quire.tuning.lora import Lora

SMALL = ("finetune.epochs=1", "finetune.train.batch=8", "data.length=24", "finetune.train.lr=1e-2")

TEXT = ("train.batch=8", "strategy.full.thaw_at=0")
"""Of pre-training."""


@pytest.fixture(autouse=True)
def toy_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quire.strategies.job.LEAST", 12)
    monkeypatch.setattr(measure, "SECONDS", 0.05)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """reviews.csv, and a base that was pre-trained on its words."""
    folder, draw = tmp_path_factory.mktemp("person"), rng(0, "strategies")
    words = ["the", "phone", "camera", "battery", "screen", "book", "was", "is", "really", "very"]
    rows = [" ".join([*draw.choice(words, 5), ["awful", "great"][i % 2], str(i)]) for i in range(80)]
    with (folder / "reviews.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [("text", "label"), *((text, ["bad", "good"][i % 2]) for i, text in enumerate(rows))]
        )
    (folder / "text.txt").write_text("\n\n".join(rows), encoding="utf-8")
    recipe = Recipe.model_validate(
        {
            "cite": "none",
            "survey": "none",
            "backbone": {"depth": 2, "width": 24, "heads": 2, "ffn": 24, "positions": 40},
            "data": {"length": 24, "tokenizer": {"size": 120}},
            "train": {"steps": 4, "batch": 8},
        }
    )
    pretrain(recipe, corpus=[folder / "text.txt"], out=folder / "base")
    return folder


def run(person: Path, out: Path, *names: str, **changes: Any) -> list[Any]:
    given: dict[str, Any] = {"seeds": 2, "changes": SMALL, "base": str(person / "base/model"), **changes}
    return compare_strategies(names, task=person / "reviews.csv", out=out, **given)


@pytest.fixture(scope="module")
def found(person: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quire.strategies.job.LEAST", 12)
        patch.setattr(measure, "SECONDS", 0.05)
        out = tmp_path_factory.mktemp("run") / "run"
        [outcome] = run(person, out, "full", "head", "lora", "houlsby", "pals", "self_ensemble")
    return outcome


def test_every_strategy_is_an_arm_beside_the_floor(found: Any) -> None:
    names = [arm.name for arm in found.study.arms]
    assert names == ["majority", "features", "full", "head", "lora", "houlsby", "pals", "self_ensemble"]
    assert {len(arm.seeds) for arm in found.study.arms} == {2}
    steps = {cost.steps for arm in found.study.arms[2:] for cost in arm.cost}
    assert steps == {12}
    assert load(found.model).labels == ("bad", "good")
    assert "Score and what learns" in found.report.read_text(encoding="utf-8")


def test_what_is_no_better_than_a_baseline_is_not_deployed(
    person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Tuning.at

    def hopeless(self: Tuning, *given: Any) -> Any:
        predictor, found = real(self, *given)
        return predictor, found.model_copy(update={"dev": 0.0})

    monkeypatch.setattr(Tuning, "at", hopeless)
    [outcome] = run(person, tmp_path / "run", "full", "head", seeds=1)
    assert outcome.study.selected in ("majority", "features")
    assert load(outcome.model).kind == outcome.study.selected


def test_a_base_that_cannot_read_the_text_is_told_of(
    person: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = (person / "reviews.csv").read_text(encoding="utf-8").replace("phone", "\u7535\u8bdd\u673a")
    (tmp_path / "reviews.csv").write_text(strange, encoding="utf-8")
    [outcome] = run(
        tmp_path, tmp_path / "run", "full", "head", seeds=1, base=str(person / "base/model"), progress=Lines()
    )
    [told] = [note for note in outcome.study.data.notes if "are unknown to the base" in note]
    assert f"Warning: {told}" in capsys.readouterr().err


def test_what_learns_is_counted_by_formula(found: Any) -> None:
    """Of two layers of width 24: two matrices a layer have an update of rank 8, two adapters are 64 wide, and
    one attention beside it 204."""
    learnt = {arm.name: arm.trainable for arm in found.study.arms}
    head = 24 * 24 + 24 + 2 * 24 + 2
    whole = found.study.arm("full").parameters
    assert (learnt["majority"], learnt["features"]) == (None, None)
    assert (learnt["head"], learnt["full"], learnt["self_ensemble"]) == (head, whole, whole)
    assert learnt["lora"] == head + 2 * 2 * 2 * 8 * 24
    norms = 2 * (1 + 2 * 2) * 24
    assert learnt["houlsby"] == head + norms + 4 * (2 * 24 * 64 + 64 + 24)
    assert found.study.arm("lora").parameters == whole
    assert learnt["pals"] == found.study.arm("pals").parameters == whole + 2 * 24 * 204 + 2 * 3 * 204**2
    assert found.study.arm("houlsby").parameters == whole + 4 * (2 * 24 * 64 + 64 + 24)


def test_a_comparison_that_was_stopped_goes_on_to_the_same(person: Path, tmp_path: Path) -> None:
    whole = run(person, tmp_path / "whole", "full", "lora", seeds=1)[0]
    stop = StopRequest()
    real = Tuning.learnt

    def stopping(self: Tuning, *given: Any) -> Any:
        if self.name == "lora":
            stop.note(15, None)
        return real(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tuning, "learnt", stopping)
        with pytest.raises(Stopped):
            run(person, tmp_path / "parts", "full", "lora", seeds=1, stop=stop)
    spent = json.loads((tmp_path / "parts/spent.json").read_text())["seconds"] + 1000
    (tmp_path / "parts/spent.json").write_text(json.dumps({"seconds": spent}))
    parts = run(person, tmp_path / "parts", "full", "lora", seeds=1)[0]
    assert spent < json.loads((tmp_path / "parts/spent.json").read_text())["seconds"]
    assert parts.study.seconds > 1000 > whole.study.seconds, "the time of all calls counts"
    for one, other in zip(whole.study.arms, parts.study.arms, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
    again = run(person, tmp_path / "parts", "full", "lora", seeds=1)[0]
    assert again.study.to_json() == parts.study.to_json()
    with pytest.raises(BadInput, match="other settings"):
        run(person, tmp_path / "parts", "full", "head", seeds=1)


def test_a_rate_is_chosen_on_dev_with_the_first_seed(
    person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = Tuning.at, list[tuple[str, float, int]]()

    def told(self: Tuning, rate: float, seed: int, home: Path) -> Any:
        asked.append((self.name, rate, seed))
        predictor, found = real(self, rate, seed, home)
        best = {"full": 1e-3, "lora": 1e-2}[self.name]
        return predictor, found.model_copy(update={"dev": 0.9 if rate == best else 0.1})

    monkeypatch.setattr(Tuning, "at", told)
    [outcome] = run(person, tmp_path / "run", "full", "lora", rates=(1e-4, 1e-3, 1e-2))
    assert not list((tmp_path / "run").glob("arms/*/*/model")), "logs alone are kept of runs and trials"
    assert len(list((tmp_path / "run").glob("arms/*/rate-*/log.jsonl"))) == 6
    for name, best in (("full", 1e-3), ("lora", 1e-2)):
        tried = [(name, rate, 0) for rate in (1e-4, 1e-3, 1e-2)]
        assert [one for one in asked if one[0] == name] == [*tried, (name, best, 1)], "its trial is the first run"
        assert f"at a rate of {best:g}, chosen on dev among 0.0001, 0.001, 0.01" in outcome.study.arm(name).how


def test_going_on_with_text_first_is_an_arm_that_all_seeds_pay_for(person: Path, tmp_path: Path) -> None:
    (tmp_path / "within.yaml").write_text("further: {steps: 4, over: {full: {layer_decay: 0.9}}}")
    names = ("full", str(tmp_path / "within.yaml"))
    outcomes = run(person, tmp_path / "run", *names, per_class=(4, None), changes=(*SMALL, *TEXT))
    for outcome in outcomes:
        full, within = outcome.study.arm("full"), outcome.study.arm("within")
        assert within.how.startswith("further (steps 4) over full (")
        assert [cost.steps for cost in within.cost] == [full.cost[0].steps + 2] * 2
        assert within.trainable == full.trainable
        assert not np.array_equal(within.probabilities, full.probabilities)
    assert not list((tmp_path / "run").glob("stages*")), "what is not deployed is not kept"


def test_the_seed_is_that_of_the_first_run(person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds, real = list[int](), Bench.finetune_job

    def told(self: Bench, *, steps: int, seed: int) -> Any:
        seeds.append(seed)
        return real(self, steps=steps, seed=seed)

    monkeypatch.setattr(Bench, "finetune_job", told)
    run(person, tmp_path / "run", "full", "head", seed=5)
    assert seeds == [5, 6, 5, 6]


def test_few_labels_give_a_study_each(person: Path, tmp_path: Path) -> None:
    outcomes = run(person, tmp_path / "run", "full", "head", per_class=(4, None), seeds=1)
    assert [outcome.study.data.splits[0].examples for outcome in outcomes] == [8, 52]
    assert (tmp_path / "run/labels-4/report.html").exists()


def test_a_strategy_is_published_unless_a_file_says_how(tmp_path: Path) -> None:
    (tmp_path / "wide.yaml").write_text("lora: {rank: 32}")
    found = chosen(["full", "lora", str(tmp_path / "wide.yaml")], full=Full(layer_decay=0.9))
    assert found == {"full": Full(layer_decay=0.9), "lora": Lora(), "wide": Lora(rank=32)}
    own = Full(layer_decay=0.9)
    assert chosen(["full", "sda"], full=own)["sda"] == Sda(over=own), "what adds to another adds to the recipe's own"
    told = in_words(Sda(over=Lora(rank=4), window=5))
    assert told == "sda (weight 1, window 5) over lora (rank 4, alpha 16, on query and value)"
    assert in_words(Sda(weight=0.0)).startswith("sda (weight 0, "), "it was switched off by somebody"
    assert (Lora().published_rate, Full().published_rate) == (5e-4, None)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["full"], "give two or more"),
        (["full", "full"], "'full' stands there twice"),
        (["full", "loar"], "none is called 'loar'; did you mean 'lora'"),
    ],
)
def test_what_cannot_be_compared_is_refused(names: list[str], message: str, person: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        run(person, tmp_path / "run", *names)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("sda: {over: {self_ensemble: {}}}", "strategy odd: strategy.sda: stands over another that remembers"),
        ("vote: {over: {sda: {over: {ema: {}}}}}", "strategy odd: strategy.sda: stands over another that remembers"),
        ("further: {steps: 4}", r"strategy odd: .*tokens"),
    ],
)
def test_what_cannot_be_prepared_is_refused_before_anything_is_trained(
    written: str, message: str, person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd.yaml").write_text(written)
    monkeypatch.setattr("quire.adapt.bench.fit", lambda *_, **__: pytest.fail("trained"))
    monkeypatch.setattr("quire.pretrain.material.LEAST_TOKENS", 10**6)
    with pytest.raises(BadInput, match=message) as error:
        run(person, tmp_path / "run", "full", str(tmp_path / "odd.yaml"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_dev_set_that_is_the_training_set_is_refused(person: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"also stands in the training data .* give other texts for dev"):
        run(person, tmp_path / "run", "full", "head", dev=person / "reviews.csv", test=person / "reviews.csv")
    assert not (tmp_path / "run").exists()


def test_rates_are_for_all_or_arm_by_arm() -> None:
    assert rates_of("1e-4,3e-4") == {OTHERS: (1e-4, 3e-4)}
    assert rates_of(None) == {}
    mixed = for_arms(rates_of("1e-4, lora=5e-4/1e-3"), ["full", "lora", "sda"])
    assert [tried(mixed, arm, default=1.0) for arm in ("full", "lora")] == [(1e-4,), (5e-4, 1e-3)]
    assert tried(rates_of("lora=5e-4"), "full", default=1.0) == (1.0,)
    assert for_arms((1e-4,), ["full"]) == {OTHERS: (1e-4,)}
    with pytest.raises(BadInput, match="--rates fast: expected numbers"):
        rates_of("fast")
    with pytest.raises(BadInput, match="--rates: no arm is called 'loar'; did you mean 'lora'"):
        for_arms(rates_of("loar=1e-3"), ["full", "lora"])


def test_strategies_are_compared_on_pairs(person: Path, tmp_path: Path) -> None:
    rows = [row.rsplit(",", 1) for row in (person / "reviews.csv").read_text(encoding="utf-8").splitlines()[1:]]
    lines = ["text,other,label", *(f"the phone was,{text},{label}" for text, label in rows)]
    (tmp_path / "pairs.csv").write_text("\n".join(lines), encoding="utf-8")
    given: dict[str, Any] = {"seeds": 1, "changes": SMALL, "base": str(person / "base/model"), "pair_column": "other"}
    compare_strategies(["vote", "lora"], task=tmp_path / "pairs.csv", out=tmp_path / "run", **given)
    model = load(tmp_path / "run")
    assert model.pairs
    assert model(Pair("the phone was", "really great")).label in ("bad", "good")


@pytest.mark.parametrize("written", ["fgm: {size: 0.5}", "fgm: {size: 0.5, over: {sda: {}}}", "vote: {over: fgm}"])
def test_a_file_that_does_not_say_over_what_stands_over_the_recipe_s_as_a_name_does(
    written: str, tmp_path: Path
) -> None:
    (tmp_path / "own.yaml").write_text(written)
    full = Full(layer_decay=0.9)
    found = chosen(["fgm", str(tmp_path / "own.yaml")], full=full)
    stands = found["own"]
    while isinstance(stands, Over | Compound):
        stands = stands.over
    assert stands == full
    assert found["fgm"] == Fgm(over=full)


def test_a_file_that_says_over_what_is_taken_at_its_word(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("fgm: {size: 0.5, over: full}")
    assert chosen(["fgm", str(tmp_path / "own.yaml")], full=Full(layer_decay=0.9))["own"] == Fgm(size=0.5, over=Full())
