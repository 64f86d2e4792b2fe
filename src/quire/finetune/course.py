"""One base learns one task, in one paradigm or another: what `quire finetune` does once, and a comparison often."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from quire.core.answers import Answer
from quire.core.config import Settings, parse
from quire.core.errors import BadInput
from quire.core.example import Example
from quire.core.heads import TokenHead
from quire.core.results import Cost, Run
from quire.core.spec import Count, Size
from quire.marking import METRICS, figures
from quire.nn.model import Model
from quire.objectives.mlm import Mlm
from quire.paradigms import Paradigm
from quire.predict.solver import Solver, Solving
from quire.text.asked import Asked, fingerprint
from quire.text.cut import Cut
from quire.text.problems import Problem, items
from quire.train.feed import Fixed
from quire.train.log import cost_of, curve_of
from quire.train.loop import Job, fit, planned
from quire.train.optim import TrainPlan
from quire.train.progress import Progress, Silent
from quire.train.signals import StopRequest
from quire.train.start import Base, started
from quire.train.weights import ModelFiles
from quire.tuning import Strategy
from quire.tuning.full import Full
from quire.tuning.head import Head

MEASURED = 4
"""How often dev is measured in a run."""


class How(Settings):
    """How a task is learnt, whatever the paradigm."""

    train: TrainPlan
    """Its `steps` follow from the epochs, or from what a comparison gives to all."""
    strategy: Strategy = Full()
    epochs: Size = 3
    length: Size = 128
    """Tokens of an example, special ones included."""
    cut: Cut = "head"
    head_steps: Count = 300
    """Updates of masked language modelling on the training texts, for a head over the vocabulary that a paradigm wants
    and the base lacks: of the head alone, before anything else."""


@dataclass(frozen=True)
class Learnt:
    """A solver that has learnt, how it went, and the training problems that its form cannot hold."""

    solver: Solver
    run: Run
    lost: Sequence[str]
    examples: float
    """That a problem makes, on the average."""
    head: Cost
    """What of the run's cost went into a head over the vocabulary, before anything else."""


@dataclass(frozen=True)
class Commons:
    """What is learnt once for several runs: heads over the vocabulary, from the text of all training problems."""

    asked: Asked
    folder: Path
    runs: int
    """That share what it cost."""


