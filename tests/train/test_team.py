"""Two processes that train one model: what each update is, who writes, and that they stop and go on together."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from quire.core.errors import BadInput, Stopped
from quire.core.example import Example, Passage, Vocab, World
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.objectives.mlm import Mlm
from quire.train.feed import Fixed
from quire.train.log import Log
from quire.train.loop import Job, fit, planned
from quire.train.optim import TrainPlan
from quire.train.signals import StopRequest
from quire.train.team import Team, joined

WORLD = World(Vocab(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5))), length=32)
SPEC = Backbone(vocab=60, depth=2, width=16, heads=2, ffn=24, positions=32, dropout=0.0, attention_dropout=0.0)


def job(**plan: Any) -> Job:
    """Texts of unequal lengths, so that shares of a batch ask unequally often."""
    draw = rng(0, "team")
    texts = [Passage(draw.integers(5, 60, size=n), np.ones(n, dtype=bool)) for n in (3, 25, 9, 4, 17, 8, 30, 5)]
    settings = {"steps": 4, "batch": 5, "lr": 1e-2, "checkpoint_every": 2, **plan}
    examples = [Example.of(WORLD.vocab, text) for text in texts]
    return Job(Fixed(examples, "team"), (Mlm(),), WORLD, TrainPlan.model_validate(settings), seed=7)


def trained(what: Job, *, team: Team | None = None, **how: Any) -> tuple[Model, list[dict[str, Any]]]:
    model = Model(SPEC, planned(what.objectives, SPEC, WORLD), seed=1)
    return model, fit(model, what, team=team or Team(), **how)


def together(work: Callable[[Team, Path], None], folder: Path, *, size: int = 2) -> None:
    """Do it in processes that are a team."""
    spawn(_member, (size, work, folder), nprocs=size)  # type: ignore[no-untyped-call]


def _member(rank: int, size: int, work: Callable[[Team, Path], None], folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=size)
    try:
        with joined() as team:
            assert (team.rank, team.size) == (rank, size)
            work(team, folder)
    finally:
        dist.destroy_process_group()


def _train(what: Job, team: Team, folder: Path) -> None:
    model, records = trained(what, team=team, folder=folder / "run" if team.leads else folder / "other")
    figures = {name: torch.tensor([r[name] for r in records], dtype=torch.float64) for name in ("loss", "tokens")}
    torch.save({**model.state_dict(), **figures}, folder / f"{team.rank}.pt")


def _read(path: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = torch.load(path, weights_only=True)
    return found


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_update_is_that_of_one_process_with_as_many_parts_and_the_leader_writes(
    accumulate: int, tmp_path: Path
) -> None:
    together(partial(_train, job(accumulate=accumulate)), tmp_path)
    model, records = trained(job(accumulate=2 * accumulate))
    ours, other = (_read(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(ours[name], other[name]) for name in ours), "the two are one model"
    for name, value in model.state_dict().items():
        torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-6)
    assert ours["tokens"].tolist() == [record["tokens"] for record in records]
    assert ours["loss"].tolist() == pytest.approx([record["loss"] for record in records], rel=1e-6)
    assert len(Log(tmp_path / "run" / "log.jsonl").read()) == 4
    assert [*(tmp_path / "run" / "checkpoints").iterdir()]
    assert not [path for path in (tmp_path / "other").rglob("*") if path.is_file()]


def _unequal(team: Team, folder: Path) -> None:
    """Of three gradients one is there everywhere, one in a single process, one nowhere."""
    model = torch.nn.ParameterList([torch.zeros(2) for _ in range(3)])
    model[0].grad = torch.full((2,), 1.0 + team.rank)
    if team.rank == 1:
        model[1].grad = torch.full((2,), 5.0)
    team.add_gradients(model)
    assert model[0].grad.tolist() == [3, 3]
    assert model[1].grad is not None
    assert model[1].grad.tolist() == [5, 5]
    assert model[2].grad is None
    assert team.add([1.0 + team.rank, 0.25], torch.device("cpu")) == [3, 0.5]


def _stopped(team: Team, folder: Path) -> None:
    """The second process alone gets a signal: both stop after the same update, and go on as if nothing had been."""
    stop = StopRequest()
    stop.reason = "SIGTERM" if team.rank == 1 else ""
    with pytest.raises(Stopped, match="after step 1"):
        trained(job(), team=team, folder=folder / "run", stop=stop)
    team.wait()
    model, _ = trained(job(), team=team, folder=folder / "run")
    whole, _ = trained(job(), team=team)
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in model.state_dict().items())


def test_they_stop_together_and_go_on_bit_for_bit(tmp_path: Path) -> None:
    together(_stopped, tmp_path)


def _alone(team: Team, folder: Path) -> None:
    _unequal(team, folder)
    with pytest.raises(BadInput, match="1 texts for 2 processes; take a larger batch"):
        trained(job(batch=1), team=team)
    with pytest.raises(BadInput, match="adagrad has gradients of rows"):
        trained(job(optimizer="adagrad", weight_decay=0.0), team=team)


def test_gradients_that_are_nowhere_stay_away_and_what_a_team_cannot_do_is_refused(tmp_path: Path) -> None:
    together(_alone, tmp_path)


def test_a_process_by_itself_is_a_team() -> None:
    with joined() as team:
        assert team == Team(0, 1)
        assert team.leads


def test_torchrun_pretrains_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a person does it: one folder, told once, and the loss of one process that takes the batch in two parts."""
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(f"The {a} fox sees the {b} dog near a house.\n\n" for a in "abcdefgh" for b in "uvwxyz"))
    shrunk = ["train.steps=3", "train.batch=6", "backbone.depth=1", "backbone.width=32", "backbone.heads=2"]
    shrunk += ["backbone.ffn=32", "backbone.dropout=0", "backbone.attention_dropout=0", "data.tokenizer.size=120"]
    quire = [str(Path(sysconfig.get_path("scripts")) / "quire"), "pretrain", "bert-base", "--corpus", str(corpus)]
    quire += [part for change in shrunk for part in ("--set", change)]

    def run(out: str, *before: str, more: tuple[str, ...] = ()) -> str:
        command = [*before, *quire, *more, "--out", str(tmp_path / out)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr
        return done.stdout

    torchrun = (sys.executable, "-m", "torch.distributed.run", "--no-python", "--standalone", "--nproc-per-node", "2")
    for said in (run("two", *torchrun), run("one", more=("--set", "train.accumulate=2"))):
        assert said.count("The model lies in") == 1
    two, one = (Log(tmp_path / out / "log.jsonl").read() for out in ("two", "one"))
    assert [r["loss"] for r in two] == pytest.approx([r["loss"] for r in one], rel=1e-5)
