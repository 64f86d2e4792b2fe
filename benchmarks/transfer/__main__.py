"""The command line: `python -m benchmarks.transfer OUT [--study strategies]`.

A study that is finished is not made again, and one that was stopped goes on. Each writes `OUT/<study>.md` and says how
long it trained.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.transfer import long_texts, paradigms, sharing, strategies, structures
from benchmarks.transfer.scale import Work
from quire.core.errors import QuireError
from quire.train.progress import shown
from quire.train.signals import stop_on_signal

Study = Callable[[Work], Iterator[str]]
STUDIES: Mapping[str, Study] = {
    "strategies": strategies.run,
    "paradigms": paradigms.run,
    "long-texts": long_texts.run,
    "structures": structures.run,
    "sharing": sharing.run,
}


def told(name: str, work: Work) -> str:
    """What a study found, as Markdown, which is also left beside its folder, as far as it is."""
    work.home.mkdir(parents=True, exist_ok=True)
    page, parts = work.home.with_suffix(".md"), list[str]()
    for part in STUDIES[name](work):
        parts.append(part)
        page.write_text("\n".join(parts), encoding="utf-8")
    return "\n".join(parts)


def main(
    out: Path,
    study: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(STUDIES)}, repeatable; else all.")] = None,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Make what is missing of the studies, and print their tables."""
    torch.set_num_threads(threads)
    for name in study or STUDIES:
        began = time.perf_counter()
        with shown() as progress, stop_on_signal() as stop:
            found = told(name, Work(out / name, progress=progress, stop=stop))
        typer.echo(f"## {name}\n\n{found}\n{time.perf_counter() - began:,.0f} s in this call")


if __name__ == "__main__":
    try:
        typer.run(main)
    except QuireError as error:
        sys.stderr.write(f"transfer: {error}\n")
        sys.exit(error.exit_code)
