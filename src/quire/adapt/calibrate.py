"""How fast this machine trains this base on these texts: a few steps of each kind, before anything is promised."""

from __future__ import annotations

from typing import NamedTuple

import torch

from quire.adapt.bench import Bench
from quire.adapt.spending import Speeds, Spending, plan, seconds_of
from quire.core.heads import MOST
from quire.nn.model import Model, Packed, Step
from quire.predict.network import Network
from quire.train.loop import Job
from quire.train.machine import counted
from quire.train.optim import Optimizer
from quire.train.safe import write_whole

SAMPLE = 48
"""Texts that a pass is timed on."""


def spend(bench: Bench, *, trained_arms: int) -> Spending:
    """Turn the budget into steps and write the plan to the run folder; a plan that stands there is kept."""
    path = bench.folder / "spending.json"
    if not path.exists():
        bench.progress.say("Measuring the speed of this machine")
        train = bench.finetune_job(steps=1, seed=bench.settings.seed)
        speeds = measured(bench, train)
        epoch = -(-len(train.examples) // train.plan.batch)
        found = plan(
            bench.settings.budget,
            speeds,
            seeds=bench.settings.seeds,
            epoch=epoch,
            epochs=bench.finetune.epochs,
            arms=trained_arms,
            spent=bench.clock.elapsed(),
        )
        write_whole(path, found.model_dump_json(indent=2))
        bench.note("budget", {"statement": found.statement})
    bench.progress.say(f"Budget: {bench.spending.statement}")
    return bench.spending


def measured(bench: Bench, finetune: Job) -> Speeds:
    """Seconds and tokens of a step of either kind, and of passes over dev and test."""
    pretrain = bench.material.job(steps=1, seed=bench.settings.seed)
    finetuning = step_cost(bench.material.model(finetune), finetune)
    pretraining = step_cost(bench.material.model(pretrain), pretrain)
    per_character = _seconds_per_character(bench)
    return Speeds(
        finetune_step=finetuning.seconds,
        pretrain_step=pretraining.seconds,
        finetune_tokens=finetuning.tokens,
        pretrain_tokens=pretraining.tokens,
        dev_pass=per_character * _characters(bench, bench.task.dev.texts),
        test_pass=per_character * _characters(bench, bench.task.test.texts),
    )


class StepCost(NamedTuple):
    """What one update costs, the mean over some of them; seconds are the median."""

    seconds: float
    tokens: float
    flops: float


def step_cost(model: Model, job: Job) -> StepCost:
    """The cost of an update of `job`, from a few that are made with `model`, whose weights they change."""
    model.train()
    feed = job.feed()
    optimizer = Optimizer(job.strategy.groups(model), job.plan)
    tokens: list[int] = []

    def step(t: int) -> None:
        for batch in feed.at(t, parts=job.plan.accumulate):
            made = Step(model, Packed(batch))
            torch.stack([objective.loss(made) for objective in job.objectives]).sum().backward()  # type: ignore[no-untyped-call]
            tokens.append(batch.size)
        optimizer.step(0)

    with torch.random.fork_rng(devices=[]):
        _, flops = counted(lambda: step(0))
        first = sum(tokens)
        seconds = seconds_of(step)
    return StepCost(seconds, sum(tokens[len(tokens) // 5 :]) / 4, flops * sum(tokens) / 5 / first)


def _seconds_per_character(bench: Bench) -> float:
    """Of a forward pass, tokenising included; characters beyond the cut are not read."""
    model = bench.material.model(bench.finetune_job(steps=1, seed=0))
    network = Network(model, bench.classify, bench.tokenizer, length=bench.length, how=bench.settings.recipe.data.cut)
    texts = (bench.task.train.texts * SAMPLE)[:SAMPLE]
    return seconds_of(lambda _: network.probabilities(texts), times=1) / _characters(bench, texts)


def _characters(bench: Bench, texts: list[str]) -> int:
    """Characters up to about where a text is cut."""
    most = bench.length * 5 * (MOST if bench.settings.recipe.data.cut == "windows" else 1)
    return max(sum(min(len(text), most) for text in texts), 1)
