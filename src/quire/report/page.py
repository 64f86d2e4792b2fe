"""The report: one self-contained HTML file. Sections with nothing to show are left out.

Legend: E test examples, C classes, B bins. Everything about single predictions shows the deployed run.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from quire.core.results import Arm, Study
from quire.core.verdict import Verdict
from quire.report import plots, words
from quire.report.template import fill

MATRIX_CLASSES = 20
"""With more classes a confusion matrix is not read; the most frequent confusions are listed."""
BINS = 10
ADVISED = 2
"""More arms to consider are no advice."""
GAIN = 1.2
"""How many times as fast or as small an arm has to be before it is worth a change."""


def render(study: Study, verdict: Verdict) -> str:
    """The report as HTML. Same study and verdict, same text; it loads nothing from anywhere."""
    return fill("report.html.j2", _content(study, verdict))


def _threads(study: Study) -> str:
    return " or ".join(words.counted(threads, "thread") for threads in sorted({arm.threads for arm in study.arms}))


def _content(study: Study, verdict: Verdict) -> dict[str, Any]:
    trained = [arm for arm in study.arms if any(arm.curves)]
    few, calibrated = len(study.labels) <= MATRIX_CLASSES, calibration(study)
    classes = not study.of_structures
    return {
        "study": study,
        "verdict": verdict,
        "deployed": study.deployed,
        "metric": words.METRICS[study.metric],
        "rows": [(arm, verdict.score(arm.name), verdict.against(arm.name)) for arm in study.arms],
        "considered": considered(study, verdict),
        "pareto": plots.pareto(study, verdict),
        "learnt": plots.learnt(study, verdict),
        "spent": plots.spent(study, verdict),
        "mlm": plots.pretraining(study.pretraining) if study.pretraining else "",
        "pretrained": _pretrained(study),
        "curves": _curves(study, trained),
        "trained": trained,
        "threads": _threads(study),
        "confusion": confusion(study) if few and classes else None,
        "confusions": confusions(study) if classes and not few else [],
        "calibration": calibrated,
        "reliability": plots.reliability(*calibrated[:3]) if calibrated else "",
        "mistakes": mistakes(study),
        "lengths": plots.lengths(study.data.lengths, limit=study.data.limit) if study.data.lengths else "",
    }


def considered(study: Study, verdict: Verdict) -> list[tuple[Arm, str]]:
    """Arms to deploy instead, with what they save, the fastest first.

    Never the majority class, which only shows that a test set is too small to find it worse.
    """
    slow = study.deployed.latency_at(1)
    found: list[tuple[float, Arm, str]] = []
    for arm in map(study.arm, verdict.cheaper):
        quick = arm.latency_at(1)
        if arm.name == "majority" or not slow or not quick or arm.bytes > study.deployed.bytes:
            continue
        faster = slow.median / max(quick.median, 1e-6)
        smaller = study.deployed.bytes / max(arm.bytes, 1)
        gains = [f"is {words.times(faster)} times as fast"] if faster >= GAIN and quick.upper < slow.lower else []
        gains += [f"takes {words.size(arm.bytes)} on disk"] if smaller >= GAIN else []
        if gains and quick.median < slow.median:
            found.append((quick.median, arm, " and ".join(gains)))
    return [(arm, gains) for _, arm, gains in sorted(found, key=lambda each: each[0])[:ADVISED]]


def _curves(study: Study, trained: list[Arm]) -> list[tuple[str, str]]:
    metric = words.METRICS[study.metric]
    drawn = [
        (f"{metric} on dev", plots.curves(trained, field="dev", label=f"dev {metric}")),
        ("Training loss", plots.curves(trained, field="loss", label="training loss, nats")),
    ]
    return [(title[0].upper() + title[1:], drawing) for title, drawing in drawn if drawing]


def _pretrained(study: Study) -> dict[str, Any] | None:
    """The table and the drawing of arms that were pre-trained each in its own way."""
    if not study.pretrained or study.pretraining is None:
        return None
    numbers = {name: number for number, name in enumerate(dict.fromkeys(run.arm for run in study.pretrained))}
    return {
        "rows": [(study.arm(run.arm), run) for run in study.pretrained],
        "key": [(study.arm(name).title, number) for name, number in numbers.items()],
        "drawing": plots.pretrained(study.pretrained, study.pretraining, numbers),
        "alarms": [(study.arm(run.arm), run.seed, alarm) for run in study.pretrained for alarm in run.alarms],
    }


class Confusion(NamedTuple):
    """Of the texts of a class (row), how many were given which class (column)."""

    counts_CC: list[list[int]]
    shares_CC: list[list[float]]  # of the row
    precision_C: list[float]
    recall_C: list[float]


def confusion(study: Study) -> Confusion:
    """The confusion matrix of the deployed run, with precision and recall of each class."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    predicted, labels = _predicted(study), list(range(len(study.labels)))
    counts_CC = confusion_matrix(study.truth, predicted, labels=labels)
    precision_C, recall_C, _, _ = precision_recall_fscore_support(
        study.truth, predicted, labels=labels, zero_division=0
    )
    shares_CC = counts_CC / np.maximum(counts_CC.sum(axis=1, keepdims=True), 1)
    return Confusion(counts_CC.tolist(), shares_CC.tolist(), precision_C.tolist(), recall_C.tolist())


