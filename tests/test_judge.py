"""The statistics against simulation, hand calculation and scipy. Legend: A arms, R runs, E examples, C classes."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, bootstrap, norm
from sklearn.metrics import accuracy_score, f1_score

from quire.core.errors import BadInput
from quire.core.random import rng
from quire.core.results import RIGHT, Arm, DataFacts, Environment, Latency, Measure, Metric, Quantisation, Study
from quire.judge import (
    compare,
    front,
    holm,
    interval,
    mcnemar,
    p_value,
    resample,
    resample_marks,
    score,
    scores,
    verdict,
)

Ints = npt.NDArray[np.int64]


def noisy(truth_E: Ints, right: float, *, runs: int, key: str, classes: int = 3) -> Ints:
    """Predictions [R, E] that are right with a given probability, and else one of the other classes."""
    draw = rng("noisy", key)
    wrong = (truth_E + draw.integers(1, classes, (runs, len(truth_E)))) % classes
    return np.where(draw.random((runs, len(truth_E))) < right, truth_E, wrong)


def an_arm(name: str, predictions_RE: Ints, *, seeds: tuple[int, ...] | None = None, **more: Any) -> Arm:
    runs = len(predictions_RE)
    fields = {"title": name.title(), "how": "Made up.", "dev": tuple(0.5 + 0.01 * r for r in range(runs)), **more}
    return Arm(name=name, seeds=seeds or tuple(range(runs)), predictions=predictions_RE, **fields)


def a_study(
    truth_E: Ints,
    *arms: Arm,
    metric: Measure = "accuracy",
    leaked: tuple[int, ...] = (),
    labels: tuple[str, ...] = ("a", "b", "c"),
) -> Study:
    return Study(
        title="Made up",
        labels=labels,
        truth=truth_E,
        metric=metric,
        arms=arms,
        selected=arms[0].name,
        budget="none",
        data=DataFacts(splits=()),
        environment=Environment(cpu="some", cores=2, threads=1),
        seconds=1.0,
        leaked=leaked,
    )


@pytest.fixture
def truth() -> Ints:
    return rng("truth").integers(0, 3, 400)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_resampled_scores_are_distributed_as_sklearns(metric: Metric, truth: Ints) -> None:
    predicted = noisy(truth, 0.7, runs=1, key="one")
    samples = resample(truth, predicted[None], metric=metric, resamples=4000)[:, 0]
    draw = rng("by hand")
    by_hand = []
    for _ in range(400):
        where = draw.integers(0, len(truth), len(truth))
        here = (truth[where], predicted[0, where])
        by_hand.append(accuracy_score(*here) if metric == "accuracy" else f1_score(*here, average="macro"))
    assert samples.mean() == pytest.approx(np.mean(by_hand), abs=0.005)
    assert samples.std() == pytest.approx(np.std(by_hand), rel=0.15)


def test_macro_f1_of_a_resample_leaves_out_classes_that_do_not_occur() -> None:
    truth = np.array([0] * 30 + [1])  # class 1 is missing from about 37 % of the resamples
    samples = resample(truth, truth[None, None], metric="macro_f1", resamples=500)
    np.testing.assert_allclose(samples, 1.0)


def test_interval_equals_scipys_paired_bootstrap(truth: Ints) -> None:
    a, b = noisy(truth, 0.80, runs=1, key="a"), noisy(truth, 0.72, runs=1, key="b")
    samples = resample(truth, np.stack([a, b]), metric="accuracy")
    ours = interval(0, samples[:, 0] - samples[:, 1])
    theirs = bootstrap(
        ((a[0] == truth).astype(float), (b[0] == truth).astype(float)),
        lambda x, y, axis: np.mean(x, axis=axis) - np.mean(y, axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=10_000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert (ours.lower, ours.upper) == pytest.approx((theirs.low, theirs.high), abs=0.006)


@pytest.mark.parametrize(("runs", "spread"), [(1, 0.0), (3, 0.1)])
def test_interval_of_a_known_difference_covers_it(runs: int, spread: float) -> None:
    """Probit model: an arm is right where ability + seed effect + noise exceeds the text's difficulty."""
    ability, noise, trials = (0.8, 1.1), 0.5, 200
    true = -float(np.subtract(*norm.cdf(np.array(ability[::-1]) / np.sqrt(1 + noise**2 + spread**2))))
    covered = 0
    for trial in range(trials):
        draw = rng("coverage", runs, trial)
        difficulty_E = draw.normal(0, 1, 300)
        seeds_AR = draw.normal(0, spread, (2, runs)) + np.array(ability)[:, None]
        right_ARE = seeds_AR[..., None] + draw.normal(0, noise, (2, runs, 300)) > difficulty_E
        samples = resample(np.ones(300, np.int64), right_ARE.astype(np.int64), metric="accuracy", resamples=600)
        estimate = interval(0, samples[:, 0] - samples[:, 1])
        covered += estimate.lower <= true <= estimate.upper
    assert 0.90 <= covered / trials <= 0.99


