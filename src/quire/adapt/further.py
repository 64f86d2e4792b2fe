"""A base that goes on with a recipe's objectives on text before labels are learnt (survey: further pre-training).

It is kept as a model folder of its own, beside the curve of its loss and what it cost.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quire.adapt.bench import Bench
from quire.core.config import parse
from quire.core.results import Cost, MlmPoint
from quire.pretrain import Material
from quire.train.log import cost_of
from quire.train.loop import fit
from quire.train.safe import read_json, write_whole
from quire.train.weights import ModelFiles, read_model

SUMMARY = "pretrain/summary.json"


def gone_on(bench: Bench, material: Material, home: Path, *, steps: int, title: str, domain: str) -> ModelFiles:
    """The body of the material's start after so many updates on its text, made now unless it stands in `home`."""
    if not (home / "base").is_dir():
        job = material.job(steps=steps, seed=bench.settings.seed)
        model = material.model(job)
        log = fit(
            model,
            job,
            folder=home / "pretrain",
            title=title,
            progress=bench.progress,
            stop=bench.stop,
            track=bench.track,
        )
        write_whole(home / SUMMARY, json.dumps(_summary(log)))
        material.save(model, home / "base", card=f"# A base after masked language modelling on {domain}\n")
        shutil.rmtree(home / "pretrain" / "checkpoints", ignore_errors=True)
    files = read_model(home / "base")
    body = {name: tensor for name, tensor in files.state.items() if name.startswith("backbone.")}
    return ModelFiles(files.backbone, heads={}, state=body)


def _summary(log: list[dict[str, Any]]) -> Mapping[str, Any]:
    width = max(len(log) // 200, 1)
    points, seconds = [], 0.0
    for start in range(0, len(log), width):
        part = log[start : start + width]
        seconds += sum(r["seconds"] for r in part)
        loss = sum(r.get("loss_mlm", r["loss"]) for r in part) / len(part)
        points.append({"step": part[-1]["step"], "loss": loss, "seconds": seconds})
    return {"points": points, "cost": cost_of(log).model_dump()}


def cost_of_going_on(home: Path) -> Cost:
    """What `gone_on` cost in this folder."""
    return parse(Cost, read_json(home / SUMMARY)["cost"], where=str(home / SUMMARY))


def points_of_going_on(home: Path) -> tuple[MlmPoint, ...]:
    """The curve of its loss."""
    return tuple(MlmPoint(**point) for point in read_json(home / SUMMARY)["points"])
