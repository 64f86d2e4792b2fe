"""Numbers and curves as words that a person reads at a glance."""

from collections.abc import Mapping, Sequence

import numpy as np

from quire.core.results import Cost, Measure, Pretraining
from quire.core.verdict import Comparison, Estimate, Verdict

METRICS: Mapping[Measure, str] = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "f1": "F1",
    "exact": "exact match",
    "las": "labelled attachment",
    "uas": "unlabelled attachment",
}
_MINUS = "\N{MINUS SIGN}"


def percent(share: float) -> str:
    """0.9342 -> "93.4 %"."""
    return f"{_signed(100 * share, '.1f')} %"


def between(estimate: Estimate) -> str:
    """An interval of scores: "92.1 to 94.6 %"."""
    return f"{_signed(100 * estimate.lower, '.1f')} to {percent(estimate.upper)}"


def spread(scores: Sequence[float]) -> str:
    """The range of scores, in the form of an interval."""
    return between(Estimate(value=mean(scores), lower=min(scores), upper=max(scores)))


def points(difference: Estimate) -> str:
    """A difference of scores in points: "+0.3 (−0.4 to +1.0)"; finer where a bound would round to 0."""
    form = "+.2f" if 0 < min(abs(difference.lower), abs(difference.upper)) < 0.0005 else "+.1f"
    value, lower, upper = (_signed(100 * v, form) for v in (difference.value, difference.lower, difference.upper))
    return f"{value} ({lower} to {upper})"


def probability(p: float) -> str:
    """0.00019 -> "< 0.001", else three decimals at most."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def size(count: int) -> str:
    """Bytes on disk: "90.9 MB"."""
    return _scaled(count, 1000, ("B", "kB", "MB", "GB", "TB"))


def number(count: float) -> str:
    """A count: "22.7 M"."""
    return _scaled(count, 1000, ("", "k", "M", "G", "T")).strip()


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 seed", "3 seeds"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def milliseconds(value: float) -> str:
    """Two significant digits, without the unit: "0.43", "6.0", "12"."""
    if value >= 9.95:
        return f"{value:.0f}"
    return f"{value:#.2g}" if value >= 0.001 else "< 0.001"


def duration(seconds: float) -> str:
    """Wall time: "0.4 s", "12 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def times(ratio: float) -> str:
    """A ratio: "1.8", "12", "3,400"."""
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:,.0f}"


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return float(np.mean(values))


def seconds(costs: Sequence[Cost]) -> float:
    """Training time of a run, on average."""
    return mean([cost.seconds for cost in costs])


def training(costs: Sequence[Cost]) -> str:
    """What a run cost on average: "41 s, 120 steps, 1.2 M tokens"."""
    if not costs:
        return "none"
    steps, tokens = mean([cost.steps for cost in costs]), mean([cost.tokens for cost in costs])
    parts = [duration(seconds(costs))]
    parts += [f"{steps:,.0f} steps"] if steps else []
    parts += [f"{number(tokens)} tokens"] if tokens else []
    return ", ".join(parts)


def outcome(comparison: Comparison, *, arm: str) -> str:
    """How `arm` did in its comparison with the selected one."""
    if comparison.winner is None:
        return "no winner"
    return "better" if comparison.winner == arm else "worse"


def one_seed(verdict: Verdict) -> bool:
    """Whether arms met on one seed alone."""
    return any(len(comparison.seeds) == 1 for comparison in verdict.comparisons)


def resampled(verdict: Verdict) -> str:
    """What the bootstrap drew from, and what it therefore cannot know."""
    if one_seed(verdict):
        return "test texts alone: one seed says nothing of the luck of training"
    return "test texts and seeds"


def turned(comparison: Comparison, arm: str) -> Estimate:
    """The difference as `arm` less the other."""
    d = comparison.difference
    return d if comparison.a == arm else Estimate(value=-d.value, lower=-d.upper, upper=-d.lower)


def shortened(text: str, *, length: int = 240) -> str:
    """One line of at most `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def health(pretraining: Pretraining) -> str:
    """Whether masked-language-model training went well, in a sentence or two.

    The last loss is the median of the last tenth of the points, and of three at least, since single batches vary.
    """
    losses = [point.loss for point in pretraining.points]
    tail = max(3, len(losses) // 10)
    first, last, best = losses[0], float(np.median(losses[-tail:])), min(losses)
    unigram, bigram = pretraining.unigram, pretraining.bigram
    fell = f"The loss went from {first:.2f} to {last:.2f} nats per masked token"
    if len(losses) < 3:
        return f"{fell}: too few points to judge."
    if last > best + 0.5:
        return f"Not healthy: the loss rose again, from {best:.2f} to {last:.2f}. Lower the learning rate."
    if last >= unigram - 0.05:
        return (
            f"Not healthy: {fell[0].lower()}{fell[1:]}, no better than guessing by token frequency "
            f"(unigram entropy {unigram:.2f}). Train longer, or look at the learning rate and the text."
        )
    if last > first - 0.02:
        return f"Little to gain: {fell[0].lower()}{fell[1:]}. The base knew this text before, or trained too briefly."
    if last < bigram:
        return (
            f"Healthy: {fell[0].lower()}{fell[1:]}, below the bigram entropy ({bigram:.2f}). "
            "The model uses more of the context than the neighbouring token."
        )
    return (
        f"On its way: {fell[0].lower()}{fell[1:]}, below the unigram entropy ({unigram:.2f}) but above the bigram "
        f"entropy ({bigram:.2f}). It has learned more than token frequencies; more steps may bring more."
    )


def _signed(value: float, form: str) -> str:
    shown = format(value, form)
    return (shown if float(shown) else shown.lstrip("+-")).replace("-", _MINUS)


def _scaled(count: float, base: int, units: tuple[str, ...]) -> str:
    step = 0
    while count >= base and step < len(units) - 1:
        count, step = count / base, step + 1
    return f"{count:.0f} {units[step]}" if step == 0 or count >= 99.95 else f"{count:.1f} {units[step]}"
