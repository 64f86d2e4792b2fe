"""The loop: one for pre-training and fine-tuning.

Update t is a function of (seed, t) and the state before it: the batch comes from the feed, dropout from a seed drawn
for t. So a run that is stopped and goes on gives the same weights, bit for bit, as one that was never disturbed.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from quire.core.errors import BadInput, Diverged, Stopped
from quire.core.example import IGNORE, Batch, World
from quire.core.heads import Parts
from quire.core.random import seed_of
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.objectives import Objective
from quire.train import checkpoint
from quire.train.feed import Examples, Feed
from quire.train.log import Events, Log
from quire.train.machine import counted, matrix_peak, threads_for
from quire.train.optim import Optimizer, TrainPlan
from quire.train.progress import Progress, Silent
from quire.train.rows import by_rows
from quire.train.signals import StopRequest
from quire.train.tasks import Tasks, Turns
from quire.train.team import Team
from quire.tuning import Strategy
from quire.tuning.full import Full

ALONE = Team()
LOOKED_AT = 50
"""Updates whose tokens are counted to turn a budget of tokens into updates."""


@dataclass(frozen=True)
class Job:
    """Everything that decides what a run computes. The objectives of `Tasks` are those of all of them."""

    examples: Examples
    objectives: tuple[Objective, ...]
    world: World
    plan: TrainPlan
    strategy: Strategy = field(default_factory=Full)
    seed: int = 0

    def feed(self, *, batch: int | None = None) -> Feed | Turns:
        """Its batches by update, of the plan's size or another."""
        size = batch or self.plan.batch
        if isinstance(self.examples, Tasks):
            return self.examples.turns(self.world, batch=size, steps=self.plan.steps, seed=self.seed)
        return Feed(self.examples, self.objectives, self.world, batch=size, seed=self.seed)

    def tokens_an_update(self) -> float:
        """The mean over some updates, of all that is read and written."""
        feed = self.feed()
        return sum(batch.size for t in range(LOOKED_AT) for batch in feed.at(t)) / LOOKED_AT

    def identity(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to go on: the data, the settings and the seed."""
        return {
            "data": self.examples.fingerprint,
            "objectives": [o.model_dump(mode="json") for o in self.objectives],
            "plan": self.plan.model_dump(mode="json", exclude={"checkpoint_every", "keep"}),
            "strategy": self.strategy.model_dump(mode="json"),
            "seed": self.seed,
        }


def planned(objectives: Sequence[Objective], backbone: Backbone, world: World) -> Parts:
    """The heads and bodies that the objectives ask for, or why they cannot work together: before anything is built."""
    parts: Parts = {}
    slots: set[str] = set()
    for number, objective in enumerate(objectives):
        where = f"objectives.{number}.{objective.name()}"
        if objective.slot in slots:
            raise BadInput(f"{where}: another objective asks in the slot {objective.slot!r}; give this one a `slot`")
        slots.add(objective.slot)
        try:
            wanted = objective.parts(backbone, world)
        except BadInput as error:
            raise BadInput(f"{where}: {error}") from error
        for name, spec in wanted.items():
            if parts.setdefault(name, spec) != spec:
                raise BadInput(f"{where}: wants a part named {name!r} as {spec}, another as {parts[name]}; rename one")
    return parts


def rehearse(job: Job) -> None:
    """Make one small batch: what an objective refuses only when it meets an example is refused before training."""
    job.feed(batch=2).rehearse()


def fit(
    model: Model,
    job: Job,
    *,
    folder: Path | None = None,
    title: str = "train",
    progress: Progress | None = None,
    stop: StopRequest | None = None,
    watch: Callable[[int], Mapping[str, float]] | None = None,
    watch_every: int = 0,
    track: bool = False,
    team: Team = ALONE,
) -> list[dict[str, Any]]:
    """Train `model` in place for `job.plan.steps` updates and return the log.

    With a `folder`, checkpoints and `log.jsonl` are kept there, and a folder with a checkpoint of the same job goes on
    from it. `watch(step)` gives figures for the log every `watch_every` updates and at the end.
    `track` also writes TensorBoard events to the folder. A `team` makes each update together; only its leader watches
    and writes, and what objectives note of their losses is of his share.
    Raises Stopped when `stop` was requested (state saved) and Diverged when the loss is not finite.
    """
    progress = (progress if team.leads else None) or Silent()
    with threads_for(model.spec), torch.random.fork_rng(devices=[]), _tables(model, job, team):
        run = _Run(model, job, folder, team, track=track)
        start = run.resume()
        if start < job.plan.steps:
            run.price(start)
        progress.start(title, job.plan.steps, start)
        for t in range(start, job.plan.steps):
            record = run.update(t)
            done, stopping = t + 1, run.agreed(bool(stop))  # asked once: a signal after this is for the next step
            if watch and team.leads and (done == job.plan.steps or (watch_every and done % watch_every == 0)):
                with job.strategy.kept(model):
                    record |= watch(done)
            run.note(record)
            progress.update(done, _figures(record))
            if folder and team.leads and (stopping or job.plan.saves_after(done)):
                run.save(done)
            if stopping and done < job.plan.steps:
                team.wait()  # torchrun ends the leader when another leaves: not before the state is saved
                where = f"; state saved in {folder}, the same command goes on" if folder else ""
                reason = stop.reason if stop else "another process of the team"
                raise Stopped(f"{title}: stopped by {reason} after step {done}{where}")
    job.strategy.finish(model)
    model.eval()
    return run.records


def _tables(model: Model, job: Job, team: Team) -> AbstractContextManager[None]:
    """By rows where that is quicker: a team adds matrices, and on a GPU the rows would be waited for."""
    adagrad = job.plan.optimizer == "adagrad"
    if adagrad and team.size > 1:
        raise BadInput("train.optimizer: adagrad has gradients of rows, which a team cannot add; take one process")
    on_cpu = next(model.parameters()).device.type == "cpu"
    return by_rows(model) if adagrad or (on_cpu and team.size == 1) else nullcontext()


@dataclass
class _Told:
    """What is logged of one micro-batch: its losses by slot, and figures by name."""

    losses: dict[str, float] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)


class _Run:
    """One fit on its way: the optimiser, the log and the checkpoints of a job."""

    def __init__(self, model: Model, job: Job, folder: Path | None, team: Team, *, track: bool) -> None:
        self.model, self.job, self.folder, self.team = job.strategy.prepare(model), job, folder, team
        self.terms = job.strategy.terms()
        self.several = len(job.objectives) + len(self.terms) > 1
        self.feed = job.feed()
        self.optimizer = Optimizer(job.strategy.groups(self.model), job.plan)
        self.device = next(self.model.parameters()).device
        self.peak = team.size * matrix_peak(torch.get_num_threads()) if self.device.type == "cpu" else math.nan
        self.records: list[dict[str, Any]] = []
        self.log = Log(folder / "log.jsonl") if folder and team.leads else None
        self.events = Events(folder) if folder and track and team.leads else None
        self.saved: Path | None = None
        self.flops_per_token = 0.0  # see `price`

    def price(self, t: int) -> None:
        """Count the FLOPs of a token on the first batch of update `t`, beside the training, with all that learns in the
        end: a body that is frozen at first costs less until it thaws, and its share of the peak is then told too high.

        While torch counts, it takes some operations apart, which rounds otherwise: a counted update would not be the
        one that an undisturbed run makes.
        """
        packed = Packed(self.batches(t)[0], self.device)
        self.model.train()
        self.job.strategy.before_step(self.model, self.job.plan.steps - 1)
        torch.manual_seed(seed_of(self.job.seed, "price"))

        def work() -> None:
            step = Step(self.model, packed)
            torch.stack([o.loss(step) for o in self.asking(t)]).sum().backward()  # type: ignore[no-untyped-call]

        _, flops = counted(work)
        self.model.zero_grad(set_to_none=True)
        self.flops_per_token = flops / packed.size

    def asking(self, t: int) -> tuple[Objective, ...]:
        """Whose losses update `t` minimises; what belongs to others alone has no gradient then, and stays."""
        return (*self.feed.asking(t), *self.terms)

    def update(self, t: int) -> dict[str, Any]:
        """One update: forward, backward, optimiser; returns what to log of it."""
        begin = time.perf_counter()
        plan, job = self.job.plan, self.job
        self.model.train()
        job.strategy.before_step(self.model, t)
        torch.manual_seed(seed_of(job.seed, "dropout", t, *([self.team.rank] if self.team.rank else [])))
        batches = self.batches(t)
        mine = batches[self.team.rank :: self.team.size]
        asking = self.asking(t)
        losses = dict.fromkeys((o.slot for o in asking), 0.0)
        notes: dict[str, float] = {}
        tokens = 0
        for batch in mine:
            told, packed = _Told(), Packed(batch, self.device)
            shares = {o.slot: _share(o.slot, batch, batches) for o in asking}
            job.strategy.backward(self.model, packed, partial(self._loss, packed, shares, asking, told))
            for slot, value in told.losses.items():
                losses[slot] += value
            for name, value in told.notes.items():
                notes[name] = notes.get(name, 0.0) + value / len(mine)
            tokens += packed.size
        tokens, losses = self._together(tokens, losses)
        for slot, value in losses.items():
            self._check(f"the loss of {slot}", value, t)
        self.team.add_gradients(self.model)
        rate, norm = self.optimizer.step(t)
        self._check("the norm of the gradient", norm, t)  # the weights are ruined: no checkpoint may hold them
        job.strategy.after_step(self.model, t)
        seconds = time.perf_counter() - begin
        return {
            "step": t + 1,
            "loss": sum(losses.values()),
            **({f"loss_{slot}": value for slot, value in losses.items()} if self.several else {}),
            **{f"loss_{name}": value for name, value in notes.items()},
            "lr": plan.lr * rate,
            "grad_norm": norm,
            "tokens": tokens,
            "seconds": seconds,
            "tokens_per_second": tokens / seconds,
            "peak_share": self.flops_per_token * tokens / seconds / self.peak,
        }

    def batches(self, t: int) -> list[Batch]:
        """The micro-batches of update `t`, of the whole team."""
        found = self.feed.at(t, parts=self.job.plan.accumulate * self.team.size)
        if len(found) < self.team.size:
            raise BadInput(f"train.batch: {len(found)} texts for {self.team.size} processes; take a larger batch")
        return found

    def agreed(self, stopping: bool) -> bool:
        """Whether anybody of the team was asked to stop."""
        return self.team.add([stopping], self.device)[0] > 0

    def _together(self, tokens: int, losses: Mapping[str, float]) -> tuple[int, dict[str, float]]:
        """Of the whole team."""
        all_tokens, *sums = self.team.add([tokens, *losses.values()], self.device)
        return int(all_tokens), dict(zip(losses, sums, strict=True))

    def _loss(self, packed: Packed, shares: Mapping[str, float], asking: Sequence[Objective], told: _Told) -> Tensor:
        """The loss of a micro-batch; the first time it is computed, its terms are told."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.job.plan.precision == "bf16"):
            step = Step(self.model, packed)
            terms = {o.slot: o.weight * shares[o.slot] * o.loss(step) for o in asking}
        if not told.losses:
            told.losses = {slot: float(term.detach()) for slot, term in terms.items()}
            told.notes = {name: float(value) for name, value in step.notes.items()}
        return torch.stack(list(terms.values())).sum()

    def _check(self, what: str, value: float, t: int) -> None:
        if not math.isfinite(value):
            last = f"the last good checkpoint is {self.saved}" if self.saved else "there is no checkpoint yet"
            raise Diverged(f"step {t + 1}: {what} is {value}; {last}; lower lr or raise warmup")

    def note(self, record: dict[str, Any]) -> None:
        self.records.append(record)
        if self.log:
            self.log.write(record)
        if self.events:
            self.events.write(record)

    def save(self, step: int) -> None:
        assert self.folder
        tensors, state = self._optimizer_state()
        self.saved = checkpoint.save(
            self.folder / "checkpoints",
            step=step,
            tensors={"model": self.model.state_dict(), **tensors},
            state={"job": self.job.identity(), "optimizer": state},
            keep=self.job.plan.keep,
        )

    def resume(self) -> int:
        """Load the newest whole checkpoint of the same job, if there is one; returns the updates already made."""
        if self.folder is None:
            return 0
        self.folder.mkdir(parents=True, exist_ok=True)
        self.saved = checkpoint.latest(self.folder / "checkpoints")
        if self.saved is None:
            if self.log:
                self.log.rewind(0)
            return 0
        found = checkpoint.load(self.saved)
        _same(found.state["job"], self.job.identity(), self.saved)
        self.model.load_state_dict(dict(found.tensors["model"]))
        self._restore_optimizer(found)
        if self.log:
            self.log.rewind(found.step)
            self.records = self.log.read()
        return found.step

    def _names(self) -> dict[str, torch.nn.Parameter]:
        return dict(self.model.named_parameters())

    def _optimizer_state(self) -> tuple[dict[str, Mapping[str, Tensor]], dict[str, Any]]:
        tensors: dict[str, Mapping[str, Tensor]] = {}
        state: dict[str, Any] = {}
        for name, part in self.optimizer.parts.items():
            tensors[name], state[name] = checkpoint.flatten_optimizer(part, self._names())
        return tensors, state

    def _restore_optimizer(self, found: checkpoint.Checkpoint) -> None:
        for name, part in self.optimizer.parts.items():
            checkpoint.restore_optimizer(part, self._names(), found.tensors[name], found.state["optimizer"][name])


def _same(saved: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    for key, value in now.items():
        if saved.get(key) != value:
            raise BadInput(f"{path}: a checkpoint of another run: its {key} is not this one's; take another folder")


def _share(slot: str, part: Batch, whole: Sequence[Batch]) -> float:
    """The share of an update's answers that stands in this micro-batch; an equal one when a slot asks nothing.

    Losses are means over answers, so that this makes accumulating equal to one large batch.
    """
    asked = sum(_asked(slot, batch) for batch in whole)
    return _asked(slot, part) / asked if asked else 1 / len(whole)


def _asked(slot: str, batch: Batch) -> int:
    """How many answers of a slot stand in the batch and beside it."""
    beside = 0 if batch.target is None else _asked(slot, batch.target)
    return int(np.count_nonzero(batch.answers[slot] != IGNORE) if slot in batch.answers else 0) + beside


def _figures(record: Mapping[str, Any]) -> str:
    speed = f"{record['tokens_per_second']:,.0f} tokens/s"
    share = "" if math.isnan(record["peak_share"]) else f", {record['peak_share']:.0%} of the matrix peak"
    dev = "".join(f"  {key} {value:.3f}" for key, value in record.items() if key.startswith("dev_"))
    return f"loss {record['loss']:.3f}  {speed}{share}{dev}"
