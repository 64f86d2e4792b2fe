"""One arm of a comparison: pre-trained under the budget, then fine-tuned; each run is made once and kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Annotated

from pydantic import Field

from quire.adapt.arms import ArmPlan
from quire.adapt.bench import Bench
from quire.adapt.calibrate import step_cost
from quire.adapt.settings import Budget
from quire.compare.health import HeldOutText, alarms
from quire.compare.settings import LEAST_FINETUNE
from quire.core.config import Settings, parse
from quire.core.random import seed_of
from quire.core.results import Cost, HeldOut, Pretrained, Run
from quire.nn.model import Model
from quire.predict import Predictor
from quire.pretrain import Material
from quire.text.shards import Entropies
from quire.train.log import cost_of
from quire.train.loop import Job, fit
from quire.train.safe import write_whole
from quire.train.weights import ModelFiles, read_model

MOMENTS = 8
"""How often held-out text is measured on the way."""
LOSS, FIGURE = "held_out_loss_", "held_out_figure_"
"""What those measurements are called in the log."""


class Plan(Settings):
    """What one arm may spend, and what an update of it costs here."""

    steps: Annotated[int, Field(gt=0)]
    tokens: float
    """Of an update."""
    flops: float
    seconds: float


@dataclass
class Contender:
    """One arm in the comparison's folder. `bench` carries its recipe; `held_out` is the text that no arm sees."""

    name: str
    bench: Bench
    held_out: Material
    budget: Budget

    @property
    def home(self) -> Path:
        return self.bench.folder / "arms" / self.name

    def job(self, seed: int) -> Job:
        """Pre-training with one seed."""
        return self.bench.material.job(steps=self.plan.steps, seed=self.bench.settings.seed + seed)

    @cached_property
    def plan(self) -> Plan:
        """The budget as updates, found once and kept, so that a resumed run trains as long as it had begun to."""
        path = self.home / "plan.json"
        if not path.exists():
            job = self.bench.material.job(steps=1, seed=self.bench.settings.seed)
            cost = step_cost(self.bench.material.model(job), job)
            tokens = job.tokens_an_update()
            price = {
                "tokens": tokens,
                "steps": 1.0,
                "seconds": cost.seconds,
                "flops": cost.flops * tokens / cost.tokens,
            }
            steps = max(round(self.budget.amount / price[self.budget.unit]), 1)
            self.home.mkdir(parents=True, exist_ok=True)
            plan = Plan(steps=steps, tokens=tokens, flops=price["flops"], seconds=cost.seconds)
            write_whole(path, plan.model_dump_json(indent=2))
        return parse(Plan, json.loads(path.read_text(encoding="utf-8")), where=str(path))

    @cached_property
    def watched(self) -> HeldOutText:
        """Held-out text as this arm sees it."""
        return HeldOutText(self.held_out.job(steps=1, seed=seed_of(self.bench.settings.seed, "held out") % 2**31))

    @cached_property
    def yardstick(self) -> Entropies:
        return self.held_out.shards.entropies()

    def pretrained(self, seed: int) -> Pretrained:
        """How the arm was pre-trained with this seed, now unless it stands already."""
        home = self.home / f"seed-{seed}"
        record = home / "pretrained.json"
        if not record.exists():
            self.bench.check_stop(f"{self.name}, seed {seed}")
            job, material = self.job(seed), self.bench.material
            model = material.model(job)
            start = moment(self._watch(model), step=0, tokens=0)
            log = fit(
                model,
                job,
                folder=home / "pretrain",
                title=f"{self.name}, seed {seed}",
                progress=self.bench.progress,
                stop=self.bench.stop,
                watch=lambda _: self._watch(model),
                watch_every=max(job.plan.steps // MOMENTS, 1),
                track=self.bench.track,
            )
            tokens = list(accumulate(row["tokens"] for row in log))
            later = [moment(row, step=row["step"], tokens=t) for row, t in zip(log, tokens, strict=True)]
            points = (start, *(point for point in later if point.losses))
            found = Pretrained(
                arm=self.name,
                seed=seed,
                cost=cost_of(log),
                flops=self.plan.flops / self.plan.tokens * tokens[-1],
                points=points,
                alarms=alarms(points[-1], self.yardstick),
            )
            material.save(model, home / "base", card=f"# {self.name}, pre-trained for a comparison\n")
            write_whole(record, found.model_dump_json())
            shutil.rmtree(home / "pretrain" / "checkpoints", ignore_errors=True)
        return parse(Pretrained, json.loads(record.read_text(encoding="utf-8")), where=str(record))

    def _watch(self, model: Model) -> dict[str, float]:
        losses, figures = self.watched.measured(model)
        return {LOSS + slot: loss for slot, loss in losses.items()} | {FIGURE + k: v for k, v in figures.items()}

    def body(self, seed: int) -> ModelFiles:
        """What was pre-trained to read."""
        self.pretrained(seed)
        return reading(read_model(self.home / f"seed-{seed}" / "base"))

    def arm(self, bench: Bench) -> ArmPlan:
        """The arm as a study knows it: what was pre-trained is fine-tuned on the labels of `bench`."""

        def train(_: Bench, seed: int, home: Path) -> tuple[Predictor, Run]:
            title = f"{self.name}, fine-tuned, seed {seed}"
            network, run = fine_tune(bench, self.body(seed), seed=seed, home=home, title=title)
            before = self.pretrained(seed).cost
            cost = Cost(
                seconds=run.cost.seconds + before.seconds,
                tokens=run.cost.tokens + before.tokens,
                steps=run.cost.steps + before.steps,
            )
            return network, run.model_copy(update={"cost": cost})

        recipe = self.bench.settings.recipe
        how = (
            f"{recipe.title} ({recipe.cite}) at a common size: pre-trained from nothing for "
            f"{self.plan.steps:,} updates with each seed, then all weights fitted to the labels."
        )
        return ArmPlan(self.name, self.name, how, train)


def moment(row: Mapping[str, float], *, step: int, tokens: int) -> HeldOut:
    """What a line of the log holds of held-out text."""
    losses = {key.removeprefix(LOSS): value for key, value in row.items() if key.startswith(LOSS)}
    figures = {key.removeprefix(FIGURE): value for key, value in row.items() if key.startswith(FIGURE)}
    return HeldOut(step=step, tokens=tokens, losses=losses, figures=figures)


def control(bench: Bench, name: str) -> ArmPlan:
    """The network of the arm called `name`, fine-tuned from random weights: what pre-training has to beat."""

    def train(_: Bench, seed: int, home: Path) -> tuple[Predictor, Run]:
        files = reading(bench.material.files)
        return fine_tune(bench, files, seed=seed, home=home, title=f"not pre-trained, seed {seed}")

    how = f"The network of {name} with random weights, fitted to the labels alone."
    return ArmPlan("scratch", "not pre-trained", how, train)


def reading(files: ModelFiles) -> ModelFiles:
    """The backbone alone, without the decoder that it may have: a classifier has nothing to write."""
    backbone = files.backbone.model_copy(update={"decoder": None})
    kept = {
        name: tensor
        for name, tensor in files.state.items()
        if name.startswith("backbone.") and not name.startswith("backbone.decoder.")
    }
    return ModelFiles(backbone, heads={}, state=kept)


def fine_tune(bench: Bench, files: ModelFiles, *, seed: int, home: Path, title: str) -> tuple[Predictor, Run]:
    """The same fine-tuning for every arm: some epochs, and so many updates at least."""
    batch = bench.finetune.train.batch
    steps = max(bench.finetune.epochs * -(-len(bench.task.train.records) // batch), LEAST_FINETUNE)
    return bench.fit_network(files, steps=steps, seed=seed, folder=home, title=title)
