"""One export from a model folder to a folder that a server needs nothing else for.

onnx/model.onnx, onnx/model_quantized.onnx   where transformers.js, optimum and sentence-transformers look for them
config.json, tokenizer files                 those of the model
README.md                                    its card, with what was measured here and how to use the graph
export.json                                  the same figures for programs
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from quire.adapt.task import held_out
from quire.core.config import Settings
from quire.core.errors import BadInput
from quire.export.acceptance import MOST_TEXTS, Comparison, compare
from quire.export.card import card
from quire.export.graph import NEEDED, require, write_graph
from quire.export.int8 import WAYS, Tried, attempt, best, yardstick
from quire.export.runtime import Runtime
from quire.export.subject import Subject, subject
from quire.text.records import read_records
from quire.text.rows import Source
from quire.train.folder import RECIPE
from quire.train.machine import one_thread, processor
from quire.train.progress import Progress, Silent
from quire.train.safe import read_json, whole_folder, write_json

GRAPH, SMALL, RECORD = "onnx/model.onnx", "onnx/model_quantized.onnx", "export.json"


class Export(Settings):
    """export.json."""

    compared: Comparison
    tried: tuple[Tried, ...] = ()
    kept: str | None = None
    """The way of int8 that was kept."""
    max_loss: float | None = None
    cpu: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """What was exported, and where it lies."""

    folder: Path
    export: Export


def export_onnx(
    model: str | Path,
    *,
    out: str | Path | None = None,
    texts: Source | None = None,
    text_column: str = "text",
    pair_column: str | None = None,
    label_column: str | None = None,
    int8: bool = False,
    max_loss: float | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Write `model` (a run folder, a model folder, an embedded base) as ONNX, if it says what ours says on real texts.

    The texts are those given, pairs where there is a `pair_column`, with labels where a column is named, or else the
    dev texts of the run. BadInput, and
    nothing is written, where the two are apart; int8 that is not faster or loses more than `max_loss` points is left
    out and that is said. `out` is by default beside the model folder, with `-onnx` behind its name.
    """
    require()
    progress, found = progress or Silent(), subject(model)
    folder = _place(found, model, out)
    some, gold = _texts(
        model, texts, {"text_column": text_column, "pair_column": pair_column, "label_column": label_column}
    )
    with whole_folder(folder) as draft, one_thread():  # one core beside one core, as onnxruntime has it
        (draft / GRAPH).parent.mkdir()
        progress.say(f"Tracing {found.folder}")
        write_graph(found.graph, draft / GRAPH)
        progress.say(f"Comparing on {len(some)} texts")
        compared = compare(found, Runtime(draft / GRAPH), some)
        export = Export(compared=compared, cpu=processor(), versions=_versions())
        if int8:
            export = _in_int8(found, draft, some, gold, export, max_loss=max_loss, progress=progress)
        _beside(found, draft, export)
    return Outcome(folder, export)


def _in_int8(
    found: Subject,
    draft: Path,
    texts: Sequence[str],
    gold: Sequence[str],
    export: Export,
    *,
    max_loss: float | None,
    progress: Progress,
) -> Export:
    """Try all ways, keep one or none."""
    measure = yardstick(found, Runtime(draft / GRAPH), texts, gold)
    allowed = measure.allowed if max_loss is None else max_loss
    tried = []
    for way in WAYS:
        progress.say(f"Trying int8: {way.name}")
        tried.append(attempt(found, draft / GRAPH, draft / f"onnx/{WAYS.index(way)}.onnx", way, measure, texts))
    chosen = best(tried, max_loss=allowed)
    for i, one in enumerate(tried):
        place = draft / f"onnx/{i}.onnx"
        place.rename(draft / SMALL) if one is chosen else place.unlink()
    kept = chosen.way if chosen else None
    return export.model_copy(update={"tried": tuple(tried), "kept": kept, "max_loss": allowed})


def _place(found: Subject, model: str | Path, out: str | Path | None) -> Path:
    """The folder to write; BadInput for one that holds other things."""
    if out is None and not Path(model).is_dir():
        raise BadInput(f"export: {model} is no folder of yours; say where to with --out")
    home = found.folder.parent if found.folder.name == "encoder" else found.folder
    folder = home.with_name(f"{home.resolve().name}-onnx") if out is None else Path(out)
    if folder.exists() and not (folder / RECORD).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder}: exists and was not written by `quire export`; give another --out")
    return folder


def _texts(model: str | Path, texts: Source | None, columns: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The texts to compare on, spread over the file where it is long, and their labels or none."""
    if texts is not None:
        records = read_records(texts, **columns)
    elif (Path(model) / RECIPE).is_file():
        try:
            records = list(held_out(Path(model)).records)
        except BadInput as error:
            raise BadInput(f"{error}; give --texts, a file of real texts to compare on") from None
    else:
        raise BadInput("export: give --texts, a file of real texts: the graph is compared with the model on them")
    kept = list(islice(records, 0, None, -(-len(records) // MOST_TEXTS)))
    return [record.text for record in kept], [record.label for record in kept if record.label is not None]


def _beside(found: Subject, draft: Path, export: Export) -> None:
    """Configuration, tokenizer, card and record."""
    config = read_json(found.folder / "config.json")
    if found.labels:
        names = dict(enumerate(found.labels))
        config |= {"id2label": {str(i): name for i, name in names.items()}}
        config |= {"label2id": {name: i for i, name in names.items()}}
    write_json(draft / "config.json", config)
    found.tokenizer.save(draft)
    write_json(draft / RECORD, export.model_dump(mode="json"))
    was = found.folder / "README.md"
    before = was.read_text(encoding="utf-8") if was.is_file() else f"# {found.folder.name}\n"
    (draft / "README.md").write_text(card(before, found, export), encoding="utf-8")


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in ("quire", "torch", *NEEDED)}}
