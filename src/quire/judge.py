"""Which arm is better, and is that more than chance? "No winner" is an answer.

A score has two sources of chance: which texts stand in test, and which seed trained the model. Both are
resampled, and two arms always meet on the same resampled texts and seeds (paired bootstrap: Berg-Kirkpatrick,
Burkett and Klein 2012, "An Empirical Investigation of Statistical Significance in NLP"; which test for which
metric: Dror, Baumer, Shlomov and Reichart 2018, "The Hitchhiker's Guide to Testing Statistical Significance in
NLP"). Texts and seeds are crossed, every seed answers every text, so each is drawn by itself: Owen 2007, "The
pigeonhole bootstrap", which shows that this errs on the careful side.

Legend: A arms, R runs of an arm (one per seed), E test examples, K distinct patterns of (truth, predictions),
C classes, B resamples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from quire.core.errors import BadInput
from quire.core.random import rng
from quire.core.results import Arm, Metric, Study
from quire.core.verdict import Comparison, Estimate, Score, Verdict

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

RESAMPLES = 10_000
LEVEL = 0.95
_CELLS = 1 << 22  # of the largest matrix at a time: 32 MB


def score(truth_E: Ints, predicted_E: Ints, *, metric: Metric) -> float:
    """Accuracy or macro-F1 of one run, 0 to 1; macro-F1 is over the classes that occur in truth or predictions."""
    from sklearn.metrics import accuracy_score, f1_score

    if metric == "accuracy":
        return float(accuracy_score(truth_E, predicted_E))
    return float(f1_score(truth_E, predicted_E, average="macro", zero_division=0))


def resample(
    truth_E: Ints, predicted_ARE: Ints, *, metric: Metric, seed: int = 0, resamples: int = RESAMPLES
) -> Floats:
    """Scores [B, A] of the arms, each the mean over its runs, on resampled examples and runs.

    Run r of every arm has the same seed. Of R runs R - 1 are drawn, with which the variance of their mean is
    unbiased (Rao and Wu 1988, "Resampling Inference With Complex Survey Data"); that matters when R is 3. In
    simulation a 95 % interval for 3 seeds covers 100 % when seeds do not matter, 94 % when they move the score by
    2 points (standard deviation), and only 83 % at 6 points: an arm that unstable needs more than 3 seeds.
    """
    arms, runs, _ = predicted_ARE.shape
    rows = np.concatenate([truth_E[None], predicted_ARE.reshape(arms * runs, -1)])
    measured = partial(_of_classes, metric=metric)
    return _resampled(rows, measured, (arms, runs), seed=seed, resamples=resamples)


def resample_marks(marks_ARE2: Floats, *, seed: int = 0, resamples: int = RESAMPLES) -> Floats:
    """The same of structures, whose score is a ratio of sums over examples."""
    arms, runs, _, _ = marks_ARE2.shape
    return _resampled(_rows(marks_ARE2), _of_marks, (arms, runs), seed=seed, resamples=resamples)


def _resampled(
    rows: npt.NDArray[Any],
    measured: Callable[[npt.NDArray[Any], Floats], Floats],
    shape: tuple[int, int],
    *,
    seed: int,
    resamples: int,
) -> Floats:
    """[B, A] from `rows` [..., E], a column an example, which `measured` turns into scores of A * R runs when column k
    counts weights[b, k] times."""
    arms, runs = shape
    drawn = max(1, runs - 1)
    runs_BR = rng(seed, "bootstrap", "runs").multinomial(drawn, np.full(runs, 1 / runs), size=resamples) / drawn
    # Examples with one pattern of truth and answers are interchangeable: counting patterns draws from the same
    # distribution as drawing examples, is much cheaper, and cannot depend on the order of the examples.
    patterns, counts_K = np.unique(rows, axis=1, return_counts=True)
    draw, size = rng(seed, "bootstrap", "examples"), max(1, _CELLS // len(counts_K))
    pieces = []
    for start in range(0, resamples, size):
        weights_BK = draw.multinomial(
            rows.shape[1], counts_K / rows.shape[1], size=min(size, resamples - start)
        ).astype(np.float64)
        pieces.append(measured(patterns, weights_BK))
    scores_BAR = np.concatenate(pieces).reshape(resamples, arms, runs)
    mean_BA: Floats = np.einsum("bar,br->ba", scores_BAR, runs_BR)
    return mean_BA


def _rows(marks_ARE2: Floats) -> Floats:
    """[A * R * 2, E]"""
    rows: Floats = marks_ARE2.transpose(0, 1, 3, 2).reshape(-1, marks_ARE2.shape[2])
    return rows


def _of_marks(marks_MK: Floats, weights_BK: Floats) -> Floats:
    """Ratios [B, M / 2] of M / 2 runs: the rows of a run are what stands above the line, and below it."""
    above_BM, below_BM = weights_BK @ marks_MK[::2].T, weights_BK @ marks_MK[1::2].T
    ratio_BM: Floats = np.divide(above_BM, below_BM, out=np.zeros_like(above_BM), where=below_BM > 0)
    return ratio_BM


def _of_classes(patterns: Ints, weights_BK: Floats, *, metric: Metric) -> Floats:
    """The metric [B, M] of M runs when pattern k, the truth and M answers, counts weights[b, k] times."""
    truth_K, predicted_MK = patterns[0], patterns[1:]
    right_KM = (predicted_MK == truth_K).T.astype(np.float64)
    if metric == "accuracy":
        accuracy_BM: Floats = weights_BK @ right_KM / weights_BK.sum(axis=1, keepdims=True)
        return accuracy_BM
    total_BM, classes_BM = np.zeros((2, len(weights_BK), len(predicted_MK)))
    for c in np.unique(patterns):
        hits = weights_BK @ (right_KM * (truth_K == c)[:, None])
        both = (weights_BK @ (truth_K == c))[:, None] + weights_BK @ (predicted_MK == c).T  # 2 TP + FP + FN
        total_BM += np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
        classes_BM += both > 0
    f1_BM: Floats = total_BM / classes_BM
    return f1_BM


@dataclass(frozen=True)
class _Results:
    """What some runs of some arms did on some of a study's test examples."""

    study: Study
    arms: Sequence[tuple[Arm, Sequence[int]]]
    """With the runs that count: of every arm as many."""
    where: Ints

    @property
    def marks(self) -> Floats | None:
        """[A, R, E, 2] of structures."""
        found = [arm.marks[[*runs]][:, self.where] for arm, runs in self.arms if arm.marks is not None]
        return np.stack(found) if found else None

    @property
    def predictions(self) -> Ints:
        """[A, R, E]"""
        return np.stack([arm.predictions[[*runs]][:, self.where] for arm, runs in self.arms])

    def observed(self) -> list[float]:
        """The mean score of each arm's runs."""
        if (marks_ARE2 := self.marks) is not None:
            once = np.ones((1, len(self.where)))
            return [float(_of_marks(_rows(marks_RE2[None]), once).mean()) for marks_RE2 in marks_ARE2]
        return [_mean(self.study.truth[self.where], runs, _metric(self.study)) for runs in self.predictions]

    def samples(self, resamples: int) -> Floats:
        """[B, A]"""
        seed = self.study.environment.seed
        if (marks_ARE2 := self.marks) is not None:
            return resample_marks(marks_ARE2, seed=seed, resamples=resamples)
        truth_E, metric = self.study.truth[self.where], _metric(self.study)
        return resample(truth_E, self.predictions, metric=metric, seed=seed, resamples=resamples)


