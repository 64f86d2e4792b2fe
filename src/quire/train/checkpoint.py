"""Checkpoints: whole or absent, verified, and free of pickle.

    <root>/step-<N>/<group>.safetensors   one file per group of tensors ("model", "optimizer", ...)
                    state.json            everything that is no tensor
                    manifest.json         format, step, and SHA-256 and size of each file; without it: incomplete

A checkpoint grows under a hidden name, is synced and takes its name in one rename, so that a process killed at any
moment leaves the one before. One that is saved again stands as `.step-<N>.old` until its successor does.
"""

import json
import re
import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer

from quire.core.config import Settings, parse
from quire.core.errors import BadInput, Ignored
from quire.train.safe import read_json, read_tensors, sha256, whole_folder, write_json, write_tensors

MANIFEST, STATE = "manifest.json", "state.json"
_NAME = re.compile(r"step-(\d+)|\.step-(\d+)\.old")


@dataclass(frozen=True)
class Checkpoint:
    """What was saved: tensors by group and name (on the CPU, bit for bit), and JSON state."""

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Any


class _File(Settings):
    sha256: str
    bytes: int


class _Manifest(Settings):
    format: Literal[1] = 1
    step: int
    files: dict[str, _File]


def save(root: Path, *, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Any, keep: int = 2) -> Path:
    """Write `root/step-<step>/` whole, then remove older checkpoints but the last `keep`; returns the folder.

    `state` is anything JSON holds. On a full disk, without permission and the like: BadInput, nothing half-written,
    and every older checkpoint as it was.
    """
    for group in tensors:
        if not re.fullmatch(r"[\w.-]+", group) or group.startswith("."):
            raise ValueError(f"{group!r} cannot be a file name")
    json.dumps(state)  # what is no JSON is found before anything is written
    folder = root / f"step-{step}"
    with whole_folder(folder) as draft:
        for group, named in tensors.items():
            write_tensors(draft / f"{group}.safetensors", named)
        write_json(draft / STATE, state)
        files = {path.name: _File(sha256=sha256(path), bytes=path.stat().st_size) for path in sorted(draft.iterdir())}
        write_json(draft / MANIFEST, _Manifest(step=step, files=files).model_dump(mode="json"))
    _remove_older(root, step=step, keep=keep)
    return folder


def latest(root: Path) -> Path | None:
    """The intact checkpoint of the highest step, or None; damaged ones are passed over with a warning each."""
    for _, folder in reversed(_complete(root)):
        try:
            _verify(folder)
        except BadInput as error:
            warnings.warn(f"passed over: {error}", Ignored, stacklevel=2)
        else:
            return folder
    return None


def load(path: Path) -> Checkpoint:
    """Read a checkpoint folder after verifying every file; BadInput names what is missing or damaged."""
    manifest = _verify(path)
    groups = [name.removesuffix(".safetensors") for name in manifest.files if name.endswith(".safetensors")]
    tensors = {group: read_tensors(path / f"{group}.safetensors") for group in groups}
    return Checkpoint(manifest.step, tensors, read_json(path / STATE))


def flatten_optimizer(optimizer: Optimizer, names: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer as tensors `<state>/<parameter>` and JSON (settings and parameter names of each group).

    `names` are the model's named parameters. ValueError when the optimizer holds one that has no name, or a setting
    that JSON cannot hold.
    """
    saved = optimizer.state_dict()
    names_of = _grouped_names(optimizer, names)
    order = [name for group in names_of for name in group]
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for index, values in saved["state"].items():
        for key, value in values.items():
            where = tensors if isinstance(value, Tensor) else numbers
            where[f"{key}/{order[index]}"] = value
    groups = [{**group, "params": held} for group, held in zip(saved["param_groups"], names_of, strict=True)]
    try:
        return tensors, json.loads(json.dumps({"groups": groups, "numbers": numbers}))
    except TypeError as error:
        raise ValueError(f"an optimizer setting cannot be saved as JSON: {error}") from error


def restore_optimizer(
    optimizer: Optimizer, names: Mapping[str, Tensor], tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> None:
    """Put what `flatten_optimizer` gave into a fresh optimizer over the same groups of parameters.

    BadInput when the groups hold other parameters than those that were saved.
    """
    names_of = _grouped_names(optimizer, names)
    if [group["params"] for group in settings["groups"]] != names_of:
        raise BadInput("the checkpoint's optimizer holds other parameters or groups; resume with the same recipe")
    index_of = {name: index for index, name in enumerate(name for group in names_of for name in group)}
    state: dict[int, dict[str, Any]] = {}
    for full, value in (*tensors.items(), *settings["numbers"].items()):
        key, _, name = full.partition("/")
        state.setdefault(index_of[name], {})[key] = value.clone() if isinstance(value, Tensor) else value
    groups: list[dict[str, Any]] = []
    for fresh, saved in zip(optimizer.param_groups, settings["groups"], strict=True):
        # JSON knows no tuples; the fresh group says which settings are (betas).
        group = {key: tuple(v) if isinstance(fresh.get(key), tuple) else v for key, v in saved.items()}
        groups.append({**group, "params": [index_of[name] for name in saved["params"]]})
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _grouped_names(optimizer: Optimizer, names: Mapping[str, Tensor]) -> list[list[str]]:
    name_of = {id(parameter): name for name, parameter in names.items()}
    try:
        return [[name_of[id(parameter)] for parameter in group["params"]] for group in optimizer.param_groups]
    except KeyError:
        raise ValueError("the optimizer holds a parameter that has no name") from None


def _folders(root: Path) -> list[tuple[int, Path]]:
    """All checkpoint folders by step; of one step, the one that stepped aside comes first."""
    found = []
    for folder in root.iterdir() if root.is_dir() else ():
        if match := _NAME.fullmatch(folder.name):
            found.append((int(match[1] or match[2]), match[1] is not None, folder))
    return [(step, folder) for step, _, folder in sorted(found)]


def _complete(root: Path) -> list[tuple[int, Path]]:
    return [(step, folder) for step, folder in _folders(root) if (folder / MANIFEST).is_file()]


def _verify(folder: Path) -> _Manifest:
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such checkpoint")
    if not (folder / MANIFEST).is_file():
        raise BadInput(f"{folder}: no {MANIFEST}, so the checkpoint is not complete; use an earlier one")
    manifest = parse(_Manifest, read_json(folder / MANIFEST), where=str(folder / MANIFEST))
    if STATE not in manifest.files:
        raise BadInput(f"{folder / MANIFEST}: does not name {STATE}; use an earlier checkpoint")
    for name, expected in manifest.files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise BadInput(f"{path}: named in {MANIFEST} but not a file of this checkpoint; use an earlier one")
        if path.stat().st_size != expected.bytes or sha256(path) != expected.sha256:
            raise BadInput(f"{path}: not what {MANIFEST} says (size or sha256): damaged; use an earlier checkpoint")
    return manifest


def _remove_older(root: Path, *, step: int, keep: int) -> None:
    """Keep the last `keep` up to `step`; later steps, of a run that was rewound, are not ours to remove."""
    complete = {saved: folder for saved, folder in _complete(root) if saved <= step}
    kept = list(complete.values())[-max(keep, 1) :]
    stale = [folder for saved, folder in _folders(root) if saved <= step and folder not in kept]
    for folder in (*stale, *root.glob(".step-*.partial")):
        with suppress(OSError):  # the new checkpoint stands; what cannot be removed now is removed next time
            (folder / MANIFEST).unlink(missing_ok=True)  # first, so that a kill leaves no damaged checkpoint
            shutil.rmtree(folder)
