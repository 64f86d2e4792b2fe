"""The command line: `python -m benchmarks [--quick] [--out results.jsonl]`."""

import os
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from benchmarks import drawing, show, text
from benchmarks.harness import Curve, Memory, Result, Row, Scale
from quire.core.errors import BadInput, QuireError
from quire.core.spec import Backbone
from quire.train.start import Base

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


class Name(StrEnum):
    """The benchmarks, each a module of this package."""

    PRETRAINING = "pretraining"
    STEPS = "steps"
    MEMORY = "memory"
    FINETUNING = "finetuning"
    INFERENCE = "inference"
    CORES = "cores"
    STAR = "star"
    CORRUPTION = "corruption"
    GENERATION = "generation"
    VECTORS = "vectors"
    ONNX = "onnx"
    GROWTH = "growth"
    CORPORA = "corpora"


FULL = Scale(
    pairs=5,
    batch=32,
    length=128,
    steps=2,
    skip=1,
    backbones={
        "4x256": Backbone(depth=4, width=256, heads=4, ffn=1024),
        "6x384": Backbone(depth=6, width=384, heads=12, ffn=1536),
    },
    samples=256,
    sentences=2000,
)
QUICK = replace(
    FULL,
    pairs=2,
    batch=8,
    steps=1,
    samples=64,
    sentences=64,
    lengths=(128, 256, 512),
    written=16,
    words=20_000,
    lessons=5,
    reviews=64,
    reaches=(64, 256),
    widths=(128, 256),
    vocabularies=(8_000, 30_522),
    corpora=(1_000_000, 10_000_000),
)
"""A smoke test: too little for figures that anyone should quote."""


@app.command()
def main(
    only: Annotated[list[Name] | None, typer.Option(help="One benchmark, repeatable; else all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A smoke test of a minute; its figures mean nothing.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads of either side.")] = 2,
    pairs: Annotated[int | None, typer.Option(min=1, help="Turns against each peer; 5 or more to quote.")] = None,
    sentences: Annotated[int | None, typer.Option(min=1, help="Sentences to embed in a turn.")] = None,
    data: Annotated[str, typer.Option(help="The text: a data set of the catalogue, or the default.")] = text.MANUAL,
    out: Annotated[Path | None, typer.Option(help="Add the results to this file, as JSON lines.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw all curves into this file (.svg, .png).")] = None,
) -> None:
    """Measure Quire and its peers side by side, in turn, in one run."""
    _pin(threads)
    scale = QUICK if quick else FULL
    scale = replace(scale, pairs=pairs or scale.pairs, sentences=sentences or scale.sentences)
    console, base, sample = show.console(), Base.load("minilm"), text.labelled(data)
    settings = {"data": data, "threads": threads, "quick": quick, "scale": _plain(scale)}
    began = {"record": "run", "began": datetime.now(UTC).isoformat(timespec="seconds"), **settings}
    _note(out, [began | {"environment": show.environment()}])
    rows: list[Row] = []
    memory: list[Memory] = []
    curves: list[Curve] = []
    remarks: list[str] = []
    for name in only or Name:
        found = _measured(name, sample, base, scale, console)
        if found:
            _note(out, list(show.records(found)))
            rows += found.rows
            memory += found.memory
            curves += found.curves
            remarks += found.remarks
    title = _title(data, threads, quick)
    if rows:
        console.print(show.table(rows, title))
        remarks.append(show.noise(rows))
    if memory:
        console.print(show.memory_table(memory, title))
    if curves:
        console.print(show.curve_table(curves, title))
        if plot:
            drawing.save(curves, plot)
    for remark in remarks:
        console.print(f"- {remark}")


def _pin(threads: int) -> None:
    torch.set_num_threads(threads)
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # the tokenizers of both sides
    os.environ["HF_HUB_OFFLINE"] = "1"  # peers open the folders that we wrote


def _measured(name: Name, sample: list[text.Labelled], base: Base, scale: Scale, console: Console) -> Result | None:
    console.print(f"{name} ...")
    try:
        with TemporaryDirectory() as folder:
            found: Result = import_module(f"benchmarks.{name}").measure(sample, base, scale, Path(folder))
    except BadInput as error:
        console.print(f"{name} is left out: {error}", markup=False)
        return None
    for agreement in found.agreements:
        console.print(f"the same on both sides: {agreement.what}, apart by {agreement.difference:.1e}")
    return found


def _title(data: str, threads: int, quick: bool) -> str:
    about = f"text: {data}; {threads} threads; medians, and quartiles of the ratios of neighbouring turns"
    return f"SMOKE TEST, not a measurement. {about}" if quick else about


def _plain(scale: Scale) -> dict[str, Any]:
    return asdict(scale) | {"backbones": {name: spec.model_dump() for name, spec in scale.backbones.items()}}


def _note(out: Path | None, records: list[dict[str, Any]]) -> None:
    if out:
        show.append(out, records)


if __name__ == "__main__":
    try:
        app()
    except QuireError as error:
        sys.stderr.write(f"benchmarks: {error}\n")
        sys.exit(error.exit_code)
