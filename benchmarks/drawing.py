"""Curves as a picture."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Curve

COLUMNS = 3


def save(curves: Sequence[Curve], path: Path) -> None:
    """A panel for each, sizes on a logarithmic axis, medians with quartiles, from 0 on; the format is that of the
    name."""
    from matplotlib.figure import Figure

    rows = -(-len(curves) // COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).flat
    for curve, axes in zip(curves, panels, strict=False):  # in this order: what is left is hidden
        sizes, spreads = list(curve.points), list(curve.spreads.values())
        axes.fill_between(sizes, [s.lower for s in spreads], [s.upper for s in spreads], alpha=0.2)
        axes.plot(sizes, [s.median for s in spreads], marker="o")
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=7)
        axes.minorticks_off()
        axes.set_ylim(0, 1.15 * max(s.upper for s in spreads) or 1)
        axes.set_title(curve.title, fontsize=9)
        axes.set_xlabel(curve.over, fontsize=8)
    for axes in panels:
        axes.set_visible(False)
    figure.savefig(path)
