"""Points as a drawing that can be read: a colour and a shape for each label, names where there is room, and the name of
every point under the pointer. Legend: P points.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import east_asian_width

import numpy as np

from quire.explain.projection import Doubles, Picture
from quire.explain.space import Space
from quire.report import words
from quire.report.drawing import ACCENT, INK, SERIES, blank, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 9.0, 6.2
"""Inches, of 72 points."""
SIZE = 8.5
"""Of names, in points."""
SHAPES = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"))
GROUPS = len(SERIES) * len(SHAPES) - 1
"""Labels that have a look of their own; the rarer ones share one."""


class Group(NamedTuple):
    """A label in the key: which points have it, their colour among `SERIES`, and their shape."""

    label: str
    points: tuple[int, ...]
    color: int
    shape: int

    @property
    def sign(self) -> str:
        return SHAPES[self.shape][1]


def groups(labels: Sequence[str]) -> list[Group]:
    """The labels in alphabetical order; where there are too many to tell apart, the rarest are one group at the end."""
    kept = sorted(label for label, _ in Counter(sorted(labels)).most_common(GROUPS))
    named = [(label, tuple(i for i, other in enumerate(labels) if other == label)) for label in kept]
    if rest := tuple(i for i, label in enumerate(labels) if label not in kept):
        named.append((f"{len(set(labels)) - len(kept)} rarer labels", rest))
    looks = ((n % len(SERIES), (n + n // len(SERIES)) % len(SHAPES)) for n in range(len(named)))
    return [Group(label, points, *look) for (label, points), look in zip(named, looks, strict=True)]


def scatter(picture: Picture, space: Space, among: Sequence[Group]) -> str:
    """The drawing; `among` are the groups of labels, or nothing where all points look alike."""
    figure, axes = blank(height=HEIGHT, width=WIDTH)
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    if picture.axes:
        axes.set(xlabel=picture.axes[0], ylabel=picture.axes[1])
    else:
        axes.set_frame_on(False)
    order: list[int] = []
    everyone = (ACCENT, "o", tuple(range(len(space.names))))
    looks = [(SERIES[group.color], SHAPES[group.shape][0], group.points) for group in among] or [everyone]
    for color, shape, points in looks:
        axes.plot(
            *picture.xy_P2[list(points)].T, linestyle="", marker=shape, markersize=4, color=color, alpha=0.75, mew=0
        )
        order += points
    if space.kind == "word":
        _name(axes, picture.xy_P2, space.names)
    drawing = svg(figure, picture.name.lower(), f"{picture.name} of {len(space.names)} {space.kind}s. {picture.facts}")
    return _told(drawing, [_words(space, i) for i in order])


def _words(space: Space, number: int) -> str:
    label = f"{space.labels[number]}: " if space.labels else ""
    return label + words.shortened(space.names[number], length=160)


def _told(drawing: str, names: Sequence[str]) -> str:
    """The drawing with a name under the pointer for each point, which matplotlib draws in order as `<use>`."""
    parts = re.split(r"(<use [^>]*/>)", drawing)
    if len(parts) != 2 * len(names) + 1:
        raise ValueError(f"{len(parts) // 2} points drawn, {len(names)} names")
    for place, name in enumerate(names):
        parts[2 * place + 1] = f"<g><title>{escape(name)}</title>{parts[2 * place + 1]}</g>"
    return "".join(parts)


class Box(NamedTuple):
    """Where a name would stand, in points of the page."""

    left: float
    low: float
    right: float
    high: float

    def meets(self, others: Doubles) -> bool:
        """Whether it covers a part of one of the boxes [n, 4]."""
        apart = (others[:, 0] >= self.right) | (others[:, 2] <= self.left)
        apart |= (others[:, 1] >= self.high) | (others[:, 3] <= self.low)
        return not bool(apart.all())


def _name(axes: "Axes", xy_P2: Doubles, names: Sequence[str]) -> None:
    """Write the names that have room, the first of them first."""
    axes.margins(x=0.05, y=0.04)
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    axes.set(xlim=(left, right), ylim=(low, high))
    scale = np.array([72 * WIDTH / (right - left), 72 * HEIGHT / (high - low)])
    dots_P2 = (xy_P2 - [left, low]) * scale
    taken = np.concatenate([dots_P2 - 2, dots_P2 + 2], axis=1)
    page = np.array([72 * WIDTH, 72 * HEIGHT])
    for dot, name in zip(dots_P2, names, strict=True):
        for box in _beside(dot, name):
            inside = box.left > 0 and box.low > 0 and box.right < page[0] and box.high < page[1]
            if inside and not box.meets(taken):
                x, y = np.array([box.left, box.low]) / scale + [left, low]
                axes.text(x, y, name, fontsize=SIZE, color=INK, parse_math=False)
                taken = np.append(taken, [box], axis=0)
                break


def _beside(dot: Doubles, name: str) -> Iterator[Box]:
    """To the right of a dot, to its left, above it and below it. A wide sign (Chinese) is an em, others about half."""
    width = SIZE * sum(1.0 if east_asian_width(sign) in "WF" else 0.56 for sign in name) + 3
    x, y = dot
    for left, low in ((x + 4, y - 3), (x - 4 - width, y - 3), (x - width / 2, y + 4), (x - width / 2, y - 3 - SIZE)):
        yield Box(left, low, left + width, low + SIZE)