def _metric(study: Study) -> Metric:
    assert study.metric in ("accuracy", "macro_f1")
    return study.metric


def interval(value: float, samples_B: Floats, *, level: float = LEVEL) -> Estimate:
    """The percentile interval of the samples around an observed value."""
    lower, upper = np.quantile(samples_B, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value=value, lower=float(lower), upper=float(upper))


def p_value(differences_B: Floats) -> float:
    """Two-sided p of "no difference": twice the smaller share of resamples on one side of 0.

    It falls below 1 - level just when the percentile interval leaves 0 out; one is added to both counts, since
    no finite number of resamples can show p = 0 (Davison and Hinkley 1997, section 4.2).
    """
    tail = min(np.count_nonzero(differences_B <= 1e-12), np.count_nonzero(differences_B >= -1e-12))
    return min(1.0, 2 * (tail + 1) / (len(differences_B) + 1))


def mcnemar(truth_E: Ints, a_E: Ints, b_E: Ints) -> tuple[int, int, float]:
    """How many examples only a, and only b, got right, and the exact two-sided p (McNemar 1947)."""
    from scipy.stats import binomtest

    only_a = int(np.count_nonzero((a_E == truth_E) & (b_E != truth_E)))
    only_b = int(np.count_nonzero((a_E != truth_E) & (b_E == truth_E)))
    p = float(binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0
    return only_a, only_b, p


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values corrected for testing all of them at once (Holm 1979), in their order."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    return [float(p) for p in corrected]


def compare(
    study: Study, pairs: Sequence[tuple[str, str]], *, level: float = LEVEL, resamples: int = RESAMPLES
) -> tuple[Comparison, ...]:
    """Each pair of arms (names) against one another, with Holm's correction over all pairs.

    McNemar compares two fixed models and not two ways of training: for each arm the run with the best dev
    score, which is the one that would be deployed. It is shown beside the bootstrap, which alone decides.
    """
    found = [_pair(study, study.arm(a), study.arm(b), level=level, resamples=resamples) for a, b in pairs]
    decided = []
    for comparison, p_holm in zip(found, holm([c.p for c in found]), strict=True):
        better = comparison.a if comparison.difference.value > 0 else comparison.b
        winner = better if p_holm < 1 - level and not comparison.difference.has_zero else None
        decided.append(comparison.model_copy(update={"p_holm": p_holm, "winner": winner}))
    return tuple(decided)


def _pair(study: Study, a: Arm, b: Arm, *, level: float, resamples: int) -> Comparison:
    seeds = tuple(sorted(set(a.seeds) & set(b.seeds)))
    if not seeds:
        raise BadInput(f"{a.name} {a.seeds} and {b.name} {b.seeds}: no seed in common; run both with the same seeds")
    runs = [(arm, [arm.seeds.index(s) for s in seeds]) for arm in (a, b)]
    results = _Results(study, runs, np.arange(len(study.truth)))
    observed, samples_BA = results.observed(), results.samples(resamples)
    differences_B = samples_BA[:, 0] - samples_BA[:, 1]
    only_a, only_b, p = mcnemar(study.truth, a.predictions[a.best_run], b.predictions[b.best_run])
    return Comparison(
        a=a.name,
        b=b.name,
        seeds=seeds,
        difference=interval(observed[0] - observed[1], differences_B, level=level),
        p=p_value(differences_B),
        p_holm=1.0,
        only_a=only_a,
        only_b=only_b,
        p_mcnemar=p,
        winner=None,
    )


def scores(study: Study, *, level: float = LEVEL, resamples: int = RESAMPLES) -> tuple[Score, ...]:
    """Every arm's score on test with its interval, and the clean one beside it where texts leaked from train."""
    clean = np.setdiff1d(np.arange(len(study.truth)), study.leaked)
    everything = np.arange(len(study.truth))

    def estimate(arm: Arm, where: Ints) -> Estimate:
        results = _Results(study, [(arm, range(len(arm.seeds)))], where)
        return interval(results.observed()[0], results.samples(resamples)[:, 0], level=level)

    return tuple(
        Score(
            arm=arm.name,
            score=estimate(arm, everything),
            clean=estimate(arm, clean) if 0 < len(clean) < len(everything) else None,
            accuracy=_mean(study.truth, arm.predictions, "accuracy"),
            macro_f1=None if study.of_structures else _mean(study.truth, arm.predictions, "macro_f1"),
        )
        for arm in study.arms
    )


def _mean(truth_E: Ints, predicted_RE: Ints, metric: Metric) -> float:
    return float(np.mean([score(truth_E, run, metric=metric) for run in predicted_RE]))


def front(study: Study, found: Sequence[Score]) -> tuple[str, ...]:
    """The Pareto front: arms such that no other is at least as good in score, latency and size, and better in one.

    Latency is the median at batch 1. Arms whose latency was not measured stand outside.
    """
    value = {s.arm: s.score.value for s in found}
    measured = {arm.name: latency.median for arm in study.arms if (latency := arm.latency_at(1))}
    points = {arm.name: (-value[arm.name], measured[arm.name], arm.bytes) for arm in study.arms if arm.name in measured}

    def dominated(point: tuple[float, float, int]) -> bool:
        return any(
            all(o <= p for o, p in zip(other, point, strict=True)) and other != point for other in points.values()
        )

    return tuple(name for name, point in points.items() if not dominated(point))


def cheaper(study: Study, comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """Arms that do not lose against arm a of their comparison, yet are faster at batch 1 and no larger.

    The int8 arm is none of them: whether to take it is decided on dev, by the loss that the person allows.
    """
    small = study.quantisation.arm if study.quantisation else None

    def saves(a: Arm, b: Arm) -> bool:
        slow, quick = a.latency_at(1), b.latency_at(1)
        return slow is not None and quick is not None and quick.median < slow.median and b.bytes <= a.bytes

    return tuple(c.b for c in comparisons if c.winner != c.a and c.b != small and saves(study.arm(c.a), study.arm(c.b)))


def verdict(study: Study, *, level: float = LEVEL, resamples: int = RESAMPLES) -> Verdict:
    """The arm that dev selected against each other arm, on test."""
    found = scores(study, level=level, resamples=resamples)
    others = [(study.selected, arm.name) for arm in study.arms if arm.name != study.selected]
    comparisons = compare(study, others, level=level, resamples=resamples)
    return Verdict(
        selected=study.selected,
        metric=study.metric,
        level=level,
        resamples=resamples,
        scores=found,
        comparisons=comparisons,
        front=front(study, found),
        cheaper=cheaper(study, comparisons),
        sentence=_sentence(study, comparisons),
    )


def _sentence(study: Study, comparisons: Sequence[Comparison]) -> str:
    """The verdict in words. The int8 arm is the selected one made smaller, no rival, and is judged elsewhere."""
    title = {arm.name: arm.title for arm in study.arms}
    selected = title[study.selected]
    small = study.quantisation.arm if study.quantisation else None
    comparisons = [c for c in comparisons if c.b != small]
    beaten = [title[c.b] for c in comparisons if c.winner == c.a]
    even = [title[c.b] for c in comparisons if c.winner is None]
    better = [title[c.b] for c in comparisons if c.winner == c.b]
    if not comparisons:
        return f"{selected} is the only arm: there is nothing to compare it with."
    if len(beaten) == len(comparisons) > 2:
        return f"{selected} beats all {len(beaten)} other ways: {_listed(beaten)}."
    parts = [f"{selected} beats {_listed(beaten)}"] if beaten else []
    it = "it" if beaten else selected
    parts += [f"there is no winner between {it} and {_listed(even, last='or')}"] if even else []
    parts += [f"{selected}, selected on dev, is beaten on test by {_listed(better)}"] if better else []
    text = "; ".join(parts) + "."
    return f"T{text[1:]}" if text.startswith("there") else text  # an arm keeps the name it was given


def _listed(names: Sequence[str], *, last: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"
