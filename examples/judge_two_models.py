"""Is model A better than model B, or is it chance? Judge predictions that you have already, from any library.

Run: python examples/judge_two_models.py
"""

import numpy as np

from quire.core.results import Arm, DataFacts, Environment, Study
from quire.judge import verdict

draw = np.random.default_rng(0)
truth = draw.integers(2, size=300)  # [E] test labels


def predictions(accuracy: float) -> np.ndarray:
    """[R, E]: three seeds of a model that is right so often."""
    right = draw.random((3, len(truth))) < accuracy
    return np.where(right, truth, 1 - truth)


def arm(name: str, accuracy: float) -> Arm:
    how = "Made up for this example."
    return Arm(name=name, title=name, how=how, seeds=(0, 1, 2), dev=(accuracy,) * 3, predictions=predictions(accuracy))


study = Study(
    title="Two models",
    labels=("bad", "good"),
    truth=truth,
    metric="accuracy",
    arms=(arm("A", 0.90), arm("B", 0.89), arm("C", 0.70)),
    selected="A",  # by dev, before test was looked at
    budget="none",
    data=DataFacts(splits=()),
    environment=Environment(cpu="", cores=1, threads=1),
    seconds=0.0,
)
found = verdict(study)
print(found.sentence)
for pair in found.comparisons:
    d = pair.difference
    print(f"{pair.a} - {pair.b}: {d.value:+.3f} ({d.lower:+.3f} to {d.upper:+.3f}), p after Holm {pair.p_holm:.3f}")
