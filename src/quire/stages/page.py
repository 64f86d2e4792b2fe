"""The report of a comparison of sources: the survey's table, and what text of each kind gained on the average."""

from __future__ import annotations

from collections.abc import Iterator

from quire.multitask.table import Table, markdown
from quire.stages.settings import RELATIONS, Relation, StageSettings

LEGEND = (
    "A row is what the base went on with before the labels were learnt. Scores are {} in percent, the mean over {} "
    "seeds, with {:.0%} intervals of a paired bootstrap over texts and seeds. p compares with the row without and is "
    "corrected over the whole table (Holm); + and - mark a difference that is more than chance. A source was gone on "
    "with once: seeds are those of fine-tuning. Test was read once for each task, at the end."
)


def gains(settings: StageSettings, table: Table) -> Iterator[tuple[Relation, float, int]]:
    """Of each relation of source and task: the mean of its differences, 0 to 1, and of how many cells."""
    for relation in RELATIONS:
        found = [
            cell.against.difference.value
            for row in table.rows
            for task, cell in row.cells.items()
            if cell.against and settings.relation(row.name, task) == relation
        ]
        if found:
            yield relation, sum(found) / len(found), len(found)


def page(settings: StageSettings, table: Table, proof: str) -> str:
    """`report.md`."""
    title = " ".join(settings.title.split()) or "Further pre-training"
    told = "".join(
        f"- {relation}: {gain * 100:+.1f} points, the mean of {count} cell{'s' if count > 1 else ''}\n"
        for relation, gain, count in gains(settings, table)
    )
    sets = "".join(f"- {source}: text of {', '.join(names)}\n" for source, names in settings.sources.items())
    pages = "".join(f"- [{task}](tasks/{task}/report.html), {settings.domain(task)}\n" for task in table.tasks)
    legend = LEGEND.format(settings.metric, settings.seeds, table.level)
    return f"# {title}\n\n{markdown(table)}\n\n{legend}\n\n{told}\n{sets}\n{proof}\n\n{pages}"
