"""The plots of the report."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from quire.core.results import Arm, Histogram, Pretrained, Pretraining, Study
from quire.core.verdict import Verdict
from quire.report import words
from quire.report.drawing import ACCENT, INK, MUTED, PAPER, SERIES, SMALL, blank, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAINED = 0.1
"""Seconds: what takes less, as the majority class, is not trained."""
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)))
_TICKS = (1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 92, 94, 95, 96, 97, 98, 98.5, 99, 99.5)


def pareto(study: Study, verdict: Verdict) -> str:
    """Score against latency at batch 1, area by size on disk, names at the right; "" with fewer than two arms."""
    measured = [(arm, latency.median) for arm in study.arms if (latency := arm.latency_at(1))]
    if len(measured) < 2:
        return ""
    figure, axes = blank(height=3.7)
    largest = max(arm.bytes for arm, _ in measured) or 1
    places = []
    for arm, milliseconds in measured:
        score = verdict.score(arm.name).score
        color = ACCENT if arm.name == study.deployed.name else MUTED
        x, y = max(milliseconds, 1e-4), float(_logit(score.value))
        axes.plot([x, x], _logit(np.array([score.lower, score.upper])), color=color, linewidth=1.8, zorder=4)
        area, fill = 30 + 260 * arm.bytes / largest, color if arm.name in verdict.front else PAPER
        axes.scatter([x], [y], s=area, color=fill, edgecolors=color, linewidths=1.5, alpha=0.7, zorder=3)
        places.append((x, y, arm.name, color))
    _log_ticks(axes)
    axes.margins(x=0.12, y=0.08)
    _percent_ticks(axes)
    _names_at_right(axes, places)
    axes.set_xlabel("milliseconds per text, batch 1 (log)")
    axes.set_ylabel("test score")
    return svg(figure, "pareto", _pareto_words(study, verdict))


def learnt(study: Study, verdict: Verdict) -> str:
    """Score against how many numbers learnt, both stretched; "" where that is not compared."""
    amounts = {arm.name: float(arm.trainable) for arm in study.arms if arm.trainable}
    return _against(amounts, study, verdict, name="learnt", what="numbers that learn")


def spent(study: Study, verdict: Verdict) -> str:
    """Score against what training cost, both stretched; "" with fewer than two arms that were trained."""
    amounts = {arm.name: seconds for arm in study.arms if arm.cost and (seconds := words.seconds(arm.cost)) >= TRAINED}
    return _against(amounts, study, verdict, name="spent", what="seconds of training, a run")


def _against(amounts: Mapping[str, float], study: Study, verdict: Verdict, *, name: str, what: str) -> str:
    if len(amounts) < 2:
        return ""
    figure, axes = blank(height=3.7)
    places = []
    for arm, amount in amounts.items():
        score = verdict.score(arm).score
        color = ACCENT if arm == study.deployed.name else MUTED
        y = float(_logit(score.value))
        axes.plot([amount, amount], _logit(np.array([score.lower, score.upper])), color=color, linewidth=1.8, zorder=4)
        axes.scatter([amount], [y], s=60, color=color, alpha=0.7, zorder=3)
        places.append((amount, y, arm, color))
    _log_ticks(axes)
    axes.margins(x=0.12, y=0.08)
    _percent_ticks(axes)
    _names_at_right(axes, places)
    axes.set_xlabel(f"{what} (log)")
    axes.set_ylabel("test score")
    return svg(figure, name, f"Score against {what}, for {len(amounts)} arms.")


def _pareto_words(study: Study, verdict: Verdict) -> str:
    titles = ", ".join(study.arm(name).title for name in verdict.front)
    return f"Score against latency for {len(study.arms)} arms. On the Pareto front: {titles}."


def _logit(share: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Stretches the ends, where scores crowd; held off 0 and 1."""
    inside = np.clip(np.asarray(share, dtype=np.float64), 0.004, 0.996)
    stretched: npt.NDArray[np.float64] = np.log(inside / (1 - inside))
    return stretched


def _log_ticks(axes: "Axes") -> None:
    """Ticks at 1, 2 and 5, or only at powers of ten where these alone are several; 20 k for 20,000."""
    from matplotlib.ticker import EngFormatter, LogLocator

    axes.set_xscale("log")
    low, high = axes.dataLim.intervalx
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    if low >= 1:
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    else:
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()


def _percent_ticks(axes: "Axes") -> None:
    low, high = axes.get_ylim()
    chosen: list[float] = []
    for tick in sorted(_TICKS, key=lambda t: (t % 10 != 0, t % 5 != 0)):  # round ones first
        place = float(_logit(tick / 100))
        if low <= place <= high and all(abs(place - float(_logit(c / 100))) > (high - low) / 12 for c in chosen):
            chosen.append(tick)
    axes.set_yticks([float(_logit(tick / 100)) for tick in sorted(chosen)], [f"{tick:g} %" for tick in sorted(chosen)])


def _names_at_right(axes: "Axes", places: Sequence[tuple[float, float, str, str]]) -> None:
    """Names beside the axes, pushed apart where they would overlap, each with a line to its point."""
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    axes.set(xlim=(left, right), ylim=(low, high))  # held, whatever is drawn from here on
    step = (high - low) / 14
    heights: list[float] = []
    ordered = sorted(places, key=lambda place: place[1])
    for _, y, _, _ in ordered:
        heights.append(max(y, heights[-1] + step) if heights else y)
    ceiling = high
    for number in reversed(range(len(heights))):  # what was pushed out at the top pushes back down
        heights[number] = min(heights[number], ceiling)
        ceiling = heights[number] - step
    for (x, y, name, color), height in zip(ordered, heights, strict=True):
        axes.plot([x, right], [y, height], color=MUTED, linewidth=0.7, alpha=0.6, zorder=1)
        axes.annotate(
            name, (right, height), (4, 0), textcoords="offset points", va="center", color=color, fontsize=10.5
        )


