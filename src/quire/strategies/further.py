"""Further pre-training within the task, then fine-tuning (Sun et al. 2019, "How to Fine-Tune BERT", section 5.4).

The base goes on with the recipe's own objectives on all training texts, whatever part of them has labels; never on dev
or test. It is done once for all seeds and numbers of labels. See `quire compare --further` for text of other origin.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quire.adapt.further import cost_of_going_on, gone_on
from quire.core.results import Run
from quire.core.spec import Size
from quire.predict import Predictor
from quire.strategies.compound import Compound

if TYPE_CHECKING:
    from quire.strategies.job import Tuning


class Further(Compound):
    """A stage on text before labels; every seed pays its share of it."""

    steps: Size = 300
    """Updates on text."""

    def check(self, tuning: Tuning) -> None:
        material = tuning.bench.material
        material.model(material.job(steps=self.steps, seed=tuning.settings.seed))

    def learnt(self, tuning: Tuning, *, rate: float, seed: int, home: Path) -> tuple[Predictor, Run]:
        bench, place = tuning.bench, tuning.stage
        title = f"{tuning.name}: going on with the training texts"
        files = gone_on(bench, bench.material, place, steps=self.steps, title=title, domain="the training texts")
        network, run = tuning.fitted(rate, seed, home, files=files)
        shared = cost_of_going_on(place).shared(tuning.settings.seeds)
        return network, run.model_copy(update={"cost": run.cost + shared})