def test_seeds_widen_the_interval(truth: Ints) -> None:
    """Two seeds of 60 % and 90 %: the interval must reach both, however many examples there are."""
    seeds = np.concatenate([noisy(truth, 0.6, runs=1, key="low"), noisy(truth, 0.9, runs=1, key="high")])
    estimate = interval(0, resample(truth, seeds[None], metric="accuracy")[:, 0])
    assert estimate.lower < 0.63
    assert estimate.upper > 0.87


def test_the_variance_over_seeds_is_unbiased() -> None:
    """With many examples only seeds vary: the samples' spread is the standard error of the mean over runs."""
    truth = np.zeros(40_000, np.int64)
    right = np.array([0.2, 0.5, 0.6, 0.9])
    runs = (np.arange(40_000)[None] >= right[:, None] * 40_000).astype(np.int64)
    samples = resample(truth, runs[None], metric="accuracy", resamples=4000)
    assert samples.std() == pytest.approx(right.std(ddof=1) / np.sqrt(4), rel=0.05)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_identical_arms_have_no_winner(metric: Metric, truth: Ints) -> None:
    predicted = noisy(truth, 0.8, runs=3, key="same")
    study = a_study(truth, an_arm("one", predicted), an_arm("two", predicted), metric=metric)
    found = verdict(study, resamples=500)
    [comparison] = found.comparisons
    assert comparison.winner is None
    assert (comparison.p, comparison.p_holm, comparison.p_mcnemar) == (1.0, 1.0, 1.0)
    assert comparison.difference.has_zero
    assert found.sentence == "There is no winner between One and Two."


def test_a_real_difference_is_found_whichever_arm_is_selected(truth: Ints) -> None:
    good = an_arm("good", noisy(truth, 0.9, runs=3, key="good"))
    bad = an_arm("bad", noisy(truth, 0.7, runs=3, key="bad"))
    ahead, behind = (verdict(a_study(truth, *arms), resamples=2000) for arms in ((good, bad), (bad, good)))
    assert ahead.comparisons[0].winner == behind.comparisons[0].winner == "good"
    assert 0.12 < ahead.comparisons[0].difference.value < 0.28
    assert ahead.sentence == "Good beats Bad."
    assert behind.sentence == "Bad, selected on dev, is beaten on test by Good."


def test_pairing_finds_what_unpaired_intervals_hide(truth: Ints) -> None:
    """b is a with 16 answers spoilt: the arms' own intervals overlap, that of the difference leaves 0 out."""
    a = noisy(truth, 0.7, runs=1, key="base")
    b = a.copy()
    spoilt = np.flatnonzero(a[0] == truth)[:16]
    b[0, spoilt] = (truth[spoilt] + 1) % 3
    study = a_study(truth, an_arm("a", a), an_arm("b", b))
    found = verdict(study, resamples=2000)
    assert found.score("a").score.lower < found.score("b").score.upper
    assert found.comparisons[0].winner == "a"


def test_order_of_examples_and_of_arms_changes_nothing(truth: Ints) -> None:
    a, b, c = (noisy(truth, p, runs=3, key=key) for p, key in ((0.8, "a"), (0.78, "b"), (0.5, "c")))
    turn = rng("turn").permutation(len(truth))
    straight = verdict(a_study(truth, an_arm("a", a), an_arm("b", b), metric="macro_f1"), resamples=300)
    turned = verdict(
        a_study(truth[turn], an_arm("a", a[:, turn]), an_arm("b", b[:, turn]), metric="macro_f1"), resamples=300
    )
    assert straight == turned
    more = compare(a_study(truth, an_arm("a", a), an_arm("c", c), an_arm("b", b)), [("a", "b")], resamples=300)
    alone = compare(a_study(truth, an_arm("a", a), an_arm("b", b)), [("a", "b")], resamples=300)
    assert more == alone


