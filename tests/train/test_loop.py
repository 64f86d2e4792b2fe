"""A run that was stopped or killed and goes on equals one that was never disturbed, bit for bit."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from quire.core.catalogue import Component, catalogue
from quire.core.errors import BadInput, Diverged, Stopped
from quire.core.example import Example, Passage, World
from quire.core.heads import Parts, SequenceHead
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Step
from quire.objectives import Objective
from quire.objectives.mlm import Mlm
from quire.objectives.pair import Pair
from quire.paradigms import Paradigm
from quire.paradigms.classify import Classify
from quire.train import checkpoint, loop
from quire.train.feed import Fixed
from quire.train.log import Log
from quire.train.loop import Job, fit, planned
from quire.train.optim import TrainPlan
from quire.train.progress import Silent
from quire.train.signals import StopRequest
from quire.tuning import Strategy
from quire.tuning.full import Full

Draw = Callable[[int, Rng], Passage]
Build = Callable[[type[Component], str], Any]
KINDS: tuple[type[Component], ...] = (Objective, Paradigm)
OBJECTIVES = [pytest.param(kind, name, id=name) for kind in KINDS for name in catalogue(kind)]
WAYS = (
    "classify-attention",
    "classify-concat",
    "classify-private",
    "classify-windows",
    "match-bi",
    "regress-scaled",
)
OBJECTIVES += [pytest.param(Paradigm, name, id=name) for name in WAYS]
STRATEGIES = [*catalogue(Strategy), Full(thaw_at=4, layer_decay=0.9), Full(thaw_at=2, freeze=1)]
STEPS = 8


@dataclass
class Lab:
    """Makes jobs and fresh models for them, as a new process would."""

    passage: Draw
    world: World
    backbone: Backbone
    pose: Callable[..., Any]

    def job(self, *objectives: Objective, strategy: Strategy | None = None, **plan: Any) -> Job:
        draw = rng(0, "lab")
        texts = [[self.passage(2 + i % 9, draw), self.passage(6, draw)] for i in range(11)]
        first = objectives[0]
        if isinstance(first, Classify):
            texts += [[self.passage(29 + 9 * i, draw)] for i in range(3)]  # one of which is read in a single window
        if isinstance(first, Paradigm):
            examples = [e for text in texts for e in self.pose(first, text, self.world, draw)[2]]
        else:
            examples = [Example.of(self.world.vocab, *text) for text in texts]
        settings = {"steps": STEPS, "batch": 6, "lr": 1e-2, "checkpoint_every": 3, **plan}
        return Job(
            Fixed(examples, "corpus-1"),
            objectives,
            self.world,
            TrainPlan.model_validate(settings),
            strategy or Full(),
            7,
        )

    def fit(
        self, job: Job, folder: Path | None = None, **options: Any
    ) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
        model = Model(self.backbone, planned(job.objectives, self.backbone, job.world), seed=job.seed)
        records = fit(model, job, folder=folder, **options)
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}, records


@pytest.fixture(scope="module")
def lab(passage: Draw, world: World, tiny: Backbone, pose: Callable[..., Any]) -> Lab:
    wild = tiny.model_copy(update={"dropout": 0.2, "attention_dropout": 0.2, "init_std": 0.1})
    return Lab(passage, world, wild, pose)


class At(Silent):
    """Calls `then` after an update, before anything is saved of it."""

    def __init__(self, step: int, then: Callable[[], None]) -> None:
        self.step, self.then, self.begun = step, then, -1

    def start(self, title: str, total: int, done: int = 0) -> None:
        self.begun = done

    def update(self, step: int, figures: str) -> None:
        if step == self.step:
            self.then()


class Killed(Exception):
    pass


def killed() -> None:
    raise Killed


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def figures(records: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What a log says that is no time."""
    return [
        tuple(v for k, v in r.items() if k.startswith(("step", "loss", "lr", "grad", "tokens")) and "second" not in k)
        for r in records
    ]


def undisturbed_equals_disturbed(lab: Lab, make: Callable[[], Job], folder: Path) -> None:
    expected, log = lab.fit(make())
    request = StopRequest()
    with pytest.raises(Stopped, match=r"stopped by SIGTERM after step 3; state saved in .*the same command goes on"):
        lab.fit(make(), folder, stop=request, progress=At(2, lambda: request.note(15, None)))
    torch.manual_seed(999)  # whatever others drew, nothing here depends on it
    second, third = At(5, killed), At(0, killed)
    with pytest.raises(Killed):
        lab.fit(make(), folder, progress=second)
    weights, records = lab.fit(make(), folder, progress=third)
    assert second.begun == third.begun == 3, "it went on from the checkpoint and did not begin anew"
    assert same(weights, expected)
    assert figures(records) == figures(log)
    assert figures(Log(folder / "log.jsonl").read()) == figures(log)
    assert [record["step"] for record in records] == list(range(1, STEPS + 1))
    again, records = lab.fit(make(), folder)  # a finished run: nothing is left to do
    assert same(again, expected)
    assert figures(records) == figures(log)


