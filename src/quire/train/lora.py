"""LoRA folders as the library peft writes them: what was learnt over a base, and nothing of the base.

adapter_config.json         the base, the rank R and the scale
adapter_model.safetensors   base_model.model.<module>.lora_A.weight [R, I] and .lora_B.weight [O, R] of each updated
                            matrix [O, I]; whole modules (`modules_to_save`: a classifier) under their own names

Such a folder is read as the model that it makes of its base: W + (alpha / R) B A. `quire.export.lora` writes one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from quire.core.config import Settings, parse
from quire.core.errors import BadInput
from quire.core.spec import Positive, Size
from quire.text.opening import HOLDERS, WHOLE
from quire.train.convert import checked
from quire.train.embedded import HUB, home_of
from quire.train.families import FAMILIES, read_config
from quire.train.safe import read_json, read_tensors
from quire.train.sharded import read_weights

CONFIG, ADAPTER = "adapter_config.json", "adapter_model.safetensors"
WITHIN = "base_model.model."
"""What their names begin with."""
A, B = ".lora_A.weight", ".lora_B.weight"
# What the tensors say too, or only training asks. All other fields must be empty: with them it is no plain LoRA.
_TOLD = {
    "auto_mapping",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "lora_dropout",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "target_modules",
    "task_type",
}


class Plan(Settings):
    """The fields of adapter_config.json that count."""

    peft_type: Literal["LORA"]
    base_model_name_or_path: str
    r: Size
    lora_alpha: Positive
    modules_to_save: tuple[str, ...] | None = None
    use_rslora: bool = False
    fan_in_fan_out: bool = False
    """Whether the base has its matrices transposed (GPT-2)."""
    init_lora_weights: bool | Literal["gaussian", "eva", "orthogonal"] = True
    """Others change the base as well (PiSSA)."""

    @property
    def scale(self) -> float:
        return self.lora_alpha / (sqrt(self.r) if self.use_rslora else self.r)


@dataclass(frozen=True)
class OverBase:
    """A base with what was learnt over it, as a model folder of theirs would hold it."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    learnt: Collection[str]
    """Those of `tensors` that the base lacks."""

    def check(self, unused: Collection[str], where: Path) -> None:
        """BadInput where something learnt found no place."""
        if lost := sorted({*self.learnt} & {*unused}):
            raise BadInput(f"{where / ADAPTER}: nothing of ours holds {lost[0]!r}; merge it with peft, save the whole")


def is_lora(folder: Path) -> bool:
    """Whether a folder is one of peft's."""
    return (folder / CONFIG).is_file()


def tokenizer_home(folder: Path) -> Path:
    """Where the tokenizer of a model folder lies: a LoRA folder may leave it with its base."""
    names = (WHOLE, *(name for holders in HOLDERS.values() for name in holders))
    if not is_lora(folder) or any((folder / name).is_file() for name in names):
        return folder
    return _base(_plan(folder), folder)


def over_base(folder: Path) -> OverBase:
    """The base of a LoRA folder with all that was learnt added to it.

    BadInput, one line: no base, or one that peft does not know; a field that makes it another thing than plain LoRA; a
    tensor of another shape or name; a pickle.
    """
    plan = _plan(folder)
    base, where = _base(plan, folder), folder / ADAPTER
    config = read_json(base / "config.json")
    family, _ = read_config(config, where=base / "config.json")
    tensors = read_weights(base)
    names = {name.removeprefix(family.prefix): name for name in tensors}
    learnt = {_plain(name, family.prefix, where): tensor for name, tensor in _learnt(folder).items()}
    added: dict[str, Tensor] = {}
    for name in sorted(learnt):
        module, kind = _parted(name)
        if kind == "":
            _check_whole(family.prefix + name, plan, where)
            tensors[names.get(name, name)] = added[name] = learnt[name]
            continue
        if f"{module}{A}" not in learnt or f"{module}{B}" not in learnt or f"{module}.weight" not in names:
            raise BadInput(f"{where}: {name!r} has no fellow, or the base no {module}.weight; save the adapter again")
        if kind == A:
            own = names[f"{module}.weight"]
            tensors[own] = _updated(tensors[own], learnt, module, plan, where)
    # A classifier of peft's brings no names for its labels.
    kept = {k: v for k, v in config.items() if not (added and k in ("id2label", "label2id"))}
    return OverBase(kept, tensors, added.keys())


def _learnt(folder: Path) -> dict[str, Tensor]:
    if not (folder / ADAPTER).exists() and (folder / "adapter_model.bin").exists():
        raise BadInput(f"{folder}: adapter_model.bin is a pickle; open it with peft and save it as safetensors")
    return read_tensors(folder / ADAPTER)


def _plain(name: str, prefix: str, where: Path) -> str:
    if not name.startswith(WITHIN):
        raise BadInput(f"{where}: {name!r:.80} is no name of peft's, they begin with {WITHIN}; save the adapter again")
    return name.removeprefix(WITHIN).removeprefix(prefix)


def _parted(name: str) -> tuple[str, str]:
    """The module that a tensor updates, and as which factor; or its own name, and nothing."""
    kind = next((end for end in (A, B) if name.endswith(end)), "")
    return name.removesuffix(kind), kind


def _check_whole(name: str, plan: Plan, where: Path) -> None:
    known = any(f".{module}." in f".{name}" for module in plan.modules_to_save or ())
    if not known or "lora_" in name:
        raise BadInput(f"{where}: {name!r:.80} is in no module that {CONFIG} saves; only plain LoRA can be read")


def _updated(whole: Tensor, learnt: Mapping[str, Tensor], module: str, plan: Plan, where: Path) -> Tensor:
    if whole.ndim != 2:
        raise BadInput(f"{where}: {module} is no matrix in the base; take the base that the adapter was learnt over")
    rows, width = whole.T.shape if plan.fan_in_fan_out else whole.shape
    a_RI = checked(learnt, f"{module}{A}", (plan.r, width), where)
    b_OR = checked(learnt, f"{module}{B}", (rows, plan.r), where)
    change = plan.scale * (b_OR @ a_RI)
    return whole.to(torch.float32) + (change.T if plan.fan_in_fan_out else change)


def _plan(folder: Path) -> Plan:
    """The settings of a LoRA folder, or why it is none that can be read."""
    where = folder / CONFIG
    content = read_json(where)
    if not isinstance(content, dict):
        raise BadInput(f"{where}: expected an object with the adapter's settings")
    own = {name: value for name, value in content.items() if name in Plan.model_fields and value is not None}
    for name, value in content.items():
        if name not in own and name not in _TOLD and value not in (None, False, {}, [], "none"):
            raise BadInput(f"{where}: {name} {value!r:.40} is not plain LoRA; merge it with peft and save the whole")
    return parse(Plan, own, where=str(where))


def _base(plan: Plan, folder: Path) -> Path:
    """The folder of its base."""
    name, where = plan.base_model_name_or_path, folder / CONFIG
    own = {theirs: ours for ours, theirs in HUB.items()}
    base = home_of(own.get(name, name))
    if not base.is_dir():
        raise BadInput(
            f"{where}: base_model_name_or_path {name!r:.80} is no folder here; put the base's folder there, "
            f"fetched first where it is a model of a hub"
        )
    if is_lora(base):
        raise BadInput(f"{where}: the base {name!r:.80} is a LoRA folder itself; merge that one first")
    config = read_json(base / "config.json")
    if not isinstance(config, dict) or config.get("model_type", "bert") not in FAMILIES:
        raise BadInput(f"{where}: the base {name!r:.80} is no model of transformers that Quire knows; take another")
    return base
