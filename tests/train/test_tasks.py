"""Tasks take turns: who has none stays bit for bit, the body learns from all, and a stopped run goes on exactly."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from quire.core.answers import Item
from quire.core.errors import BadInput
from quire.core.example import Example, Passage, World
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.objectives.mlm import Mlm
from quire.paradigms.classify import Classify
from quire.train.feed import Feed, Fixed
from quire.train.loop import Job, fit, planned, rehearse
from quire.train.optim import TrainPlan
from quire.train.progress import Silent
from quire.train.sampling import Sampling, SquareRoot, Uniform
from quire.train.tasks import Task, Tasks

Draw = Callable[[int, Rng], Passage]
LABELS = {"mood": ("bad", "good"), "topic": ("art", "law", "sport")}
STEPS = 9


@pytest.fixture(scope="module")
def tasks(passage: Draw, world: World) -> Callable[..., Tasks]:
    """Two labelled tasks of 12 and 5 texts, and masked text of 8."""

    def texts(name: str, count: int) -> list[Passage]:
        return [passage(3 + i % 7, rng("tasks", name, i)) for i in range(count)]

    def build(*names: str, sampling: Sampling | None = None) -> Tasks:
        made = []
        for name in names:
            if name == "text":
                made.append(Task(name, Fixed([Example.of(world.vocab, p) for p in texts(name, 8)], name), (Mlm(),)))
                continue
            ask = Classify(labels=LABELS[name], slot=name)
            examples = [
                ask.format(Item((p,)), ask.labels[i % len(ask.labels)], world)[0]
                for i, p in enumerate(texts(name, 12 if name == "mood" else 5))
            ]
            made.append(Task(name, Fixed(examples, name), (ask,)))
        return Tasks(tuple(made), sampling or SquareRoot())

    return build


@pytest.fixture(scope="module")
def body(tiny: Backbone) -> Backbone:
    return tiny.model_copy(update={"dropout": 0.2, "init_std": 0.1})


def job_of(tasks: Tasks, world: World, **plan: Any) -> Job:
    settings = {"steps": STEPS, "batch": 4, "lr": 1e-2, "weight_decay": 0.1, "checkpoint_every": 2, **plan}
    return Job(tasks, tasks.objectives, world, TrainPlan.model_validate(settings), seed=7)


def started(job: Job, body: Backbone) -> Model:
    return Model(body, planned(job.objectives, body, job.world), seed=job.seed)


def copied(model: Model) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


class After(Silent):
    """Calls `then` with the number of updates made."""

    def __init__(self, then: Callable[[int], None]) -> None:
        self.then = then

    def update(self, step: int, figures: str) -> None:
        self.then(step)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_update_of_one_task_moves_the_body_and_leaves_the_others_bit_for_bit(
    tasks: Callable[..., Tasks], world: World, body: Backbone, optimizer: str
) -> None:
    """Also once they have momentum, and although everything decays."""
    job = job_of(tasks("mood", "topic", "text", sampling=Uniform()), world, steps=24, optimizer=optimizer)
    model, order = started(job, body), job.feed().order  # type: ignore[union-attr]
    owner = {"mood": 0, "topic": 1, "mlm": 2}
    states = [copied(model)]
    fit(model, job, progress=After(lambda _: states.append(copied(model))))
    assert set(order.tolist()) == {0, 1, 2}
    for t, (before, after) in enumerate(pairwise(states)):
        for name in before:
            part, head = name.split(".")[:2]
            if part == "heads":
                assert torch.equal(before[name], after[name]) == (owner[head] != order[t]), (t, name)
            elif t < 23:  # the rate of the last update is small
                assert not torch.equal(before[name], after[name]) or "position" in name, (t, name)


def test_a_stopped_run_of_several_tasks_goes_on_bit_for_bit(
    tasks: Callable[..., Tasks], world: World, body: Backbone, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def kill(step: int) -> None:
        if step == 5:
            raise Killed

    made = [job_of(tasks("mood", "topic", "text"), world, accumulate=2) for _ in range(3)]
    whole, parts = started(made[0], body), started(made[1], body)
    log = fit(whole, made[0])
    with pytest.raises(Killed):
        fit(parts, made[1], folder=tmp_path, progress=After(kill))
    again = started(made[2], body)
    records = fit(again, made[2], folder=tmp_path)
    assert all(torch.equal(t, again.state_dict()[name]) for name, t in whole.state_dict().items())
    assert [r["loss"] for r in records] == [r["loss"] for r in log]
    assert [next(k for k in r if k.startswith("loss_")) for r in log] == [
        f"loss_{job_of(tasks('mood', 'topic', 'text'), world).feed().asking(t)[0].slot}" for t in range(STEPS)
    ]


def test_every_task_goes_through_its_own_examples_epoch_by_epoch(tasks: Callable[..., Tasks], world: World) -> None:
    made = tasks("mood", "topic")
    job = job_of(made, world, steps=60, batch=3)
    turns, seen = job.feed(), {"mood": [], "topic": []}  # type: ignore[var-annotated]
    for t in range(60):
        [batch] = turns.at(t)
        [slot] = batch.answers
        seen[slot] += [tuple(tokens.tolist()) for tokens in batch.unpack(batch.tokens)]
        assert [o.slot for o in turns.asking(t)] == [slot]
    for task in made.members:
        known = {tuple(task.examples.example(i, epoch=0).tokens.tolist()) for i in range(len(task.examples))}
        epochs = len(seen[task.name]) // len(known)
        assert epochs >= 3
        for epoch in range(epochs):
            assert set(seen[task.name][epoch * len(known) : (epoch + 1) * len(known)]) == known
    sought = job_of(made, world, steps=60, batch=3).feed().at(41)[0]
    assert (sought.tokens == turns.at(41)[0].tokens).all()


def test_what_an_objective_does_to_text_is_not_done_to_labelled_texts(
    tasks: Callable[..., Tasks], world: World
) -> None:
    job = job_of(tasks("mood", "text"), world, steps=30)
    for t in range(30):
        [batch] = job.feed().at(t)
        assert len(batch.answers) == 1
        if "mood" in batch.answers:
            assert not (batch.tokens == world.vocab.mask).any()


def test_tasks_are_examples_laid_one_after_the_other(tasks: Callable[..., Tasks], world: World) -> None:
    made = tasks("mood", "topic")
    assert len(made) == 17
    assert list(made.example(12, epoch=0).answers) == ["topic"]
    with pytest.raises(IndexError):
        made.example(17, epoch=0)
    rehearse(job_of(made, world))


def test_a_law_another_set_of_tasks_or_another_name_is_another_run(tasks: Callable[..., Tasks]) -> None:
    made = [
        tasks("mood", "topic"),
        tasks("topic", "mood"),
        tasks("mood", "text"),
        tasks("mood", "topic", sampling=Uniform()),
    ]
    assert len({m.fingerprint for m in made}) == 4


def test_one_task_and_two_of_one_name_are_refused(tasks: Callable[..., Tasks]) -> None:
    with pytest.raises(BadInput, match="tasks: 1 given; sharing needs two or more"):
        tasks("mood")
    with pytest.raises(BadInput, match="tasks: two are called 'mood'; rename one"):
        tasks("mood", "mood")


def test_a_job_of_one_task_has_the_feed_it_had(tasks: Callable[..., Tasks], world: World) -> None:
    task = tasks("mood", "topic").members[0]
    job = Job(task.examples, task.objectives, world, TrainPlan(steps=3, batch=4), seed=5)
    made, plain = job.feed(), Feed(task.examples, task.objectives, world, batch=4, seed=5)
    assert all(np.array_equal(made.at(t)[0].tokens, plain.at(t)[0].tokens) for t in range(3))
