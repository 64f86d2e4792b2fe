"""The arms: ways to get a classifier from the same text and labels, from nothing to further pre-training.

An arm trains one seed at a time into `arms/<name>/seed-<k>/`; a finished run is not made again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quire.adapt.bench import Bench, timed
from quire.adapt.further import cost_of_going_on, gone_on, points_of_going_on
from quire.core.config import parse
from quire.core.results import Cost, Pretraining, Run
from quire.predict import Predictor
from quire.predict.features import Features
from quire.predict.linear import best_regression
from quire.predict.majority import Majority
from quire.predict.tfidf import TfIdf
from quire.train.safe import write_whole
from quire.train.start import started
from quire.train.weights import ModelFiles

RESULT, MEMBERS = "result.json", "members"
"""What a finished run leaves, and where one that is made of several has those until then."""
CORPUS_SAMPLE = 5_000
"""Documents of the corpus that the tf-idf arm counts words in."""


@dataclass(frozen=True)
class ArmPlan:
    """One arm: what a person reads of it, and how a run is trained. Seeds change nothing in a `fixed` arm."""

    name: str
    title: str
    how: str
    train: Callable[[Bench, int, Path], tuple[Predictor, Run]]
    fixed: bool = False


def arms(bench: Bench) -> tuple[ArmPlan, ...]:
    """The arms of a job; without a base there are no features to freeze."""
    base = bench.settings.recipe.base
    start = "the base" if base else "random weights"
    named = f"The base ({base})" if base else "A small network with random weights"
    found = [
        ArmPlan("majority", "Majority class", "Always the most frequent label.", _majority, fixed=True),
        ArmPlan(
            "tfidf",
            "TF-IDF + logistic regression",
            "Words and word pairs (in Chinese runs of characters) weighed by tf-idf; penalty chosen on dev.",
            _tfidf,
            fixed=True,
        ),
        ArmPlan(
            "features",
            "Frozen features + logistic regression",
            f"{named} as it came, mean-pooled; only a linear layer is fitted, its penalty chosen on dev.",
            _features,
            fixed=True,
        ),
        ArmPlan("finetuned", "Fine-tuned", f"{named}, all weights fitted to the labels.", _finetuned),
        ArmPlan(
            "adapted",
            "Further pre-trained, then fine-tuned" if base else "Pre-trained on your text, then fine-tuned",
            f"From {start}: masked language modelling on your text, once for all seeds, then fitted to the labels.",
            _adapted,
        ),
    ]
    return tuple(plan for plan in found if base or plan.name != "features")


def run_folder(bench: Bench, plan: ArmPlan, seed: int) -> Path:
    return bench.folder / "arms" / plan.name / f"seed-{0 if plan.fixed else seed}"


def trained(bench: Bench, plan: ArmPlan, seed: int) -> Run:
    """The run of this arm and seed, trained now unless it stands already."""
    home = run_folder(bench, plan, seed)
    stood = (home / RESULT).exists()
    if not stood:
        bench.check_stop(f"{plan.title}, seed {seed}")

    def train() -> tuple[Predictor, Run]:
        predictor, run = plan.train(bench, seed, home)
        predictor.pairs = bench.task.pairs
        return predictor, run

    run = kept(home, train)
    if not stood:
        bench.note("trained", {"arm": plan.name, "seed": seed, "dev": run.dev, **run.cost.model_dump()})
    return run


def kept(home: Path, train: Callable[[], tuple[Predictor, Run]]) -> Run:
    """The run in this folder, made now unless it stands already; `model` beside it is its predictor."""
    result = home / RESULT
    if not result.exists():
        home.mkdir(parents=True, exist_ok=True)
        predictor, run = train()
        predictor.save(home / "model")
        write_whole(result, run.model_dump_json())
        for part in ("checkpoints", MEMBERS):
            shutil.rmtree(home / part, ignore_errors=True)
    return parse(Run, json.loads(result.read_text(encoding="utf-8")), where=str(result))


def _majority(bench: Bench, seed: int, home: Path) -> tuple[Predictor, Run]:
    predictor, seconds = timed(lambda: Majority.fit(bench.task.labels, bench.task.train.labels))
    return predictor, Run(dev=bench.dev_score(predictor), cost=Cost(seconds=seconds))


def _tfidf(bench: Bench, seed: int, home: Path) -> tuple[Predictor, Run]:
    train, dev, labels = bench.task.train, bench.task.dev, bench.task.labels
    corpus = (text for _, text in zip(range(CORPUS_SAMPLE), bench.task.corpus_texts(), strict=False))
    predictor, seconds = timed(
        lambda: TfIdf.fit(
            labels,
            (train.texts, train.answers(labels)),
            (dev.texts, dev.answers(labels)),
            corpus=corpus,
            seed=bench.settings.seed,
        )
    )
    return predictor, Run(dev=bench.dev_score(predictor), cost=Cost(seconds=seconds))


def _features(bench: Bench, seed: int, home: Path) -> tuple[Predictor, Run]:
    how, labels, tokenizer = bench.settings.recipe.data.cut, bench.task.labels, bench.tokenizer
    model = started(bench.material.files, {}, seed=seed)

    def fitted() -> Features:
        rows = {
            part.name: Features.features(model, tokenizer, part.texts, length=bench.length, how=how)
            for part in (bench.task.train, bench.task.dev)
        }
        train, dev = ((rows[p.name], p.answers(labels)) for p in (bench.task.train, bench.task.dev))
        linear = best_regression(train, dev, len(labels), seed=bench.settings.seed)
        return Features(model, tokenizer, linear, labels, length=bench.length, how=how)

    predictor, seconds = timed(fitted)
    return predictor, Run(dev=bench.dev_score(predictor), cost=Cost(seconds=seconds))


def _finetuned(bench: Bench, seed: int, home: Path) -> tuple[Predictor, Run]:
    title = f"Fine-tuned, seed {seed}"
    return bench.fit_network(bench.material.files, steps=bench.spending.direct, seed=seed, folder=home, title=title)


def _adapted(bench: Bench, seed: int, home: Path) -> tuple[Predictor, Run]:
    files = adapted_base(bench)
    title = f"Pre-trained + fine-tuned, seed {seed}"
    network, run = bench.fit_network(files, steps=bench.spending.adapted, seed=seed, folder=home, title=title)
    cost = run.cost + cost_of_going_on(_home(bench)).shared(bench.settings.seeds)
    return network, run.model_copy(update={"cost": cost})


def adapted_base(bench: Bench) -> ModelFiles:
    """The base after masked language modelling on the corpus, kept as a model folder of its own."""
    steps, domain = bench.spending.pretrain, bench.settings.title or "a private corpus"
    return gone_on(bench, bench.material, _home(bench), steps=steps, title="Masked language modelling", domain=domain)


def pretraining_facts(bench: Bench) -> Pretraining:
    """The loss curve with the yardsticks of the corpus."""
    shards = bench.material.shards
    entropies = shards.entropies()
    return Pretraining(
        points=points_of_going_on(_home(bench)),
        unigram=entropies.unigram,
        bigram=entropies.bigram,
        most_frequent=entropies.floor,
        corpus_tokens=len(shards),
        text="training",
    )


def _home(bench: Bench) -> Path:
    return bench.folder / "arms" / "adapted"
