"""What pages of studies share: a study that goes on where it was stopped, the table of what it found, and a command.

A study is a function from `Work` to the parts of its page. Whatever it makes lies in its folder.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Annotated, Generic, TypeAlias, TypeVar

import torch
import typer

from quire.core.config import Settings, override, parse
from quire.core.errors import QuireError
from quire.core.random import rng
from quire.core.results import Study
from quire.judge import compare, scores
from quire.train.progress import Progress, Silent, shown
from quire.train.signals import StopRequest, stop_on_signal

Scale = TypeVar("Scale", bound=Settings)
Row = TypeVar("Row")


@dataclass(frozen=True)
class Work(Generic[Scale]):
    """What a study is handed: its folder, where it goes on, how much is done, and who is told."""

    home: Path
    scale: Scale
    progress: Progress = field(default_factory=Silent)
    stop: StopRequest = field(default_factory=StopRequest)

    @property
    def files(self) -> Path:
        return self.home / "files"


Found: TypeAlias = Callable[[Work[Scale]], Iterator[str]]
"""A study: from its work to the parts of its page."""


def home(*parts: str) -> Path:
    """A place among the data sets."""
    return Path(os.environ["QUIRE_DATA"]).joinpath(*parts)


def shuffled(rows: Sequence[Row], *key: str) -> list[Row]:
    """In an order that the key tells; `transfer` before it, since the draws of that page, the first, stay."""
    return [rows[i] for i in rng(0, "transfer", *key).permutation(len(rows))]


def drawn(rows: Sequence[Row], count: int | None, *key: str) -> list[Row]:
    """So many of them; all, as they stand, for None or too many."""
    return [*rows] if count is None or count >= len(rows) else shuffled(rows, *key)[:count]


def told(study: Found[Scale], work: Work[Scale]) -> str:
    """What a study found, as Markdown, which is also left beside its folder, as far as it is."""
    work.home.mkdir(parents=True, exist_ok=True)
    page, parts = work.home.with_suffix(".md"), list[str]()
    for part in study(work):
        parts.append(part)
        page.write_text("\n".join(parts), encoding="utf-8")
    return "\n".join(parts)


def table(
    study: Study,
    *,
    against: str,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    published: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Markdown: an arm a row, with a paired comparison with one of them, corrected over the table (Holm).

    `columns` have more cells by arm; what others published stands in a column of its own.
    """
    more = {**(columns or {}), "published": published or {}}
    found = {score.arm: score.score for score in scores(study)}
    pairs = [(arm.name, against) for arm in study.arms if arm.name != against]
    compared = {comparison.a: comparison for comparison in compare(study, pairs)}
    yield f"| arm | learns | dev | test (95 %) | against {against} | p | training, s | {' | '.join(more)} |"
    yield f"|{'---|' * (7 + len(more))}"
    for arm in study.arms:
        score, other = found[arm.name], compared.get(arm.name)
        cells = [
            arm.name.replace("_", " "),
            f"{arm.trainable:,}" if arm.trainable else "",
            f"{100 * mean(arm.dev):.1f}",
            f"{100 * score.value:.1f} ({100 * score.lower:.1f} to {100 * score.upper:.1f})",
            f"{100 * other.difference.value:+.1f}" if other else "",
            f"{other.p_holm:.3f}" if other else "",
            f"{mean(cost.seconds for cost in arm.cost):.0f}",
            *(cell_of.get(arm.name, "") for cell_of in more.values()),
        ]
        yield f"| {' | '.join(cells)} |"


def run(title: str, studies: Mapping[str, Found[Scale]], full: Scale) -> None:
    """The command line over studies: those that are named, or all; exits as an error of Quire's asks."""

    def main(
        out: Path,
        study: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(studies)}, repeatable; else all.")] = None,
        changes: Annotated[
            list[str] | None, typer.Option("--set", help="A number of `Scale`, as `seeds=1`; repeatable.")
        ] = None,
        threads: Annotated[int, typer.Option(min=1)] = 1,
    ) -> None:
        """Make what is missing of the studies, and print their tables."""
        torch.set_num_threads(threads)
        scale = parse(type(full), override(full.model_dump(), changes or []), where=title)
        if unknown := [name for name in study or () if name not in studies]:
            raise typer.BadParameter(f"no study {unknown[0]!r}; there are {', '.join(studies)}")
        for name in study or studies:
            began = time.perf_counter()
            with shown() as progress, stop_on_signal() as stop:
                found = told(studies[name], Work(out / name, scale, progress, stop))
            typer.echo(f"## {name}\n\n{found}\n{time.perf_counter() - began:,.0f} s in this call")

    try:
        typer.run(main)
    except QuireError as error:
        sys.stderr.write(f"{title}: {error}\n")
        sys.exit(error.exit_code)