def test_mcnemar_equals_hand_calculation() -> None:
    truth = np.zeros(40, np.int64)
    a, b = truth.copy(), truth.copy()
    b[:9] = 1  # only a is right nine times
    a[9:11] = 1  # only b twice
    a[11:15] = b[11:15] = 1  # both wrong
    by_hand = 2 * sum(binom.pmf(k, 11, 0.5) for k in range(3))  # 2 (1 + 11 + 55) / 2048
    assert by_hand == pytest.approx(134 / 2048)
    only_a, only_b, p = mcnemar(truth, a, b)
    assert (only_a, only_b) == (9, 2)
    assert p == pytest.approx(by_hand)
    assert mcnemar(truth, truth, truth) == (0, 0, 1.0)


def test_mcnemar_takes_the_runs_that_dev_prefers(truth: Ints) -> None:
    right, wrong = truth, (truth + 1) % 3
    a = an_arm("a", np.stack([wrong, right]), dev=(0.2, 0.9))
    b = an_arm("b", np.stack([wrong, right]), dev=(0.9, 0.2))
    [comparison] = compare(a_study(truth, a, b), [("a", "b")], resamples=100)
    assert (comparison.only_a, comparison.only_b) == (len(truth), 0)


def test_holm_equals_hand_calculation() -> None:
    assert holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_nor_changes_their_order(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(c >= p or c == 1.0 for p, c in zip(p_values, corrected, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.asarray(corrected)[order]) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-0.02, 0.02))
def test_p_agrees_with_the_interval(seed: int, shift: float) -> None:
    samples = np.random.default_rng(seed).normal(shift, 0.008, 999)
    estimate, p = interval(shift, samples), p_value(samples)
    assert (p < 0.05) != estimate.has_zero or abs(p - 0.05) < 0.005


def test_many_comparisons_need_more_evidence(truth: Ints) -> None:
    """A difference that would win alone does not win among ten of its kind."""
    a = noisy(truth, 0.7, runs=1, key="base")
    spoilt = np.flatnonzero(a[0] == truth)[:11]
    gained = np.flatnonzero(a[0] != truth)[:2]
    b = a.copy()
    b[0, spoilt], b[0, gained] = (truth[spoilt] + 1) % 3, truth[gained]
    alone = verdict(a_study(truth, an_arm("a", a), an_arm("b", b)), resamples=2000)
    among = verdict(a_study(truth, an_arm("a", a), *(an_arm(f"b{i}", b) for i in range(10))), resamples=2000)
    assert alone.comparisons[0].winner == "a"
    assert [c.winner for c in among.comparisons] == [None] * 10


def test_only_common_seeds_are_paired_and_none_is_an_error(truth: Ints) -> None:
    runs = noisy(truth, 0.8, runs=3, key="runs")
    full = an_arm("full", runs, seeds=(5, 6, 7))
    part = an_arm("part", runs[[2]], seeds=(7,))
    [comparison] = compare(a_study(truth, full, part), [("full", "part")], resamples=200)
    assert comparison.seeds == (7,)
    assert comparison.difference.value == 0
    with pytest.raises(BadInput, match="no seed in common"):
        compare(a_study(truth, full, an_arm("other", runs, seeds=(1, 2, 3))), [("full", "other")], resamples=10)


def test_the_clean_score_leaves_out_leaked_examples(truth: Ints) -> None:
    """Right on the leaked examples alone: the clean score is 0."""
    leaked = tuple(range(100))
    predicted = np.where(np.arange(400) < 100, truth, (truth + 1) % 3)[None]
    [found] = scores(a_study(truth, an_arm("a", predicted), leaked=leaked), resamples=100)
    assert found.score.value == 0.25
    assert found.clean is not None
    assert found.clean.value == 0.0
    [whole] = scores(a_study(truth, an_arm("a", predicted)), resamples=100)
    assert whole.clean is None


def test_the_front_holds_arms_that_none_dominates(truth: Ints) -> None:
    def at(name: str, right: int, milliseconds: float, size: int) -> Arm:
        predicted = np.where(np.arange(400) < right, truth, (truth + 1) % 3)[None]
        latency = (Latency(batch=1, median=milliseconds, lower=milliseconds, upper=milliseconds),)
        return an_arm(name, predicted, latency=latency, bytes=size)

    arms = (at("best", 300, 9, 90), at("slow", 300, 10, 90), at("quick", 200, 1, 50), at("twin", 200, 1, 50))
    study = a_study(truth, *arms, an_arm("unmeasured", truth[None]))
    assert front(study, scores(study, resamples=10)) == ("best", "quick", "twin")


