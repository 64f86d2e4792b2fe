"""How right answers are, on the structure of their task, whatever paradigm gave them.

label    accuracy, F1 of each class averaged (macro_f1), Matthews' correlation (matthews); of two classes F1 of one (f1)
number   Pearson's and Spearman's correlation
spans    precision, recall and F1 of whole spans over all texts (Tjong Kim Sang and Buchholz 2000, conlleval)
reading  exact match and word F1 of the best of the accepted answers, the mean over questions (Rajpurkar et al. 2016)
tree     unlabelled and labelled attachment: the share of words with the right head, and relation (uas, las)

All are 0 to 1, correlations -1 to 1. Those that a comparison decides by are ratios of sums over test items, the
`Marks`, so that resampling items resamples the score.

Legend: E items.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quire.core.answers import Answer, Task, Tree
from quire.core.results import Measure
from quire.reading import exact, f1
from quire.text.problems import Problem
from quire.text.words import mostly_chinese

METRICS: Mapping[Task, tuple[str, ...]] = {
    "label": ("accuracy", "macro_f1", "matthews", "f1"),
    "number": ("pearson", "spearman"),
    "spans": ("f1", "precision", "recall"),
    "reading": ("f1", "exact"),
    "tree": ("las", "uas"),
}
"""What each task is measured by, the one that decides first."""
DECIDABLE: Mapping[Task, tuple[Measure, ...]] = {
    "label": ("accuracy", "macro_f1"),
    "number": (),
    "spans": ("f1",),
    "reading": ("f1", "exact"),
    "tree": ("las", "uas"),
}
"""What ways to answer can be compared by, the usual one first."""
Marks: TypeAlias = npt.NDArray[np.float64]
"""[E, 2]: an item's share of the sum above the line, and of that below it."""


def marks(task: Task, metric: str, problems: Sequence[Problem], found: Sequence[Answer]) -> Marks:
    """Of items with known answers; ValueError for a metric that is no ratio of sums."""
    try:
        rule = _RULES[task, metric]
    except KeyError:
        raise ValueError(f"{metric} of a {task} is no ratio of sums over items") from None
    return np.array([rule(p, a) for p, a in zip(problems, found, strict=True)], dtype=np.float64).reshape(-1, 2)


def ratio(marks_E2: Marks) -> float:
    """The score; 0 where nothing stands below the line."""
    above, below = marks_E2.sum(axis=0)
    return float(above / below) if below else 0.0


def figures(task: Task, problems: Sequence[Problem], found: Sequence[Answer]) -> dict[str, float]:
    """All metrics of a task by name; ValueError where nothing is marked."""
    if not problems:
        raise ValueError("nothing to mark")
    truth = [problem.answer for problem in problems]
    match task:
        case "label":
            return _of_labels([str(t) for t in truth], [str(f) for f in found])
        case "number":
            return _of_numbers(np.array(truth, dtype=np.float64), np.array(found, dtype=np.float64))
    return {metric: ratio(marks(task, metric, problems, found)) for metric in METRICS[task]}


def _of_labels(truth: Sequence[str], found: Sequence[str]) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    classes = sorted({*truth, *found})
    scores = {
        "accuracy": float(accuracy_score(truth, found)),
        "macro_f1": float(f1_score(truth, found, average="macro", zero_division=0)),
        "matthews": float(matthews_corrcoef(truth, found)) if len(classes) > 1 else 0.0,
    }
    if len(classes) == 2:  # of the class that GLUE calls positive, which sorts last
        scores["f1"] = float(f1_score(truth, found, pos_label=classes[-1], zero_division=0))
    return scores


def _of_numbers(truth_E: npt.NDArray[np.float64], found_E: npt.NDArray[np.float64]) -> dict[str, float]:
    from scipy.stats import pearsonr, spearmanr

    if len(truth_E) < 2 or not np.ptp(truth_E) or not np.ptp(found_E):
        return {"pearson": 0.0, "spearman": 0.0}  # of what is all alike there is none
    return {
        "pearson": float(pearsonr(truth_E, found_E).statistic),
        "spearman": float(spearmanr(truth_E, found_E).statistic),
    }


def _label(problem: Problem, found: Answer) -> tuple[float, float]:
    return float(problem.answer == found), 1.0


def _spans(count: Callable[[int, int, int], tuple[float, float]]) -> Callable[[Problem, Answer], tuple[float, float]]:
    def rule(problem: Problem, found: Answer) -> tuple[float, float]:
        assert isinstance(problem.answer, frozenset)
        assert isinstance(found, frozenset)
        return count(len(problem.answer & found), len(problem.answer), len(found))

    return rule


def _reading(score: Callable[..., float]) -> Callable[[Problem, Answer], tuple[float, float]]:
    def rule(problem: Problem, found: Answer) -> tuple[float, float]:
        assert isinstance(found, frozenset)
        text = "".join(problem.quoted(span.start, span.end) for span in found)  # one, or none
        return score(text, problem.accepted, chinese=mostly_chinese([problem.texts[-1]])), 1.0

    return rule


def _tree(labelled: bool) -> Callable[[Problem, Answer], tuple[float, float]]:
    def rule(problem: Problem, found: Answer) -> tuple[float, float]:
        truth = problem.answer
        assert isinstance(truth, Tree)
        assert isinstance(found, Tree)
        right = np.array(truth.heads) == np.array(found.heads)
        if labelled:
            right &= np.array(truth.relations) == np.array(found.relations)
        return float(right.sum()), float(len(right))

    return rule


_RULES: Mapping[tuple[Task, str], Callable[[Problem, Answer], tuple[float, float]]] = {
    ("label", "accuracy"): _label,
    ("spans", "f1"): _spans(lambda right, true, said: (2 * right, true + said)),
    ("spans", "precision"): _spans(lambda right, true, said: (right, said)),
    ("spans", "recall"): _spans(lambda right, true, said: (right, true)),
    ("reading", "exact"): _reading(exact),
    ("reading", "f1"): _reading(f1),
    ("tree", "las"): _tree(labelled=True),
    ("tree", "uas"): _tree(labelled=False),
}
