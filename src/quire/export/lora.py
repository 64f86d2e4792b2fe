"""What LoRA learnt as the library peft opens it over the base: the layout is that of `quire.train.lora`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quire.core.config import read_yaml
from quire.core.errors import BadInput
from quire.export.subject import network_of
from quire.train.embedded import HUB, home_of
from quire.train.families import read_config
from quire.train.families.base import Family, Row
from quire.train.folder import RECIPE
from quire.train.lora import ADAPTER, CONFIG, WITHIN, A, B
from quire.train.safe import read_json, whole_folder, write_json, write_tensors
from quire.train.start import tokenizer_of
from quire.train.weights import ModelFiles, check_place, read_model, write_record
from quire.tuning.lora import add

CARD = """\
---
library_name: peft
base_model: {base}
---

# Low-rank updates of {base}

Written by Quire. They were learnt over that base, with its classifier of {outputs} labels:

    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    base = AutoModelForSequenceClassification.from_pretrained("folder of the base", num_labels={outputs})
    PeftModel.from_pretrained(base, "this folder")
"""


LEARNING = "learn them with quire finetune --paradigm class --set 'strategy={lora: {}}'"
"""What always leaves a run with updates."""


def export_lora(model: str | Path, *, out: Path, base: str | None = None) -> str:
    """Write the updates and the classifier of a run or a model folder into `out`, whole or not at all.

    `base` is what they were learnt over, by default what the run says; returns it. BadInput where the weights are not
    that base's with these updates, and for what peft has no place for.
    """
    folder = network_of(Path(model))
    if not (folder / "config.json").is_file() or not (files := read_model(folder)).updates:
        raise BadInput(f"{_without(Path(model), folder)} holds no low-rank updates; {LEARNING}")
    name = base or _begun_from(Path(model))
    home = home_of(name)
    if not home.is_dir():
        gone = f"--base {name}: no such folder" if base else f"{model}: learnt over {name}, which is no folder here"
        raise BadInput(f"{gone}; give the base that this was learnt over with --base")
    _check_base(files, read_model(home), folder=folder, name=name)
    family, _ = read_config(read_json(home / "config.json"), where=home / "config.json")
    there = _There.of(files, family, folder)
    told = HUB[name] if name in HUB else str(home.resolve())
    check_place(out)
    with whole_folder(out) as draft:
        tokenizer_of(folder, files.backbone).save(draft)
        write_json(draft / CONFIG, there.config(base=told))
        write_tensors(draft / ADAPTER, there.tensors())
        outputs = getattr(files.heads["classify"], "outputs", 2)
        (draft / "README.md").write_text(CARD.format(base=told, outputs=outputs), encoding="utf-8")
        heads = {"classify": files.heads["classify"]}
        write_record(draft, backbone=files.backbone, heads=heads, labels=files.labels, extra=files.extra)
    return told


@dataclass(frozen=True)
class _There:
    """Updates and classifier under their names."""

    alpha: float
    factors: Mapping[str, tuple[Tensor, Tensor]]
    """By module."""
    whole: Mapping[str, Tensor]
    modules: frozenset[str]
    """All matrices of the body."""
    prefix: str

    @classmethod
    def of(cls, files: ModelFiles, family: Family, folder: Path) -> _There:
        if "classify" not in files.heads:
            raise BadInput(
                f"{folder}: only classifiers of texts go into peft's layout; `quire predict` opens it as it is"
            )
        _, heads = family.architecture({"classify": files.heads["classify"]})
        if not heads:
            raise BadInput(f"{folder}: transformers has no place for its head; train with `pool: first`, no mix")
        rows = {row.ours: row for row in family.rows(family.held(files.backbone), heads)}
        factors: dict[str, tuple[Tensor, Tensor]] = {}
        for place, k, a_RI, b_OR in parted(files.updates):
            for module, part in _modules(rows[f"{place}.weight"], k, b_OR, family, folder):
                factors[module] = (a_RI, part)
        whole = {
            (family.prefix if row.prefixed else "") + name: part
            for row in rows.values()
            if row.ours.startswith("heads.")
            for name, part in zip(row.theirs, row.parted(files.state[row.ours]), strict=True)
        }
        body = (row for row in rows.values() if row.ours.startswith("backbone.") and len(row.shape) == 2)
        modules = frozenset(family.prefix + name.removesuffix(".weight") for row in body for name in row.theirs)
        return cls(float(files.updates["alpha"]), factors, whole, modules, family.prefix)

    def tensors(self) -> dict[str, Tensor]:
        found = {WITHIN + name: tensor for name, tensor in self.whole.items()}
        for module, (a_RI, b_OR) in self.factors.items():
            found |= {f"{WITHIN}{module}{A}": a_RI, f"{WITHIN}{module}{B}": b_OR}
        return found

    def config(self, *, base: str) -> dict[str, Any]:
        """Every field that decides what peft computes."""
        [rank] = {len(a_RI) for a_RI, _ in self.factors.values()}
        last = {module.rpartition(".")[2] for module in self.factors}
        short = {module for module in self.modules if module.rpartition(".")[2] in last} == self.factors.keys()
        return {
            "peft_type": "LORA",
            "task_type": "SEQ_CLS",
            "base_model_name_or_path": base,
            "r": rank,
            "lora_alpha": self.alpha,
            "lora_dropout": 0.0,
            "target_modules": sorted(last if short else self.factors),
            "modules_to_save": sorted({self._saved(name) for name in self.whole}),
            "bias": "none",
            "fan_in_fan_out": False,
            "init_lora_weights": True,
            "use_rslora": False,
            "use_dora": False,
            "rank_pattern": {},
            "alpha_pattern": {},
            "inference_mode": True,
        }

    def _saved(self, name: str) -> str:
        """The module with a tensor of the classifier: one in the body (a pooler), or the classifier itself."""
        return name.rpartition(".")[0] if name.startswith(self.prefix) else name.partition(".")[0]


def parted(updates: Mapping[str, Tensor]) -> Iterator[tuple[str, int, Tensor, Tensor]]:
    """Layer, which matrix in it, A [R, I] and B [O, R] of each update."""
    for name in updates:
        if name.endswith(".a"):
            place, _, k = name.removesuffix(".a").rpartition(".")
            yield place, int(k), updates[name], updates[f"{place}.{k}.b"]


def _modules(row: Row, k: int, b_OR: Tensor, family: Family, folder: Path) -> Iterable[tuple[str, Tensor]]:
    """Their modules that hold the k-th matrix of one of ours, each with its rows of B."""
    own = row.shape[0] // len(row.theirs)
    if len(b_OR) % own or row.transposed or not all(name.endswith(".weight") for name in row.theirs):
        raise BadInput(f"{folder}: {family.model_type} has {row.theirs[0]} otherwise than LoRA here was put on it")
    first, several = k * len(b_OR) // own, len(b_OR) // own
    names = row.theirs[first : first + several]
    modules = [family.prefix + name.removesuffix(".weight") for name in names]
    return zip(modules, b_OR.chunk(several), strict=True)


def _check_base(files: ModelFiles, base: ModelFiles, *, folder: Path, name: str) -> None:
    """BadInput unless the weights are the base's and the updates."""
    body = {name: t for name, t in base.state.items() if name.startswith("backbone.")}
    try:
        for place, k, a_RI, b_OR in parted(files.updates):
            weight = f"{place}.weight"
            body[weight] = body[weight].clone()
            add(body[weight], k, a_RI, b_OR, scale=float(files.updates["alpha"]) / len(a_RI))
        same = all(torch.allclose(files.state[name], t, rtol=1e-4, atol=1e-5) for name, t in body.items())
    except (KeyError, RuntimeError):
        same = False
    if not same:
        raise BadInput(f"{folder}: its weights are not those of {name} with its updates; give --base, what it was")


def _without(run: Path, folder: Path) -> str:
    """A model that has no updates: of a comparison, what was deployed may not be what LoRA learnt."""
    results = run / "results.json"
    told = read_json(results) if results.is_file() else None
    selected = told.get("selected") if isinstance(told, dict) else None
    return f"{run}: this run deployed {selected}, which" if selected else f"{folder}:"


def _begun_from(run: Path) -> str:
    """The base that a run tells of."""
    for home in (run, run.parent):
        if (home / RECIPE).is_file():
            told = read_yaml(home / RECIPE)
            if base := told.get("start") or told.get("base") or (told.get("recipe") or {}).get("base"):
                return str(base)
    raise BadInput(f"{run}: does not say what it was learnt over; give --base")
