"""The workbench that the arms share: settings, data, where they start from, and how a network is fitted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from quire.adapt.settings import AdaptSettings
from quire.adapt.spending import Spending
from quire.adapt.task import Part, Task, warnings
from quire.core.config import parse
from quire.core.errors import Stopped
from quire.core.example import World
from quire.core.results import Run
from quire.judge import score
from quire.paradigms.classify import Classify
from quire.predict import Predictor
from quire.predict.encode import encode
from quire.predict.network import Network
from quire.pretrain import SPECIALS, Material
from quire.recipe import FineTune
from quire.text.grow import unread
from quire.text.tokenizers import Tokenizer
from quire.train.feed import Fixed
from quire.train.folder import Clock
from quire.train.log import Log, cost_of, curve_of
from quire.train.loop import Job, fit
from quire.train.progress import Progress, Silent
from quire.train.signals import StopRequest
from quire.train.start import started
from quire.train.weights import ModelFiles


@dataclass
class Bench:
    """What one job works with."""

    settings: AdaptSettings
    task: Task
    folder: Path
    progress: Progress = field(default_factory=Silent)
    stop: StopRequest = field(default_factory=StopRequest)
    track: bool = False
    clock: Clock = field(default_factory=Clock)

    def check_stop(self, doing: str) -> None:
        """Between two steps of the job: raise Stopped when a signal asked for it."""
        if self.stop:
            raise Stopped(f"stopped by {self.stop.reason} before {doing}; the same command goes on")

    @property
    def finetune(self) -> FineTune:
        """How the recipe wants the labels learnt."""
        assert self.settings.recipe.finetune  # AdaptSettings checks it
        return self.settings.recipe.finetune

    @property
    def length(self) -> int:
        return self.settings.recipe.data.length

    @cached_property
    def classify(self) -> Classify:
        return self.finetune.classify(self.task.labels)

    @cached_property
    def material(self) -> Material:
        """Base, tokenizer and corpus: the training text and --corpus, without held-out text."""
        return Material(self.settings.recipe, self.folder, self.task.corpus_texts, self.progress)

    @property
    def tokenizer(self) -> Tokenizer:
        return self.material.tokenizer

    @cached_property
    def unread(self) -> tuple[str, ...]:
        """A warning where the base's vocabulary lacks much of the training text."""
        base = self.settings.recipe.base
        found = unread(self.tokenizer, self.task.train.texts, base=base) if base else None
        return (found,) if found else ()

    def warn(self) -> None:
        """Say what a person should know before the scores."""
        for warning in (*warnings(self.task), *self.unread):
            self.progress.say(f"Warning: {warning}")

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of every labelled text, special ones included, before anything is cut."""
        special = SPECIALS["sentence-pairs" if self.task.pairs else "documents"]
        texts = [text for part in (self.task.train, self.task.dev, self.task.test) for text in part.texts]
        return [len(passage) + special for passage in self.tokenizer.encode(texts)]

    @property
    def truncated(self) -> float:
        """Share of labelled texts that are longer than what is read."""
        return sum(length > self.length for length in self.lengths) / len(self.lengths)

    def labelled(self, part: Part) -> Fixed:
        """A split as examples with answers."""
        how = self.settings.recipe.data.cut
        examples = encode(self.classify, self.tokenizer, part.texts, length=self.length, how=how, labels=part.labels)
        return Fixed(examples, f"{part.sha256}/{self.tokenizer.fingerprint}/{self.length}/{how}")

    def finetune_job(self, *, steps: int, seed: int) -> Job:
        """Fine-tuning on the training labels."""
        plan = self.finetune.train.model_copy(update={"steps": steps})
        world = World(self.tokenizer.vocab)
        return Job(self.labelled(self.task.train), (self.classify,), world, plan, self.finetune.strategy, seed)

    def fit_network(
        self, files: ModelFiles, *, steps: int, seed: int, folder: Path, title: str, drawn: int | None = None
    ) -> tuple[Network, Run]:
        """Fine-tune from `files` and score on dev; `drawn` is the seed of fresh weights where it is another.

        Both are counted from the seed of the settings.
        """
        first = self.settings.seed
        job = self.finetune_job(steps=steps, seed=first + seed)
        fresh = first + (seed if drawn is None else drawn)
        model = started(files, self.classify.parts(files.backbone, job.world), seed=fresh)
        network = Network(model, self.classify, self.tokenizer, length=self.length, how=self.settings.recipe.data.cut)
        metric = self.settings.metric
        log = fit(
            model,
            job,
            folder=folder,
            title=title,
            progress=self.progress,
            stop=self.stop,
            watch=lambda step: {f"dev_{metric}": self.dev_score(network)},
            watch_every=max(steps // 4, 1),
            track=self.track,
        )
        return network, Run(
            dev=float(log[-1][f"dev_{metric}"]), cost=cost_of(log), curve=curve_of(log, dev=f"dev_{metric}")
        )

    def over(self, task: Task, folder: Path) -> Bench:
        """The same over other labels and another folder, on the same material."""
        made = replace(self, task=task, folder=folder)
        made.material = self.material
        return made

    def dev_score(self, predictor: Predictor) -> float:
        """The job's metric on dev, 0 to 1."""
        truth = self.task.dev.answers(self.task.labels)
        predicted = predictor.probabilities(self.task.dev.texts).argmax(axis=1)
        return score(truth, predicted, metric=self.settings.metric)

    @cached_property
    def spending(self) -> Spending:
        """The plan of the budget, made at the first call of the job and read back when it goes on."""
        path = self.folder / "spending.json"
        return parse(Spending, json.loads(path.read_text(encoding="utf-8")), where=str(path))

    def note(self, event: str, facts: Mapping[str, Any]) -> None:
        """A line in the job's log; the time so far is kept beside it."""
        self.clock.keep()
        Log(self.folder / "log.jsonl").write({"event": event, "time": round(time.time(), 3), **facts})


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` gives, and its seconds."""
    begin = time.perf_counter()
    return work(), time.perf_counter() - begin
