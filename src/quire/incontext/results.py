"""What in-context evaluation finds, and the table of it."""

from collections.abc import Iterator, Sequence

import numpy as np

from quire.core.config import Settings


class Figures(Settings):
    """How good some answers are; `confusion[i][j]` questions of label i were answered with label j."""

    accuracy: float
    macro_f1: float
    confusion: list[list[int]]

    @classmethod
    def of(cls, labels: Sequence[str], truth: Sequence[str], answers: Sequence[str]) -> "Figures":
        """Of answers to questions; the mean of F1 is over the labels that occur in truth or answers (`judge.score`)."""
        from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

        return cls(
            accuracy=float(accuracy_score(truth, answers)),
            macro_f1=float(f1_score(truth, answers, average="macro", zero_division=0)),
            confusion=confusion_matrix(truth, answers, labels=list(labels)).tolist(),
        )


class Run(Settings):
    """One choice of examples."""

    shots: int
    """Examples that were asked for, or all there are."""
    seed: int
    least_used: int
    mean_used: float
    """Examples that fitted into the window, over the questions."""
    rules: dict[str, Figures]


class Evaluation(Settings):
    """All runs on the same questions, and what the most frequent label would get."""

    labels: tuple[str, ...]
    questions: int
    majority: str
    baseline: Figures
    runs: tuple[Run, ...]
    notes: tuple[str, ...] = ()
    """What a person should know, a line each."""

    def spread(self, shots: int, rule: str, figure: str) -> tuple[float, float]:
        """Mean and standard deviation of `accuracy` or `macro_f1` over the seeds; 0 for one."""
        values = [getattr(run.rules[rule], figure) for run in self.runs if run.shots == shots]
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    def table(self) -> Iterator[str]:
        """Lines: a row for each number of shots and rule, then the confusion of each label, summed over the seeds."""
        seeds = {run.shots: sum(other.shots == run.shots for other in self.runs) for run in self.runs}
        yield f"{'shots':>5} {'seeds':>5}  {'rule':8} {'accuracy':>14} {'macro-F1':>14}"
        for shots, count in seeds.items():
            for rule in self.runs[0].rules:
                cells = (self.spread(shots, rule, figure) for figure in ("accuracy", "macro_f1"))
                shown = " ".join(f"{_percent(mean, spread, count):>14}" for mean, spread in cells)
                yield f"{shots:5} {count:5}  {rule:8} {shown}"
        shown = f"{self.baseline.accuracy * 100:14.1f} {self.baseline.macro_f1 * 100:14.1f}"
        yield f"{'':11}  {'majority':8} {shown}  always {self.majority!r}"
        for shots in seeds:
            for rule in self.runs[0].rules:
                yield from self._confusion(shots, rule)

    def _confusion(self, shots: int, rule: str) -> Iterator[str]:
        total = sum(np.array(run.rules[rule].confusion) for run in self.runs if run.shots == shots)
        yield f"\n{shots} shots, {rule}: label, then how often it was answered with each"
        width = max(map(len, self.labels))
        yield " " * width + "".join(f" {label[:12]:>12}" for label in self.labels)
        for label, row in zip(self.labels, np.asarray(total).tolist(), strict=True):
            yield f"{label:{width}}" + "".join(f" {count:12}" for count in row)


def _percent(mean: float, spread: float, seeds: int) -> str:
    return f"{mean * 100:.1f}" + (f" +- {spread * 100:.1f}" if seeds > 1 else "")
