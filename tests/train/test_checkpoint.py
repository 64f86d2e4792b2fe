"""Checkpoints: bit for bit, whole or absent at any moment of death, and honest about damage."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from quire.core.errors import BadInput
from quire.train import checkpoint

STATE = {"seed": 3, "loss": [0.1, 1e-300], "label": "好", "none": None}


def tensors(step: int) -> dict[str, dict[str, Tensor]]:
    return {"model": {"w": torch.full((50,), float(step))}, "optimizer": {"step/w": torch.tensor(step)}}


def save(root: Path, *steps: int, keep: int = 2) -> Path:
    for step in steps:
        last = checkpoint.save(root, step=step, tensors=tensors(step), state=STATE, keep=keep)
    return last


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@given(
    st.dictionaries(st.sampled_from(["model", "optimizer", "rng"]), st.integers(0, 2**32), min_size=1),
    st.sampled_from([torch.float32, torch.int64, torch.bfloat16, torch.uint8, torch.bool]),
    st.lists(st.integers(0, 4), max_size=3),
)
@settings(max_examples=25, deadline=None)
def test_round_trip_is_exact(seeds: dict[str, int], dtype: torch.dtype, shape: list[int]) -> None:
    root = Path(os.environ["QUIRE_TEST_ROOT"])
    given_tensors = {
        group: {"x": torch.randn(shape, generator=torch.Generator().manual_seed(seed)).mul(100).to(dtype)}
        for group, seed in seeds.items()
    }
    found = checkpoint.load(checkpoint.save(root, step=1, tensors=given_tensors, state=STATE))
    assert (found.step, found.state, found.tensors.keys()) == (1, STATE, given_tensors.keys())
    for group, named in given_tensors.items():
        assert found.tensors[group]["x"].dtype == dtype
        assert found.tensors[group]["x"].equal(named["x"])


@pytest.fixture(autouse=True)
def _root(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIRE_TEST_ROOT", str(tmp_path_factory.mktemp("root")))


def test_every_bit_counts_nan_infinity_and_negative_zero(tmp_path: Path) -> None:
    odd = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])
    back = checkpoint.load(checkpoint.save(tmp_path, step=1, tensors={"g": {"odd": odd}}, state={})).tensors["g"]["odd"]
    assert back.view(torch.int32).equal(odd.view(torch.int32))


def test_strided_sliced_shared_and_no_tensors(tmp_path: Path) -> None:
    base = torch.arange(24.0).view(4, 6)
    tied = nn.Parameter(torch.randn(3, 3))
    model = {"t": base.t(), "slice": base[1:3], "column": base[:, 2], "tied": tied, "again": tied, "base": base}
    found = checkpoint.load(checkpoint.save(tmp_path, step=0, tensors={"model": model, "empty": {}}, state=[]))
    assert found.tensors["empty"] == {}
    for name, tensor in model.items():
        assert found.tensors["model"][name].equal(tensor), name


def test_the_last_two_are_kept_and_strangers_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".step-1.partial").mkdir()
    save(tmp_path, 1, 2, 10)
    assert names(tmp_path) == {"notes.txt", "step-2", "step-10"}
    assert checkpoint.latest(tmp_path) == tmp_path / "step-10"
    save(tmp_path, 5)  # rewound: neither the new one nor the later one goes
    assert names(tmp_path) == {"notes.txt", "step-2", "step-5", "step-10"}


def test_nothing_there_is_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path) is None
    assert checkpoint.latest(tmp_path / "absent") is None


def test_a_folder_without_manifest_is_ignored_and_refused_when_asked_for(tmp_path: Path) -> None:
    (save(tmp_path, 1, 2) / "manifest.json").unlink()
    assert checkpoint.latest(tmp_path) == tmp_path / "step-1"
    with pytest.raises(BadInput, match=r"step-2: no manifest\.json, so the checkpoint is not complete"):
        checkpoint.load(tmp_path / "step-2")


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", [flip, Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_damage_is_passed_over_with_a_warning_and_refused_when_asked_for(
    tmp_path: Path, file: str, damage: Callable[[Path], object]
) -> None:
    damage(save(tmp_path, 1, 2) / file)
    with pytest.warns(UserWarning, match=f"passed over: .*step-2/{file}"):
        assert checkpoint.latest(tmp_path) == tmp_path / "step-1"
    with pytest.raises(BadInput, match=f"step-2/{file}: .*use an earlier") as caught:
        checkpoint.load(tmp_path / "step-2")
    assert "\n" not in str(caught.value)
    assert checkpoint.load(tmp_path / "step-1").step == 1


@pytest.mark.parametrize("manifest", ["", "[]", '{"format": 2, "step": 1, "files": {}}', '{"step": 1, "files": {}}'])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, manifest: str) -> None:
    (save(tmp_path, 1) / "manifest.json").write_text(manifest)
    with pytest.raises(BadInput, match=r"manifest\.json"):
        checkpoint.load(tmp_path / "step-1")


def test_a_manifest_cannot_point_outside(tmp_path: Path) -> None:
    path = save(tmp_path, 1) / "manifest.json"
    manifest = json.loads(path.read_text())
    (tmp_path / "state.json").write_bytes((tmp_path / "step-1" / "state.json").read_bytes())
    manifest["files"]["../state.json"] = manifest["files"]["state.json"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match="not a file of this checkpoint"):
        checkpoint.load(tmp_path / "step-1")


def test_state_that_is_no_json_is_found_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        checkpoint.save(tmp_path / "c", step=1, tensors={}, state={"a": object()})
    with pytest.raises(ValueError, match="file name"):
        checkpoint.save(tmp_path / "c", step=1, tensors={"../model": {}}, state={})
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("code", [28, 13, 30])  # no space, no permission, read-only
@pytest.mark.parametrize("effect", ["mkdir", "write_text", "rename", "chmod"])
def test_a_failing_disk_is_one_line_and_older_checkpoints_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, effect: str, code: int
) -> None:
    save(tmp_path, 1, 2)

    def fail(path: Path, *args: Any, **named: Any) -> None:
        raise OSError(code, os.strerror(code), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, effect, fail)
        with pytest.raises(BadInput, match=f"step-3: cannot be written: {os.strerror(code)}") as caught:
            save(tmp_path, 3)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == {"step-1", "step-2"}
    assert checkpoint.latest(tmp_path) == tmp_path / "step-2"


def test_a_checkpoint_saved_again_gets_its_name_back_when_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1, 2)
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name.endswith(".partial"):
            raise OSError(28, os.strerror(28), str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(BadInput, match="step-2: cannot be written"):
        save(tmp_path, 2)
    assert names(tmp_path) == {"step-1", "step-2"}
    assert checkpoint.load(tmp_path / "step-2").step == 2


def test_a_disk_that_fills_while_tensors_are_written(tmp_path: Path) -> None:
    """The system's own refusal, through the safetensors library: files of this process may not pass 4 kB."""
    program = f"""
import resource, signal, torch
from pathlib import Path
from quire.core.errors import BadInput
from quire.train import checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
root = Path({str(tmp_path)!r})
checkpoint.save(root, step=1, tensors={{"model": {{"w": torch.zeros(9)}}}}, state=None)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    checkpoint.save(root, step=2, tensors={{"model": {{"w": torch.zeros(9999)}}}}, state=None)
except BadInput as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "step-2: cannot be written: File too large" in said
    assert said.count("\n") == 1
    assert names(tmp_path) == {"step-1"}


# Dies, as by kill -9, at the k-th effect on the disk, for every k: children are forked, so torch is imported once.
DIE = """
import os, sys, torch
from pathlib import Path
from quire.train import checkpoint, safe
torch.set_num_threads(1)
root, over = Path(sys.argv[1]), int(sys.argv[2])
def save(root, step):
    named = {"model": {"w": torch.full((50,), float(step))}, "optimizer": {"step/w": torch.tensor(step)}}
    checkpoint.save(root, step=step, tensors=named, state={"step": step})
EFFECTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod"}
left = None
def effect():
    global left
    if left is not None:
        left -= 1
        if left < 0:
            os._exit(9)
def hook(event, args):
    if event in EFFECTS:
        effect()
sys.addaudithook(hook)
fsync, save_file = os.fsync, safe.save_file
def dying_fsync(descriptor):
    effect()
    fsync(descriptor)
def dying_save_file(tensors, path, metadata):
    save_file(tensors, path, metadata=metadata)
    size = os.path.getsize(path)
    os.truncate(path, size // 2)
    effect()
    save_file(tensors, path, metadata=metadata)
os.fsync, safe.save_file = dying_fsync, dying_save_file
for k in range(1000):
    here = root / str(k)
    for step in (1, 2):
        save(here, step)
    child = os.fork()
    if child == 0:
        left = k
        save(here, over)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(k)
"""


@pytest.mark.parametrize("step", [3, 2])  # a new one; one that is there already
def test_death_at_every_effect_leaves_the_last_checkpoint(tmp_path: Path, step: int) -> None:
    run = [sys.executable, "-c", DIE, str(tmp_path), str(step)]
    deaths = int(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert deaths > 20
    for k in range(deaths + 1):
        root = tmp_path / str(k)
        newest = checkpoint.latest(root)  # a warning would be an error: nothing complete is damaged
        assert newest, k
        found = checkpoint.load(newest)
        assert found.step in {2, step}, k
        assert found.state == {"step": found.step}
        assert found.tensors["model"]["w"].equal(torch.full((50,), float(found.step)))
        for name in names(root):
            if name.startswith("step-") and (root / name / "manifest.json").is_file():
                checkpoint.load(root / name)  # also one whose removal was cut short
        save(root, 4, 5)
        assert names(root) == {"step-4", "step-5"}, "the next saves sweep"
    assert found.step == step


def test_a_process_really_killed_at_random_moments(tmp_path: Path) -> None:
    program = """
import itertools, sys, torch
from pathlib import Path
from quire.train import checkpoint
torch.set_num_threads(1)
root = Path(sys.argv[1])
newest = checkpoint.latest(root)
start = checkpoint.load(newest).step if newest else 0
for step in itertools.count(start + 1):
    named = {"w": torch.full((20_000,), float(step))}
    checkpoint.save(root, step=step, tensors={"model": named, "optimizer": named}, state={"step": step})
    print(step, flush=True)
"""
    draw, reached = random.Random(5), 0
    for _ in range(3):
        run = [sys.executable, "-W", "error", "-c", program, str(tmp_path)]
        with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            said = [int(process.stdout.readline())]
            assert said[0] > reached
            time.sleep(draw.random() / 10)
            process.send_signal(signal.SIGKILL)
            said += [int(line) for line in process.stdout]
        newest = checkpoint.latest(tmp_path)
        assert newest
        found = checkpoint.load(newest)
        assert found.step in {said[-1], said[-1] + 1}  # killed after the rename and before the word
        assert found.tensors["optimizer"]["w"].equal(torch.full((20_000,), float(found.step)))
        reached = found.step


OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "adamw": lambda m: torch.optim.AdamW(groups(m), lr=0.03, betas=(0.8, 0.95), eps=1e-7, foreach=False),
    "fused": lambda m: torch.optim.AdamW(groups(m), lr=0.03, betas=(0.8, 0.95), fused=True),
    "amsgrad": lambda m: torch.optim.AdamW(groups(m), amsgrad=True),
    "adafactor": lambda m: torch.optim.Adafactor(groups(m), lr=0.03),
    "muon": lambda m: torch.optim.Muon([p for p in m.parameters() if p.ndim == 2], lr=0.05, momentum=0.8),
}


def groups(model: nn.Module) -> list[dict[str, Any]]:
    decay = [p for p in model.parameters() if p.ndim == 2]
    return [
        {"params": decay, "weight_decay": 0.1, "lr": 0.02},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 4))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        for group in optimizer.param_groups:
            group["lr"] *= 0.9  # a schedule: the rate itself is state
        optimizer.zero_grad()
        x = torch.randn(6, 5, generator=torch.Generator().manual_seed(step))
        model(x).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_goes_on_bit_for_bit(tmp_path: Path, kind: str) -> None:
    model = network(1)
    optimizer = OPTIMIZERS[kind](model)
    train(model, optimizer, range(5))
    held, saved = checkpoint.flatten_optimizer(optimizer, dict(model.named_parameters()))
    path = checkpoint.save(tmp_path, step=5, tensors={"model": model.state_dict(), "optimizer": held}, state=saved)
    train(model, optimizer, range(5, 9))

    found, fresh = checkpoint.load(path), network(2)
    fresh.load_state_dict(dict(found.tensors["model"]))
    restored = OPTIMIZERS[kind](fresh)
    checkpoint.restore_optimizer(restored, dict(fresh.named_parameters()), found.tensors["optimizer"], found.state)
    train(fresh, restored, range(5, 9))
    for name, tensor in model.state_dict().items():
        assert fresh.state_dict()[name].equal(tensor), name
    assert isinstance(restored.param_groups[0].get("betas", ()), tuple)
    assert any(name.endswith("/0.weight") for name in held)


def test_an_optimizer_of_other_groups_is_refused() -> None:
    model = network(1)
    held, saved = checkpoint.flatten_optimizer(OPTIMIZERS["adamw"](model), dict(model.named_parameters()))
    assert held == {}  # before the first step
    with pytest.raises(BadInput, match="other parameters or groups"):
        checkpoint.restore_optimizer(OPTIMIZERS["muon"](model), dict(model.named_parameters()), held, saved)
    with pytest.raises(ValueError, match="no name"):
        checkpoint.flatten_optimizer(OPTIMIZERS["adamw"](model), {})


def test_restoring_does_not_share_memory_with_what_was_flattened() -> None:
    model = network(1)
    names_of = dict(model.named_parameters())
    optimizer, other = OPTIMIZERS["adamw"](model), OPTIMIZERS["adamw"](model)
    train(model, optimizer, range(1))
    held, saved = checkpoint.flatten_optimizer(optimizer, names_of)
    checkpoint.restore_optimizer(other, names_of, held, saved)
    assert not {t.data_ptr() for t in held.values()} & {
        t.data_ptr() for values in other.state.values() for t in values.values()
    }
