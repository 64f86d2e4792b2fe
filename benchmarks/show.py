"""What was measured, as a table for a person and as JSON lines for a program."""

import json
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.harness import ALIKE, TRIES, Curve, Memory, Result, Row, Spread
from quire.train.machine import cores, processor

PACKAGES = ("quire", "torch", "transformers", "accelerate", "sentence-transformers", "gensim", "tokenizers", "numpy")


WIDTH = 120
"""Columns in a pipe, where a terminal does not say."""


def console() -> Console:
    found = Console(highlight=False)
    return found if found.is_terminal else Console(width=WIDTH, highlight=False)


def environment() -> dict[str, Any]:
    """What the figures depend on, apart from the text and the scale."""
    return {
        "processor": processor(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def append(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Add records to a file of JSON lines."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def records(result: Result) -> Iterator[dict[str, Any]]:
    """A record for each row: every pair of seconds, so that any figure can be worked out again, and the table's own."""
    for row in result.rows:
        ours, peer = row.speeds
        our_share, peer_share = row.shares
        yield {
            "record": "row",
            **asdict(row),
            "ratio": asdict(row.ratio),
            "speed": {"ours": asdict(ours), "peer": asdict(peer)},
            "share_of_peak": {"ours": asdict(our_share), "peer": asdict(peer_share)},
        }
    for memory in result.memory:
        yield {"record": "memory", **asdict(memory), "ratio": asdict(memory.ratio)}
    for curve in result.curves:
        spreads = {size: asdict(spread) for size, spread in curve.spreads.items()}
        yield {"record": "curve", **asdict(curve), "spreads": spreads}
    for agreement in result.agreements:
        yield {"record": "agreement", **asdict(agreement)}
    for remark in result.remarks:
        yield {"record": "remark", "text": remark}


def table(rows: Iterable[Row], title: str) -> Table:
    """Medians; in brackets the quartiles of the ratios of neighbouring turns; shares as quire / peer; pairs that count,
    and in brackets those thrown away, if any, since the machine did not give both sides the same."""
    made = Table(title=title, title_justify="left")
    made.add_column("measured")
    made.add_column("against")
    for heading in ("quire", "peer", "quire / peer", "share of peak", "pairs"):
        made.add_column(heading, justify="right")
    for row in rows:
        ours, peer = row.speeds
        our_share, peer_share = row.shares
        made.add_row(
            f"{row.benchmark}, {row.unit}/s",
            row.peer,
            f"{ours.median:,.0f}",
            f"{peer.median:,.0f}",
            _ratio(row.ratio),
            f"{our_share.median:.0%} / {peer_share.median:.0%}" if row.flops else "",
            f"{len(row.pairs)} (+{row.again})" if row.again else str(len(row.pairs)),
        )
    return made


def memory_table(found: Iterable[Memory], title: str) -> Table:
    """Medians of megabytes; in brackets the quartiles of the ratios of neighbouring runs."""
    made = Table(title=title, title_justify="left")
    made.add_column("measured, MB")
    made.add_column("against")
    for heading in ("quire", "peer", "quire / peer", "pairs"):
        made.add_column(heading, justify="right")
    for memory in found:
        ours, theirs = (f"{Spread.of(side).median / 1e6:,.0f}" for side in (memory.ours, memory.theirs))
        made.add_row(memory.benchmark, memory.peer, ours, theirs, _ratio(memory.ratio), str(len(memory.ours)))
    return made


def curve_table(curves: Iterable[Curve], title: str) -> Table:
    """Medians, and in brackets quartiles, size by size."""
    made = Table(title=title, title_justify="left")
    made.add_column("measured")
    made.add_column("over")
    for heading in ("at", "median", "quartiles", "runs"):
        made.add_column(heading, justify="right")
    for curve in curves:
        for size, spread in curve.spreads.items():
            first = size == next(iter(curve.points))
            made.add_row(
                curve.title if first else "",
                curve.over if first else "",
                f"{size:,}",
                _figure(spread.median),
                f"{_figure(spread.lower)} to {_figure(spread.upper)}",
                str(len(curve.points[size])),
                end_section=size == list(curve.points)[-1],
            )
    return made


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _ratio(spread: Spread) -> str:
    return f"{spread.median:.2f} [{spread.lower:.2f} to {spread.upper:.2f}]"


def noise(rows: Sequence[Row]) -> str:
    """How many pairs were taken again, and how many count that should have been once more."""
    taken, again, unlike = (sum(part) for part in zip(*((len(r.pairs), r.again, r.unlike) for r in rows), strict=True))
    return (
        f"Noise: {again} pairs were taken again, since the products before their two turns differed by more than "
        f"{ALIKE - 1:.0%}; of the {taken} that count, {unlike} still differ so after {TRIES} tries."
    )