def confusions(study: Study, *, limit: int = 20) -> list[tuple[str, str, int]]:
    """The most frequent mistakes of the deployed run: (truth, predicted, how often)."""
    predicted = _predicted(study)
    wrong = predicted != study.truth
    pairs, counts = np.unique(np.stack([study.truth[wrong], predicted[wrong]]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:limit]
    return [(study.labels[pairs[0, i]], study.labels[pairs[1, i]], int(counts[i])) for i in order]


class Calibration(NamedTuple):
    """Mean confidence and accuracy of the non-empty bins, and the expected calibration error, 0 to 1."""

    confidence_B: npt.NDArray[np.float64]
    accuracy_B: npt.NDArray[np.float64]
    count_B: npt.NDArray[np.int64]
    error: float
    surplus: float  # mean confidence less accuracy: above 0 too sure, below 0 too modest


def calibration(study: Study) -> Calibration | None:
    """How far the deployed run's confidence can be trusted; None where it gives no probabilities.

    Expected calibration error (Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3):
    confidence is the probability of the predicted class, in ten bins of equal width; the error is the mean over
    texts of |accuracy - confidence| of their bin.
    """
    arm, predicted = study.deployed, _predicted(study)
    if arm.probabilities is None:
        return None
    confidence_E = np.take_along_axis(arm.probabilities[arm.best_run], predicted[:, None], axis=1)[:, 0]
    bin_E = np.digitize(confidence_E, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
    count = np.bincount(bin_E, minlength=BINS)
    full = count > 0
    mean_B = np.bincount(bin_E, weights=confidence_E, minlength=BINS)[full] / count[full]
    right_B = np.bincount(bin_E, weights=predicted == study.truth, minlength=BINS)[full] / count[full]
    gap_B, count_B = mean_B - right_B, count[full]
    error, surplus = (float(np.average(gap, weights=count_B)) for gap in (np.abs(gap_B), gap_B))
    return Calibration(mean_B, right_B, count_B, error, surplus)


def mistakes(study: Study) -> list[Mapping[str, Any]]:
    """The confident errors of the deployed run whose texts the study kept."""
    arm, predicted = study.deployed, _predicted(study)
    return [
        {
            "text": words.shortened(study.texts[i]),
            "truth": study.labels[study.truth[i]],
            "predicted": study.labels[predicted[i]],
            "confidence": float(arm.probabilities[arm.best_run, i, predicted[i]]),
        }
        for i in study.worst(limit=len(study.texts))
        if i in study.texts and arm.probabilities is not None
    ]


def _predicted(study: Study) -> npt.NDArray[np.int64]:
    predicted_E: npt.NDArray[np.int64] = study.deployed.predictions[study.deployed.best_run]
    return predicted_E