def test_an_arm_that_does_not_lose_and_costs_less_is_named(truth: Ints) -> None:
    def at(name: str, predicted: Ints, milliseconds: float, size: int) -> Arm:
        return an_arm(name, predicted, latency=(Latency(batch=1, median=milliseconds, lower=1, upper=9),), bytes=size)

    good, bad = noisy(truth, 0.9, runs=1, key="good"), noisy(truth, 0.5, runs=1, key="bad")
    arms = [at("tuned", good, 9, 90), at("even", good, 1, 90), at("large", good, 1, 91), at("bad", bad, 1, 1)]
    assert verdict(a_study(truth, *arms), resamples=500).cheaper == ("even",)


def test_the_int8_arm_is_compared_but_is_no_rival(truth: Ints) -> None:
    def at(name: str, right: float, milliseconds: float) -> Arm:
        latency = (Latency(batch=1, median=milliseconds, lower=1, upper=9),)
        return an_arm(name, noisy(truth, right, runs=3, key="tuned" if name == "int8" else name), latency=latency)

    study = a_study(truth, at("tuned", 0.9, 9), at("bad", 0.6, 9), at("int8", 0.9, 4))
    small = Quantisation(arm="int8", kept=True, why="", speedup=2.2, loss=0.0)
    found = verdict(study.model_copy(update={"quantisation": small}), resamples=500)
    assert [c.b for c in found.comparisons] == ["bad", "int8"]
    assert found.sentence == "Tuned beats Bad."
    assert found.cheaper == ()
    assert verdict(study, resamples=500).cheaper == ("int8",)


def test_scores_are_sklearns(truth: Ints) -> None:
    [run] = noisy(truth, 0.6, runs=1, key="run")
    assert score(truth, run, metric="accuracy") == accuracy_score(truth, run)
    assert score(truth, run, metric="macro_f1") == pytest.approx(f1_score(truth, run, average="macro"))


def marked(share: float, *, runs: int, key: str, examples: int = 300) -> npt.NDArray[np.float64]:
    """[R, E, 2]: of several words of each example some are right."""
    draw = rng("marked", key)
    words = rng("marked words").integers(1, 9, examples)
    right = draw.binomial(words, share, (runs, examples))
    return np.stack([right, np.broadcast_to(words, right.shape)], axis=-1).astype(np.float64)


def of_structures(name: str, marks_RE2: npt.NDArray[np.float64]) -> Arm:
    whole = (marks_RE2[..., 0] == marks_RE2[..., 1]).astype(np.int64)
    return an_arm(name, whole, marks=marks_RE2)


def test_a_score_of_structures_is_a_ratio_of_sums_and_is_resampled_as_one() -> None:
    marks = marked(0.7, runs=1, key="one")
    samples = resample_marks(marks[None], resamples=4000)[:, 0]
    draw = rng("by hand")
    by_hand = []
    for _ in range(4000):
        rows = marks[0, draw.integers(0, 300, 300)]
        by_hand.append(rows[:, 0].sum() / rows[:, 1].sum())
    assert np.mean(samples) == pytest.approx(np.mean(by_hand), abs=0.002)
    assert np.std(samples) == pytest.approx(np.std(by_hand), rel=0.06)


def test_marks_of_one_each_are_accuracy(truth: Ints) -> None:
    predicted = noisy(truth, 0.7, runs=3, key="three")
    marks = np.stack([predicted == truth, np.ones_like(predicted)], axis=-1).astype(np.float64)
    a = resample_marks(marks[None], resamples=500)
    b = resample(truth, predicted[None], metric="accuracy", resamples=500)
    assert np.mean(a) == pytest.approx(np.mean(b), abs=0.003)
    assert np.std(a) == pytest.approx(np.std(b), rel=0.1)


def test_structures_are_compared_by_their_marks() -> None:
    good, bad = (of_structures(name, marked(p, runs=3, key=name)) for name, p in (("good", 0.8), ("bad", 0.6)))
    study = a_study(np.ones(300, dtype=np.int64), good, bad, metric="las", labels=RIGHT)
    study = Study.from_json(study.to_json())
    judged = verdict(study, resamples=1000)
    found = judged.score("good")
    assert good.marks is not None
    assert found.score.value == pytest.approx(np.mean(good.marks[..., 0].sum(1) / good.marks[..., 1].sum(1)))
    assert found.accuracy < found.score.value, "wholly right is rarer"
    assert found.macro_f1 is None
    assert judged.comparisons[0].winner == "good"


def test_marks_and_metrics_of_classes_do_not_mix() -> None:
    arm = of_structures("one", marked(0.7, runs=1, key="x"))
    with pytest.raises(ValueError, match="marks go with the metrics of structures"):
        a_study(np.ones(300, dtype=np.int64), arm)