@pytest.mark.parametrize(("kind", "name"), OBJECTIVES)
def test_every_objective_resumes_bit_for_bit(
    lab: Lab,
    member: Build,
    suited: Callable[[str], Backbone],
    earlier: Callable[[str], tuple[Objective, ...]],
    kind: type[Component],
    name: str,
    tmp_path: Path,
) -> None:
    fitting = suited(name).model_copy(update={"dropout": 0.2, "attention_dropout": 0.2, "init_std": 0.1})
    fit_for_it = replace(lab, backbone=fitting)
    undisturbed_equals_disturbed(
        fit_for_it, lambda: lab.job(*earlier(name), member(kind, name), accumulate=2), tmp_path
    )


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_every_strategy_resumes_bit_for_bit(lab: Lab, member: Build, strategy: str | Strategy, tmp_path: Path) -> None:
    built = member(Strategy, strategy) if isinstance(strategy, str) else strategy
    undisturbed_equals_disturbed(lab, lambda: lab.job(Pair(), Mlm(), strategy=built), tmp_path)


@pytest.mark.parametrize("schedule", ["wsd", "cosine"])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_muon_resumes_bit_for_bit(lab: Lab, accumulate: int, schedule: str, tmp_path: Path) -> None:
    undisturbed_equals_disturbed(
        lab, lambda: lab.job(Pair(), Mlm(), optimizer="muon", accumulate=accumulate, schedule=schedule), tmp_path
    )


def test_a_kill_loses_at_most_the_steps_since_the_last_checkpoint(lab: Lab, tmp_path: Path) -> None:
    for step in (2, 5, 7):
        with pytest.raises(Killed):
            lab.fit(lab.job(Mlm()), tmp_path, progress=At(step, killed))
        last = checkpoint.latest(tmp_path / "checkpoints")
        saved = int(last.name.removeprefix("step-")) if last else 0
        assert step - saved <= 3


def test_torchs_own_state_neither_matters_nor_changes(lab: Lab) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, _ = lab.fit(lab.job(Mlm()))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(lab.fit(lab.job(Mlm()))[0], one)
    assert not same(lab.fit(replace(lab.job(Mlm()), seed=8))[0], one)


def test_accumulating_is_the_gradient_of_the_whole_batch(lab: Lab) -> None:
    """Losses are means over answers, and micro-batches ask for different numbers of tokens."""
    still = replace(lab, backbone=lab.backbone.model_copy(update={"dropout": 0.0, "attention_dropout": 0.0}))
    runs = [still.fit(still.job(Pair(), Mlm(), steps=1, accumulate=parts, clip=0))[1] for parts in (1, 2, 5, 50)]
    for (record,) in runs[1:]:
        for key in ("loss", "loss_mlm", "loss_pair", "grad_norm"):
            assert record[key] == pytest.approx(runs[0][0][key], rel=1e-5), key
        assert record["tokens"] == runs[0][0]["tokens"]


def test_weights_of_objectives_scale_their_losses(lab: Lab) -> None:
    (plain,), (heavy,) = (lab.fit(lab.job(Pair(), Mlm(weight=w), steps=1, clip=0))[1] for w in (1.0, 3.0))
    assert heavy["loss_mlm"] == pytest.approx(3 * plain["loss_mlm"])
    assert heavy["loss_pair"] == plain["loss_pair"]
    assert heavy["loss"] == pytest.approx(heavy["loss_mlm"] + heavy["loss_pair"])


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("data", lambda job: replace(job, examples=Fixed(job.examples.examples, "corpus-2"))),
        ("plan", lambda job: replace(job, plan=job.plan.model_copy(update={"lr": 0.5}))),
        ("plan", lambda job: replace(job, plan=job.plan.model_copy(update={"steps": 20}))),
        ("objectives", lambda job: replace(job, objectives=(Mlm.model_validate({"select": {"exact": 0.3}}),))),
        ("strategy", lambda job: replace(job, strategy=Full(freeze=1))),
        ("seed", lambda job: replace(job, seed=8)),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_in_one_line(
    lab: Lab, tmp_path: Path, key: str, change: Callable[[Job], Job]
) -> None:
    job = lab.job(Mlm(), steps=3)
    lab.fit(job, tmp_path)
    log = (tmp_path / "log.jsonl").read_bytes()
    with pytest.raises(BadInput, match=f"a checkpoint of another run: its {key} is not this one's") as caught:
        lab.fit(change(job), tmp_path)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "log.jsonl").read_bytes() == log


def test_how_often_is_saved_may_change(lab: Lab, tmp_path: Path) -> None:
    expected, _ = lab.fit(lab.job(Mlm()))
    with pytest.raises(Killed):
        lab.fit(lab.job(Mlm()), tmp_path, progress=At(5, killed))
    assert same(lab.fit(lab.job(Mlm(), checkpoint_every=1, keep=5), tmp_path)[0], expected)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 5