def pretraining(run: Pretraining) -> str:
    """The masked-language-model loss against the entropies of its corpus; "" without points."""
    if not run.points:
        return ""
    figure, axes = blank(height=3.1)
    steps, losses = [p.step for p in run.points], [p.loss for p in run.points]
    axes.plot(steps, losses, color=ACCENT, linewidth=2, marker="o" if len(steps) < 4 else None)
    _yardsticks(axes, run)
    axes.set_ylim(min(0.9 * min(losses), 0.9 * run.bigram), max(1.05 * max(losses), 1.05 * run.unigram))
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats per token")
    words = (
        f"Loss from {losses[0]:.2f} to {losses[-1]:.2f}; unigram entropy {run.unigram:.2f}, bigram {run.bigram:.2f}."
    )
    return svg(figure, "mlm", words)


def pretrained(runs: Sequence[Pretrained], yardstick: Pretraining, colors: Mapping[str, int]) -> str:
    """Nats per asked token on held-out text over tokens seen, a line per run and slot; "" where no arm asks tokens.

    `colors` numbers the arms. The entropies are those of the held-out text.
    """
    lines = [
        (colors[run.arm], [(p.tokens, p.figures[name]) for p in run.points if name in p.figures])
        for run in runs
        for name in run.points[-1].figures
        if name.endswith("nats")
    ]
    if not lines:
        return ""
    figure, axes = blank(height=3.6)
    for number, points in lines:
        tokens, nats = zip(*points, strict=True)
        color, dash = _style(number)
        axes.plot(tokens, nats, color=color, linestyle=dash, linewidth=1.6)
    _yardsticks(axes, yardstick)
    unit, letter = (1e6, "M") if axes.get_xlim()[1] >= 1e6 else (1e3, "k")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / unit:g} {letter}")
    axes.set_xlabel("tokens seen")
    axes.set_ylabel("held-out loss, nats per asked token")
    names = ", ".join(colors)
    return svg(figure, "pretrained", f"Held-out loss over tokens seen for {names}; unigram {yardstick.unigram:.2f}.")


def _style(number: int) -> tuple[str, Any]:
    """Colour and dash of a line; the seventh has the first one's colour, but another dash (as in the page's key)."""
    return SERIES[number % len(SERIES)], DASHES[(number + number // len(SERIES)) % len(DASHES)]


def _yardsticks(axes: "Axes", run: Pretraining) -> None:
    for value, name, style in ((run.unigram, "unigram", "--"), (run.bigram, "bigram", ":")):
        axes.axhline(value, color=MUTED, linewidth=1.4, linestyle=style)
        axes.annotate(
            f"{name} {value:.2f}", (1, value), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="center", color=MUTED, fontsize=SMALL,
        )  # fmt: skip


def curves(arms: Sequence[Arm], *, field: str, label: str) -> str:
    """A field of the points ("loss", "dev") over steps: a line per run, a colour and dash per arm; "" when empty."""
    lines = [
        (*_style(number), kept)
        for number, arm in enumerate(arms)
        for run in arm.curves
        if (kept := [(p.step, value) for p in run if (value := getattr(p, field)) is not None])
    ]
    if not lines:
        return ""
    figure, axes = blank(height=3.1)
    for color, dash, kept in lines:
        steps, values = zip(*kept, strict=True)
        axes.plot(steps, values, color=color, linestyle=dash, linewidth=1.8, marker="o" if len(kept) < 4 else None)
    if field == "dev":
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    return svg(figure, f"curve-{field}", f"{label} over steps for {', '.join(arm.title for arm in arms)}.")


def reliability(
    confidence_B: npt.NDArray[np.float64], accuracy_B: npt.NDArray[np.float64], count_B: npt.NDArray[np.int64]
) -> str:
    """Accuracy against mean confidence in B non-empty bins, area by count; the diagonal is perfect calibration."""
    figure, axes = blank(height=3.4, width=4.0)
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1.2)
    axes.plot(confidence_B, accuracy_B, color=ACCENT, linewidth=1.4)
    axes.scatter(
        confidence_B,
        accuracy_B,
        s=20 + 280 * count_B / count_B.max(),
        color=ACCENT,
        alpha=0.75,
        zorder=3,
        clip_on=False,
    )
    axes.set_xlim(0, 1.03)
    axes.set_ylim(0, 1.06)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    words = "; ".join(f"{c:.0%} sure, {a:.0%} right" for c, a in zip(confidence_B, accuracy_B, strict=True))
    return svg(figure, "reliability", f"Reliability: {words}.")


def lengths(histogram: Histogram, *, limit: int | None) -> str:
    """Text lengths in tokens, with the model's limit where it lies in the picture; "" when nothing was counted."""
    if not any(histogram.counts):
        return ""
    figure, axes = blank(height=2.7)
    edges = np.array(histogram.edges)
    axes.bar(edges[:-1], histogram.counts, np.diff(edges), align="edge", color=ACCENT, edgecolor=PAPER, linewidth=0.8)
    if limit is not None and edges[0] < limit <= edges[-1]:
        axes.axvline(limit, color=INK, linestyle="--", linewidth=1.3)
        axes.annotate(
            f"limit {limit}", (limit, 0.96), (-4, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="right", va="top", color=INK, fontsize=SMALL,
        )  # fmt: skip
    axes.set_xlabel("tokens per text")
    axes.set_ylabel("texts")
    return svg(figure, "lengths", f"Histogram of text lengths from {edges[0]:g} to {edges[-1]:g} tokens.")
