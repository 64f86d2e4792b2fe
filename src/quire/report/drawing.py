"""Figures as inline SVG in the colours of the page.

Colours are placeholders that become CSS variables, so one drawing serves light and dark; text stays text, so that
the browser's fonts show Chinese. Nothing touches pyplot: a figure is a value, not global state.
"""

import re
import warnings
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, ACCENT, PAPER = "#010101", "#010102", "#010103", "#010104", "#010105"
SERIES = ("#010111", "#010112", "#010113", "#010114", "#010115", "#010116")
_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", ACCENT: "accent", PAPER: "paper"} | {
    color: f"series-{number}" for number, color in enumerate(SERIES, 1)
}
SMALL = 10


def blank(*, height: float, width: float = 5.0) -> "tuple[Figure, Axes]":
    """A figure of this size in inches with one pair of axes, in the page's colours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(which="both", colors=MUTED, labelcolor=INK, labelsize=SMALL)
    axes.locator_params(nbins=6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=INK, fontsize=10.5)
    return figure, axes


def svg(figure: "Figure", name: str, words: str) -> str:
    """The drawing as an `<svg>` for HTML: ids of its own, CSS colours, `words` for those who cannot see it."""
    from html import escape

    from matplotlib import rc_context

    file = StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": f"quire {name}"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # only for measuring: the browser draws them
        figure.savefig(file, format="svg", metadata=nothing)
    drawing = file.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r'\bid="', f'id="{name}-', drawing)
    drawing = re.sub(r'(url\(|href=")#', rf"\1#{name}-", drawing)
    for color, variable in _VARIABLES.items():
        drawing = drawing.replace(color, f"var(--{variable})")
    [box] = re.findall(r'viewBox="[^"]*"', drawing[: drawing.index(">")])
    opening = f'<svg {box} role="img" aria-label="{escape(words)}" style="--aspect: {figure.get_figwidth():g}">'
    return opening + drawing[drawing.index(">") + 1 :].strip()
