"""What a study's numbers allow one to say: `judge` writes these records, `report` shows them."""

from typing import Annotated

from pydantic import Field

from quire.core.config import Settings
from quire.core.results import Measure


class Estimate(Settings):
    """A value with its confidence interval; scores and differences of scores are shares, 0 to 1 and -1 to 1."""

    value: float
    lower: float
    upper: float

    @property
    def has_zero(self) -> bool:
        """The interval contains 0: the sign of the value is not established."""
        return self.lower <= 0 <= self.upper


class Score(Settings):
    """How one arm did on test, as the mean over its runs."""

    arm: str
    score: Estimate
    clean: Estimate | None = None
    """The same without the test examples whose text is also in train; None when there are none."""
    accuracy: float
    """Of structures, the share that is wholly right."""
    macro_f1: float | None
    """None for structures."""


class Comparison(Settings):
    """Arm `a` against arm `b` over the seeds they share."""

    a: str
    b: str
    seeds: tuple[int, ...]
    difference: Estimate
    """Score of a less score of b."""
    p: Annotated[float, Field(ge=0, le=1)]
    """Two-sided, from the paired bootstrap."""
    p_holm: Annotated[float, Field(ge=0, le=1)]
    """The same, corrected for the number of comparisons in the verdict."""
    only_a: int
    """Test examples that only a got right, each arm by its run with the best dev score."""
    only_b: int
    p_mcnemar: Annotated[float, Field(ge=0, le=1)]
    winner: str | None
    """a, b, or None: no winner."""


class Verdict(Settings):
    """The selected arm against each other one."""

    selected: str
    metric: Measure
    level: float
    """Of the intervals, 0.95 for 95 %; a winner needs p_holm below 1 - level."""
    resamples: int
    scores: tuple[Score, ...]
    comparisons: tuple[Comparison, ...]
    front: tuple[str, ...]
    """Arms that no other arm beats or equals in score, latency and size at once."""
    cheaper: tuple[str, ...]
    """Arms that do not lose against the selected one, yet are faster and no larger; not the int8 arm."""
    sentence: str

    def score(self, arm: str) -> Score:
        """The score of the arm called `arm`; KeyError when there is none."""
        return {score.arm: score for score in self.scores}[arm]

    def against(self, arm: str) -> Comparison | None:
        """The comparison of the selected arm with `arm`; None for the selected arm itself."""
        return next((c for c in self.comparisons if arm in (c.a, c.b) and arm != self.selected), None)
