"""Real processes, disturbed: signals end them with code 75, kills at any moment, and the same command goes on.

What counts is the end: weights and log equal those of a run that nobody disturbed, bit for bit.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from quire.train import checkpoint

STEPS, EVERY = 240, 15
RECIPE = f"""
cite: none
survey: none
backbone: {{depth: 1, width: 16, heads: 2, ffn: 16, positions: 40}}
data: {{length: 24, shape: sentence-pairs, tokenizer: {{size: 200}}}}
objectives: [pair, mlm]
train: {{steps: {STEPS}, batch: 4, lr: 1e-3, checkpoint_every: {EVERY}, optimizer: muon}}
"""
PATIENCE = 90.0  # seconds until a test gives up on a process


class Commands:
    """Starts `quire pretrain` with the same arguments, into one folder or another."""

    def __init__(self, home: Path, texts: list[str]) -> None:
        self.home = home
        (home / "recipe.yaml").write_text(RECIPE)
        (home / "corpus.txt").write_text("\n\n".join(texts))

    def start(self, out: str) -> subprocess.Popen[str]:
        arguments = ["pretrain", "recipe.yaml", "--corpus", "corpus.txt", "--out", out]
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "quire.cli", *arguments],
            cwd=self.home,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )

    def finish(self, out: str) -> tuple[bytes, list[float]]:
        """Run to the end; returns the weights and the losses of the log."""
        process = self.start(out)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        log = [json.loads(line) for line in (self.home / out / "log.jsonl").read_text().splitlines()]
        assert [record["step"] for record in log] == list(range(1, STEPS + 1))
        return (self.home / out / "model" / "model.safetensors").read_bytes(), [record["loss"] for record in log]

    def log(self, out: str) -> bytes:
        path = self.home / out / "log.jsonl"
        return path.read_bytes() if path.exists() else b""

    def logged(self, out: str) -> int:
        return self.log(out).count(b"\n")

    def kept(self, out: str) -> bytes:
        """The log up to the last checkpoint. It holds times: a step that is made again has another line."""
        return b"".join(self.log(out).splitlines(keepends=True)[: self.saved(out)])

    def saved(self, out: str) -> int:
        last = checkpoint.latest(self.home / out / "checkpoints")
        return int(last.name.removeprefix("step-")) if last else 0


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> Commands:
    return Commands(tmp_path_factory.mktemp("kill"), texts)


@pytest.fixture(scope="module")
def undisturbed(commands: Commands) -> tuple[bytes, list[float]]:
    return commands.finish("undisturbed")


def when(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    """Wait until `ready`, or until the process has ended by itself."""
    until = time.monotonic() + PATIENCE
    while process.poll() is None and not ready():
        assert time.monotonic() < until
        time.sleep(0.002)


def test_signals_end_with_75_and_the_same_command_goes_on(
    commands: Commands, undisturbed: tuple[bytes, list[float]]
) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        process, before = commands.start("signals"), commands.logged("signals")
        when(process, lambda before=before: commands.logged("signals") >= before + 20)  # type: ignore[misc]
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 75, errors
        step = commands.saved("signals")
        assert errors.splitlines()[-1].startswith(
            f"quire: pretrain: stopped by {number.name} after step {step}; state saved in"
        )
        assert step == commands.logged("signals") >= before + 20  # the step was finished, and nothing lost
        assert "Traceback" not in errors
        kept = commands.kept("signals")
    assert commands.finish("signals") == undisturbed
    assert kept.count(b"\n") >= 40
    assert commands.log("signals").startswith(kept), "steps before the checkpoint were made again"


def test_kill_9_at_any_moment_loses_no_more_than_since_the_last_checkpoint(
    commands: Commands, undisturbed: tuple[bytes, list[float]]
) -> None:
    draw, kept = random.Random(), b""
    folder = commands.home / "killed"
    for attempt in range(5):
        process = commands.start("killed")
        if attempt == 0:  # while tokenizer and corpus are being written
            when(process, (folder / "run.json").exists)
        else:
            target = commands.logged("killed") + draw.randrange(EVERY * 2)
            when(process, lambda target=target: commands.logged("killed") > target)  # type: ignore[misc]
        time.sleep(draw.random() * 0.04)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert 0 <= commands.logged("killed") - commands.saved("killed") <= EVERY
        assert commands.log("killed").startswith(kept), "steps before the checkpoint were made again"
        kept = commands.kept("killed")
    assert commands.finish("killed") == undisturbed
    assert commands.log("killed").startswith(kept)
    left = {path.name for path in (folder / "checkpoints").iterdir()}
    assert left == {f"step-{STEPS - EVERY}", f"step-{STEPS}"}, "two are kept, and no draft is left behind"
