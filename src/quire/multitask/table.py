"""The survey's table: a row for each way, a column for each task, and what sharing gained on the average."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from quire.core.config import Settings
from quire.core.results import Study
from quire.core.verdict import Comparison, Estimate
from quire.judge import LEVEL, compare, holm, scores


class Cell(Settings):
    """One way on one task; `against` compares it with the way that its row is measured by."""

    dev: float
    test: Estimate
    against: Comparison | None = None


class Row(Settings):
    """One way on all tasks; `gain` is the mean of its differences, 0 to 1."""

    name: str
    title: str
    cells: Mapping[str, Cell]
    gain: float | None = None
    seconds: float
    """Of training, for one seed and all tasks together."""


class Table(Settings):
    """All rows; p is corrected over all of their comparisons at once (Holm 1979)."""

    tasks: tuple[str, ...]
    rows: tuple[Row, ...]
    level: float = LEVEL


def tabulate(studies: Mapping[str, Study], pairs: Sequence[tuple[str, str]]) -> Table:
    """The table of these studies, whose arms are the same; `pairs` are rows and what each is measured by."""
    found = {(name, c.a): c for name, study in studies.items() for c in compare(study, pairs)}
    against = dict(zip(found, _corrected(list(found.values())), strict=True))
    values = {name: {s.arm: s.score for s in scores(study)} for name, study in studies.items()}
    first = next(iter(studies.values()))

    def row(arm: str, title: str) -> Row:
        cells = {
            name: Cell(dev=_mean(s.arm(arm).dev), test=values[name][arm], against=against.get((name, arm)))
            for name, s in studies.items()
        }
        gains = [cell.against.difference.value for cell in cells.values() if cell.against]
        seconds = _mean([cost.seconds for cost in first.arm(arm).cost])
        return Row(name=arm, title=title, cells=cells, gain=_mean(gains) if gains else None, seconds=seconds)

    return Table(tasks=tuple(studies), rows=tuple(row(arm.name, arm.title) for arm in first.arms))


def _corrected(found: Sequence[Comparison]) -> Iterator[Comparison]:
    """The same with Holm's correction over all tasks: so many chances to find a difference by luck."""
    for comparison, p in zip(found, holm([c.p for c in found]), strict=True):
        better = comparison.a if comparison.difference.value > 0 else comparison.b
        winner = better if p < 1 - LEVEL and not comparison.difference.has_zero else None
        yield comparison.model_copy(update={"p_holm": p, "winner": winner})


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def markdown(table: Table) -> str:
    """The table as Markdown, scores in percent; + and - mark what differs from the first way by more than chance."""
    lines = [
        "| " + " | ".join(["way", *(f"{task}: dev | test" for task in table.tasks), "gain", "train s/seed"]) + " |",
        "|" + "---|" * (2 * len(table.tasks) + 3),
    ]
    for row in table.rows:
        cells = [f"{cell.dev * 100:.1f} | {_test(cell)}" for cell in row.cells.values()]
        gain = "" if row.gain is None else f"{row.gain * 100:+.1f}"
        lines.append("| " + " | ".join([row.title, *cells, gain, f"{row.seconds:.0f}"]) + " |")
    return "\n".join(lines)


def _test(cell: Cell) -> str:
    found = cell.test
    text = f"{found.value * 100:.1f} ({found.lower * 100:.1f} to {found.upper * 100:.1f})"
    if cell.against is None:
        return text
    return f"{text}, p {cell.against.p_holm:.3f}{_mark(cell)}"


def plain(table: Table) -> Iterator[str]:
    """The table for a terminal: mean scores on test in percent, a line a way."""
    yield f"{'way':36} " + " ".join(f"{task[:12]:>13}" for task in table.tasks) + f" {'gain':>7}"
    for row in table.rows:
        cells = [f"{cell.test.value * 100:.1f}{_mark(cell):2}" for cell in row.cells.values()]
        gain = "" if row.gain is None else f"{row.gain * 100:+.1f}"
        yield f"{row.title[:36]:36} " + " ".join(f"{cell:>13}" for cell in cells) + f" {gain:>7}"


def _mark(cell: Cell) -> str:
    if cell.against is None or cell.against.winner is None:
        return ""
    return " +" if cell.against.winner == cell.against.a else " -"
