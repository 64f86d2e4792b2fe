"""Predictors on disk.

A fine-tuned fp32 network is a plain model folder (train/weights.py), which transformers opens. The other kinds are
ours: `predictor.json` (kind, labels, facts), `predictor.safetensors` (arrays) and what the kind adds beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from quire.core.config import Settings, parse
from quire.core.errors import BadInput
from quire.predict.base import Predictor

if TYPE_CHECKING:
    from quire.predict.pointer import Pointer
    from quire.predict.rater import Rater
    from quire.predict.solver import Solver
    from quire.predict.writer import Writer

RECORD, ARRAYS = "predictor.json", "predictor.safetensors"
KINDS = {
    "majority": "quire.predict.majority:Majority",
    "tfidf": "quire.predict.tfidf:TfIdf",
    "features": "quire.predict.features:Features",
    "network": "quire.predict.network:Network",
    "int8": "quire.predict.network:Int8Network",
    "vote": "quire.predict.vote:Voting",
}
OTHERS = {
    "Pointer": ("points at what reviews say", "load_pointer"),
    "Rater": ("tells which categories reviews speak of", "load_rater"),
    "Solver": ("answers with spans, numbers or trees", "load_solver"),
    "Writer": ("writes texts", "load_writer"),
}
"""What answers with something else than labels: what it does, and how it is opened."""
SEVERAL = ("tasks/*", "models/*", "labels-*")
"""Where comparisons of several tasks or numbers of labels leave a model each."""
Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]


def _different(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a name that stands there twice")
    return names


Names: TypeAlias = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_different)]


class Facts(Settings):
    """What predictor.json says of every kind; each adds its own."""

    predictor: str
    labels: Names
    pairs: bool = False
    """Whether it labels pairs of texts."""


Held = TypeVar("Held", bound=Facts)


def load(path: str | Path) -> Predictor:
    """The predictor of a run folder (what it chose to deploy), of a predictor folder, or of a model folder."""
    found = opened(path)
    if isinstance(found, Predictor):
        return found
    raise _other(path, found)


def load_solver(path: str | Path) -> Solver:
    """What answers with spans, numbers or trees, or labels pairs, in a run folder or a model folder."""
    from quire.predict.solver import Cast, Solver

    found = opened(path)
    if isinstance(found, Cast):
        return found.solver
    if not isinstance(found, Solver):
        raise _other(path, found)
    return found


def load_writer(path: str | Path) -> Writer:
    """What writes in a run folder or a model folder."""
    found = opened(path)
    from quire.predict.writer import Writer

    if not isinstance(found, Writer):
        raise _other(path, found)
    return found


def load_pointer(path: str | Path) -> Pointer:
    """What points at aspects, opinions and polarities, in a run folder or a model folder."""
    from quire.predict.pointer import Pointer

    found = opened(path)
    if not isinstance(found, Pointer):
        raise _other(path, found)
    return found


def load_rater(path: str | Path) -> Rater:
    """What tells which categories reviews speak of and how these are liked, in a run folder or a model folder."""
    from quire.predict.rater import Rater

    found = opened(path)
    if not isinstance(found, Rater):
        raise _other(path, found)
    return found


def _other(path: str | Path, found: object) -> BadInput:
    """The refusal of what answers otherwise than was asked for, with its own opener."""
    verb, opener = OTHERS.get(type(found).__name__, ("labels texts", "load"))
    return BadInput(f"{path}: {verb}; open it with quire.{opener}")


def opened(path: str | Path) -> Predictor | Writer | Solver | Pointer | Rater:
    """Whatever answers texts in this folder."""
    folder = located(path)
    record: dict[str, Any] = _record(folder) if (folder / RECORD).is_file() else {"predictor": "network"}
    kind = record["predictor"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadInput(f"{folder / RECORD}: unknown predictor {kind!r:.40}; known: {', '.join(KINDS)}")
    if kind == "network":
        return _network(folder)
    module, _, name = KINDS[kind].partition(":")
    predictor: Predictor = getattr(import_module(module), name).load(folder)
    predictor.pairs = record.get("pairs", False)
    return predictor


def _network(folder: Path) -> Predictor | Writer | Solver | Pointer | Rater:
    """What was taught by a paradigm answers; else a classifier labels, and a head for that writes."""
    from quire.predict import pointer, rater, solver
    from quire.predict.network import Network
    from quire.predict.writer import EXTRA, Writer, writing_head
    from quire.train.weights import read_model

    files = read_model(folder)
    if rater.EXTRA in files.extra:
        return rater.Rater.of(folder, files)
    if solver.EXTRA in files.extra:
        found = solver.Solver.of(folder, files)
        return solver.Cast(found) if found.plan.task == "label" else found
    if pointer.EXTRA in files.extra:
        return pointer.Pointer.of(folder, files)
    if "classify" not in files.heads and (EXTRA in files.extra or writing_head(files)):
        return Writer.of(folder, files)
    return Network.of(folder, files)


def located(path: str | Path) -> Path:
    """The folder of the model itself, where a run folder holds one; BadInput where none is finished."""
    folder = Path(path)
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; give a run folder, or a model folder")
    for inner in ("model-int8", "model"):
        if (folder / inner).is_dir():
            folder = folder / inner
            break
    if not _is_model(folder):
        if several := [home for pattern in SEVERAL for home in sorted(folder.glob(pattern)) if _holds_model(home)]:
            raise BadInput(f"{folder}: holds several models; take one of {', '.join(map(str, several))}")
        raise BadInput(f"{folder}: holds no finished model; if a run was stopped here, give its command again")
    return folder


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (RECORD, "config.json", "adapter_config.json"))


def _holds_model(folder: Path) -> bool:
    return _is_model(folder) or _is_model(folder / "model")


def write_own(
    folder: Path,
    predictor: Predictor,
    *,
    arrays: Arrays,
    facts: Mapping[str, Any],
    card: str,
    also: Callable[[Path], None] | None = None,
) -> None:
    """Write a predictor of ours, whole or not at all; `also` writes what goes beside it."""
    from quire.train.safe import whole_folder, write_json, write_tensors

    with whole_folder(folder) as draft:
        import torch

        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        write_tensors(draft / ARRAYS, tensors)
        whose = {"predictor": predictor.kind, "labels": list(predictor.labels)}
        write_json(draft / RECORD, {**whose, **({"pairs": True} if predictor.pairs else {}), **facts})
        (draft / "README.md").write_text(card, encoding="utf-8")
        if also:
            also(draft)


def read_own(folder: Path, facts: type[Held]) -> tuple[Held, Arrays]:
    """The facts and arrays that `write_own` wrote; BadInput for others than these, and for NaN or infinity."""
    from quire.train.safe import read_tensors

    found = parse(facts, _record(folder), where=str(folder / RECORD))
    arrays = {name: tensor.numpy() for name, tensor in read_tensors(folder / ARRAYS).items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise BadInput(f"{folder / ARRAYS}: {name!r} holds NaN or infinity; write the folder again")
    return found, arrays


def shaped(folder: Path, arrays: Arrays, **shapes: tuple[int, ...]) -> None:
    """BadInput unless the arrays have these shapes, which follow from the facts."""
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape:
            had = f"has the shape {list(arrays[name].shape)}" if name in arrays else "is missing"
            raise BadInput(f"{folder / ARRAYS}: {name!r} {had}, {RECORD} asks for {list(shape)}; write it again")


def _record(folder: Path) -> dict[str, Any]:
    from quire.train.safe import read_json

    record = read_json(folder / RECORD)
    if not isinstance(record, dict) or not {"predictor", "labels"} <= record.keys():
        raise BadInput(f"{folder / RECORD}: names no predictor and labels; write the folder again")
    return record
