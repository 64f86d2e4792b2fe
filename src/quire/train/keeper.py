"""The best moments of a run: what is measured on dev while it goes, and the weights that were best."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from quire.nn.model import Model
from quire.train.safe import read_json, write_tensors, write_whole
from quire.tuning.past import PAST

_APART = ("heads.", f"{PAST}.")
"""What is no part of a body: heads, and a strategy's memory, which is never read back from here."""


class Keeper:
    """Measures, and keeps under each name the weights of its best moment: the first among equals. The `watch` of `fit`.

    What is kept is a function of the run alone, so that a stopped one which makes some updates again keeps the same.
    """

    def __init__(
        self,
        model: Model,
        home: Path,
        measure: Callable[[], Mapping[str, float]],
        *,
        heads: Mapping[str, str] | None = None,
    ) -> None:
        """Keep in `home` what `measure` finds by name, or what was found there before; with `heads`, by name, only the
        body and one head."""
        self.model, self.home, self.measure, self.heads = model, home, measure, heads
        home.mkdir(parents=True, exist_ok=True)
        self.best: dict[str, float] = read_json(home / "best.json") if (home / "best.json").exists() else {}

    def __call__(self, step: int) -> dict[str, float]:
        """The scores for the log."""
        scores = self.measure()
        for name, found in scores.items():
            if found > self.best.get(name, -1.0):
                self.best[name] = found
                draft = self.home / f"{name}.draft"
                write_tensors(draft, self._weights(name))
                draft.replace(self.weights_of(name))
        write_whole(self.home / "best.json", json.dumps(self.best))
        return {f"dev_{name}": found for name, found in scores.items()}

    def weights_of(self, name: str) -> Path:
        """Where the best weights lie, as safetensors."""
        return self.home / f"{name}.safetensors"

    def _weights(self, name: str) -> Mapping[str, Tensor]:
        state = self.model.state_dict()
        own = "heads." if self.heads is None else f"heads.{self.heads[name]}."
        return {weight: t for weight, t in state.items() if weight.startswith(own) or not weight.startswith(_APART)}
