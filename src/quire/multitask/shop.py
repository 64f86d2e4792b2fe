"""The workshop of one arm: its tokenizer, the tasks as examples, and how a network is fitted to some of them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from quire.adapt.task import Part, Task
from quire.core.errors import Stopped
from quire.core.example import World
from quire.core.results import Cost
from quire.judge import score
from quire.multitask.settings import SharingSettings
from quire.multitask.tasks import training_texts
from quire.nn.model import Model
from quire.paradigms.classify import Classify
from quire.predict.encode import encode
from quire.pretrain import Material
from quire.recipe import FineTune, Recipe
from quire.train import tasks as turns
from quire.train.evaluate import predict
from quire.train.feed import Fixed
from quire.train.keeper import Keeper
from quire.train.log import cost_of
from quire.train.loop import Job, fit, planned
from quire.train.progress import Progress, Silent
from quire.train.signals import StopRequest
from quire.train.start import started
from quire.train.weights import ModelFiles


@dataclass
class Shop:
    """What one arm works with; `tasks` by name."""

    arm: str
    recipe: Recipe
    settings: SharingSettings
    tasks: Mapping[str, Task]
    folder: Path
    progress: Progress = field(default_factory=Silent)
    stop: StopRequest = field(default_factory=StopRequest)
    track: bool = False

    @cached_property
    def material(self) -> Material:
        """Tokenizer, start and corpus, which are the training texts of all tasks."""
        home = self.folder / "arms" / self.arm
        home.mkdir(parents=True, exist_ok=True)
        return Material(self.recipe, home, lambda: training_texts(self.tasks), self.progress)

    @property
    def how(self) -> FineTune:
        """How labels are learnt."""
        assert self.recipe.finetune  # `chosen` checks it
        return self.recipe.finetune

    @cached_property
    def asks(self) -> dict[str, Classify]:
        """What is asked of each task's texts."""
        return {name: self.how.classify(task.labels, slot=f"task_{name}") for name, task in self.tasks.items()}

    @cached_property
    def world(self) -> World:
        return World(self.material.tokenizer.vocab, length=self.recipe.data.length)

    @cached_property
    def train(self) -> dict[str, turns.Task]:
        """The training texts of each task."""
        return {
            name: turns.Task(name, self.labelled(name, t.train), (self.asks[name],)) for name, t in self.tasks.items()
        }

    @cached_property
    def dev(self) -> dict[str, Fixed]:
        return {name: self.labelled(name, task.dev) for name, task in self.tasks.items()}

    def labelled(self, name: str, part: Part) -> Fixed:
        """A split as examples with answers."""
        data, tokenizer = self.recipe.data, self.material.tokenizer
        ask = self.asks[name]
        examples = encode(ask, tokenizer, part.texts, length=data.length, how=data.cut, labels=part.labels)
        return Fixed(examples, f"{part.sha256}/{tokenizer.fingerprint}/{data.length}/{data.cut}")

    def steps(self, name: str, epochs: int) -> int:
        """Updates that go so often through the training texts of a task."""
        return epochs * -(-len(self.train[name].examples) // self.how.train.batch)

    def job(self, names: Sequence[str], *, seed: int, epochs: int, rate: float = 1.0) -> Job:
        """Learning the labels of these tasks, which take turns where they are several."""
        steps = sum(self.steps(name, epochs) for name in names)
        plan = self.how.train.model_copy(update={"steps": steps, "lr": self.how.train.lr * rate})
        chosen = tuple(self.train[name] for name in names)
        examples = turns.Tasks(chosen, self.how.sampling) if len(chosen) > 1 else chosen[0].examples
        objectives = tuple(self.asks[name] for name in names)
        return Job(examples, objectives, self.world, plan, self.how.strategy, self.settings.seed + seed)

    def network(self, files: ModelFiles, names: Sequence[str], *, seed: int) -> Model:
        """The body of `files` under the heads of these tasks, which begin anew where the files have none."""
        parts = planned([self.asks[name] for name in names], files.backbone, self.world)
        return started(files, parts, seed=self.settings.seed + seed)

    def fitted(self, names: Sequence[str], files: ModelFiles, job: Job, home: Path, *, title: str, epochs: int) -> Cost:
        """Train from `files`; each task's best moment on dev, one an epoch, stays in `home` (see `Keeper`)."""
        if self.stop:
            raise Stopped(f"stopped by {self.stop.reason} before {title}; the same command goes on")
        model = self.network(files, names, seed=job.seed - self.settings.seed)
        heads = {name: self.asks[name].slot for name in names}
        keeper = Keeper(model, home, lambda: {name: self.score(model, name) for name in names}, heads=heads)
        if not keeper.best and any(weight.startswith("heads.") for weight in files.state):
            keeper(0)  # what was learnt before may be the best
        log = fit(
            model,
            job,
            folder=home / "run",
            title=title,
            progress=self.progress,
            stop=self.stop,
            watch=keeper,
            watch_every=max(job.plan.steps // epochs, 1),
            track=self.track,
        )
        shutil.rmtree(home / "run" / "checkpoints", ignore_errors=True)
        return cost_of(log)

    def score(self, model: Model, name: str) -> float:
        """The metric on dev, 0 to 1."""
        predicted = predict(model, self.asks[name], self.dev[name].examples).argmax(axis=1)
        return score(self.tasks[name].dev.answers(self.tasks[name].labels), predicted, metric=self.settings.metric)