@dataclass
class Course:
    """The data, the base and the way."""

    asked: Asked
    base: Base
    how: How
    progress: Progress = field(default_factory=Silent)
    stop: StopRequest | None = None
    track: bool = False
    commons: Commons | None = None
    """What several runs have in common, where this is one of them."""
    metric: str = ""
    """What decides; without, the first of the task."""
    began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.metric = self.metric or METRICS[self.asked.task][0]

    def elapsed(self) -> float:
        """Seconds since this process took up the work."""
        return time.perf_counter() - self.began

    def score(self, problems: Sequence[Problem], found: Sequence[Answer]) -> float:
        """The metric that decides, 0 to 1."""
        return figures(self.asked.task, problems, found)[self.metric]

    def solver(self, paradigm: Paradigm, model: Model) -> Solver:
        """A model under a paradigm, reading as this course does."""
        how = {"paradigm": paradigm, "length": self.how.length, "cut": self.how.cut}
        pairs = len(self.asked.train[0].texts) == 2
        plan = parse(Solving, {"task": self.asked.task, "pairs": pairs, **how}, where="finetune")
        return Solver(model, self.base.tokenizer, plan)

    def begun(self, paradigm: Paradigm, files: ModelFiles, *, seed: int) -> Solver:
        """One that has not learnt; BadInput where the paradigm cannot stand on this base, or the base is too short."""
        if self.how.length > files.backbone.positions:
            raise BadInput(f"length {self.how.length}: the base has {files.backbone.positions} positions; take fewer")
        world = self.base.tokenizer.world(length=self.how.length)
        try:
            paradigm.parts(files.backbone, world)
        except BadInput as error:
            raise BadInput(f"paradigm {paradigm.name()}: {error}") from error
        parts = planned([paradigm], files.backbone, world)
        return self.solver(paradigm, started(files, parts, seed=seed))

    def check(self, paradigm: Paradigm, *, draws: Sequence[Sequence[Problem]] = ()) -> None:
        """BadInput for whatever `learn` would refuse, before anything stands: of all training problems, or of draws."""
        solver = self.begun(paradigm, self.base.files, seed=0)
        examples: list[Example] = []
        for problems in draws or [self.asked.train]:  # most often the first can be held
            examples = next((made for p in problems if (made := solver.examples([p])[0])), [])
            examples = examples or _learnable(solver, problems)[0]
        plan = TrainPlan(steps=1, batch=1, lr=1e-5, warmup=0)
        fit(solver.model, Job(Fixed(examples, "tried"), (paradigm,), solver.world, plan, self.how.strategy))

    @property
    def epochs(self) -> int:
        """Updates in the epochs of this course: a paradigm with several examples of a problem makes no more."""
        return self.how.epochs * -(-len(self.asked.train) // self.how.train.batch)

    def learn(
        self,
        paradigm: Paradigm,
        *,
        seed: int,
        folder: Path,
        title: str,
        updates: Callable[[Job, int], int] = lambda job, epochs: epochs,
    ) -> Learnt:
        """Learn the training problems in `folder`, which goes on where it was stopped.

        `updates` may change how many there are, from the job and those of the epochs. A batch counts problems: where
        one makes several examples, an update has them all.
        """
        files, before = self._with_heads(paradigm, self.commons.folder if self.commons else folder / "heads", title)
        solver = self.begun(paradigm, files, seed=seed)
        examples, lost = _learnable(solver, self.asked.train)
        several = len(examples) / (len(self.asked.train) - len(lost))
        batch = max(round(self.how.train.batch * several), 1)
        plan = self.how.train.model_copy(update={"steps": self.epochs, "batch": batch})
        data = f"{fingerprint(self.asked.train)}/{self.base.tokenizer.fingerprint}/{self.how.length}/{self.how.cut}"
        job = Job(Fixed(examples, data), (paradigm,), solver.world, plan, self.how.strategy, seed)
        plan = plan.model_copy(update={"steps": updates(job, plan.steps)})
        job = replace(job, plan=plan)
        dev = f"dev_{self.metric}"
        log = fit(
            solver.model,
            job,
            folder=folder,
            title=title,
            progress=self.progress,
            stop=self.stop,
            watch=lambda _: {dev: self.score(self.asked.dev, solver.answers(self.asked.dev))},
            watch_every=max(plan.steps // MEASURED, 1),
            track=self.track,
        )
        tuned = self.solver(self._tuned(solver), solver.model)
        cost = cost_of(log)
        total = Cost(
            seconds=cost.seconds + before.seconds, tokens=cost.tokens + before.tokens, steps=cost.steps + before.steps
        )
        found = self.score(self.asked.dev, tuned.answers(self.asked.dev))
        return Learnt(tuned, Run(dev=found, cost=total, curve=curve_of(log, dev=dev)), lost, several, before)

    def _tuned(self, solver: Solver) -> Paradigm:
        """The paradigm with what it chooses on dev: a threshold, where it has one."""
        said = solver.said(self.asked.dev)
        known = [(item, problem.answer, of) for problem, (item, of) in zip(self.asked.dev, said, strict=True)]
        return solver.paradigm.tuned(known, solver.world)

    def _with_heads(self, paradigm: Paradigm, folder: Path, title: str) -> tuple[ModelFiles, Cost]:
        """The base with every head over the vocabulary that this paradigm wants, learnt if it was not there."""
        files, world = self.base.files, self.base.tokenizer.world(length=self.how.length)
        wanted = paradigm.parts(files.backbone, world)
        lacking = {s: p for s, p in wanted.items() if isinstance(p, TokenHead) and s not in files.heads}
        if not lacking or not self.how.head_steps:
            return files, Cost()
        [(slot, head)] = lacking.items()
        objective = Mlm(slot=slot)
        model = started(files, {slot: head}, seed=0)
        plan = TrainPlan(steps=self.how.head_steps, batch=32, lr=1e-3, checkpoint_every=100, keep=1)
        told = f"{fingerprint(self._read)}/{self.base.tokenizer.fingerprint}/{self.how.length}/text"
        folder /= f"{slot}-{hashlib.sha256(f'{told}/{head!r}/{plan!r}'.encode()).hexdigest()[:12]}"
        job = Job(Fixed(self._texts, told), (objective,), world, plan, Head())
        title = f"{'All' if self.commons else title}: a head over the vocabulary"
        log = fit(model, job, folder=folder, title=title, progress=self.progress, stop=self.stop)
        state = {**files.state, **model.state_dict()}
        cost = cost_of(log).shared(self.commons.runs if self.commons else 1)
        return replace(files, heads={**files.heads, slot: head}, state=state), cost

    @property
    def _read(self) -> Sequence[Problem]:
        """The problems whose text a head over the vocabulary learns from."""
        return self.commons.asked.train if self.commons else self.asked.train

    @cached_property
    def _texts(self) -> list[Example]:
        """The training texts as they stand, for masked language modelling."""
        vocab, room = self.base.tokenizer.vocab, self.how.length - 2
        found = [passage for item in items(self._read, self.base.tokenizer) for passage in item.passages]
        return [Example.of(vocab, passage[:room]) for passage in found if len(passage)]


def _learnable(solver: Solver, problems: Sequence[Problem]) -> tuple[list[Example], list[str]]:
    """What is learnt from, and what cannot be; BadInput where nothing can."""
    examples, lost = solver.examples(problems)
    if not examples:
        form = solver.paradigm.name()
        raise BadInput(f"paradigm {form}: can hold no training answer; the first, {lost[0]}; take another paradigm")
    return examples, lost