class Broken(Mlm):
    """From call `at` on, the first of which only prices a token: a loss or a gradient that is not finite."""

    at: int = 6
    gradient: bool = False
    value: float = math.nan

    def loss(self, step: Step) -> Tensor:
        loss = super().loss(step)
        calls = step.model.__dict__.setdefault("calls", [])
        calls.append(1)
        if len(calls) < self.at:
            return loss
        return loss + (loss - loss.detach()).sqrt() if self.gradient else loss * self.value


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_not_finite_stops_the_run_and_is_never_saved(
    lab: Lab, tmp_path: Path, value: float, where: str
) -> None:
    job = lab.job(Broken(value=value, gradient=where == "gradient"), checkpoint_every=1)
    with pytest.raises(Diverged) as caught:
        lab.fit(job, tmp_path)
    message = str(caught.value)
    assert message.startswith("step 5: ")
    assert ("the loss of broken" if where == "loss" else "the norm of the gradient") in message
    assert f"the last good checkpoint is {tmp_path / 'checkpoints' / 'step-4'}" in message
    assert "\n" not in message
    last = checkpoint.latest(tmp_path / "checkpoints")
    assert last is not None
    assert last.name == "step-4"
    assert all(torch.isfinite(tensor).all() for tensor in checkpoint.load(last).tensors["model"].values())


def test_diverging_at_once_says_that_there_is_no_checkpoint(lab: Lab) -> None:
    with pytest.raises(Diverged, match=r"step 1: the loss of broken is nan; there is no checkpoint yet"):
        lab.fit(lab.job(Broken(at=1)))


class Late(StopRequest):
    """A signal that comes between two readings."""

    def __init__(self) -> None:
        super().__init__()
        self.readings = 0

    def __bool__(self) -> bool:
        self.readings += 1
        self.reason = "SIGTERM"
        return self.readings > 1


def test_a_signal_between_two_readings_still_saves_before_it_stops(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(Stopped) as caught:
        lab.fit(lab.job(Mlm(), checkpoint_every=100), tmp_path, stop=Late())
    last = checkpoint.latest(tmp_path / "checkpoints")
    assert last is not None
    assert f"after step {last.name.removeprefix('step-')};" in str(caught.value)


def test_a_stop_at_the_last_step_finishes(lab: Lab, tmp_path: Path) -> None:
    request = StopRequest()
    _, records = lab.fit(lab.job(Mlm()), tmp_path, stop=request, progress=At(STEPS, lambda: request.note(2, None)))
    assert len(records) == STEPS


def test_the_clock_begins_behind_the_count_of_flops(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr(loop._Run, "price", lambda run, t: heard.append("count"))
    monkeypatch.setattr(Silent, "start", lambda *_: heard.append("start"))
    lab.fit(lab.job(Mlm(), steps=1), progress=Silent())
    assert heard == ["count", "start"]


def test_watch_is_asked_every_so_often_and_at_the_end(lab: Lab) -> None:
    _, records = lab.fit(lab.job(Mlm()), watch=lambda step: {"dev_loss": step * 1.0}, watch_every=3)
    assert {r["step"]: r["dev_loss"] for r in records if "dev_loss" in r} == {3: 3.0, 6: 6.0, 8: 8.0}


def test_the_body_stays_until_it_is_thawed(lab: Lab) -> None:
    def after(steps: int) -> dict[str, Tensor]:
        job = lab.job(Mlm(), strategy=Full(thaw_at=3), schedule="constant")
        return lab.fit(replace(job, plan=job.plan.model_copy(update={"steps": steps})))[0]

    start = Model(lab.backbone, planned([Mlm()], lab.backbone, lab.world), seed=7).state_dict()
    frozen, thawed = after(3), after(4)
    body = [name for name in start if name.startswith("backbone.")]
    assert all(torch.equal(frozen[name], start[name]) for name in body)
    assert not any(torch.equal(frozen[name], start[name]) for name in start if name.startswith("heads."))
    assert not any(torch.equal(thawed[name], start[name]) for name in body if ".blocks." in name)


def test_a_model_learns_and_ends_in_evaluation_mode(lab: Lab) -> None:
    job = lab.job(Mlm(), steps=60)
    model = Model(lab.backbone, planned(job.objectives, lab.backbone, job.world), seed=1)
    records = fit(model, job)
    assert not model.training
    assert sum(r["loss"] for r in records[-10:]) < 0.9 * sum(r["loss"] for r in records[:10])


class Clash(Mlm):
    def parts(self, backbone: Backbone, world: World) -> Parts:
        return {"pair": SequenceHead(outputs=5)}


def test_two_shapes_under_one_name_fail_when_planning(world: World, tiny: Backbone) -> None:
    with pytest.raises(BadInput, match=r"objectives.1.clash: wants a part named 'pair'"):
        planned([Pair(), Clash()], tiny, world)
    assert len(planned([Pair(), Pair(slot="again"), Mlm(), Mlm(slot="order")], tiny, world)) == 3


def test_two_objectives_in_one_slot_fail_when_planning(world: World, tiny: Backbone) -> None:
    with pytest.raises(BadInput, match=r"objectives.1.mlm: another objective asks in the slot 'mlm'; give"):
        planned([Mlm(), Mlm()], tiny, world)
