"""Has an arm learnt anything? Its losses on held-out text, figures of its answers, and alarms in words.

Legend: S sequences, W width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import torch

from quire.core.example import Batch
from quire.core.random import seed_of
from quire.core.results import HeldOut
from quire.nn.model import Model, Packed, Step
from quire.text.shards import Entropies
from quire.train.evaluate import pooled
from quire.train.loop import Job

BATCHES = 4
"""Held-out batches that an arm is measured on; the same for every moment of it."""
ONE_TOKEN = 0.9
"""A share of predictions that are one and the same token, from which on the model has collapsed."""
NO_FAKES = 0.005
"""A share of fakes in the text, below which a detector has nothing to find."""
NOTHING_FOUND = 0.01
CONSTANT = 0.02
"""Spread of sentence vectors against their mean length, below which the encoder says the same of every text."""
DEAD_QUERY = 0.02


class HeldOutText:
    """Fixed batches of held-out text, damaged as the job damages its own."""

    def __init__(self, job: Job) -> None:
        self.job = job
        feed = job.feed()
        count = min(BATCHES, -(-len(job.examples) // job.plan.batch))
        self.batches: list[Batch] = [batch for t in range(count) for batch in feed.at(t)]

    @torch.no_grad()
    def measured(self, model: Model) -> tuple[dict[str, float], dict[str, float]]:
        """The loss of each objective by slot, and figures as `slot.figure`, each the mean over batches.

        The figures are those of each objective's `health`, and `encoder.spread`. The model's mode is kept.
        """
        losses, figures = defaultdict(list), defaultdict(list)
        for step in self._steps(model):
            for objective in self.job.objectives:
                losses[objective.slot].append(float(objective.loss(step)))
                for name, value in objective.health(step).items():
                    figures[f"{objective.slot}.{name}"].append(value)
            figures["encoder.spread"].append(spread(step))
        return _means(losses), _means(figures)

    def _steps(self, model: Model) -> Iterator[Step]:
        """One after the other, in evaluation mode, with the same dice for whatever an objective draws."""
        was, device = model.training, next(model.parameters()).device
        model.eval()
        with torch.random.fork_rng(devices=[]):
            for number, batch in enumerate(self.batches):
                torch.manual_seed(seed_of(self.job.seed, "health", number))
                yield Step(model, Packed(batch, device))
        model.train(was)


def _means(found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: sum(values) / len(values) for name, values in found.items()}


def spread(step: Step) -> float:
    """How far sentence vectors (means of states) lie from their centre, against the mean of their lengths."""
    vectors_SW = pooled(step).detach()
    away = (vectors_SW - vectors_SW.mean(dim=0)).norm(dim=1).mean()
    return float(away / vectors_SW.norm(dim=1).mean().clamp(min=1e-9))


def alarms(last: HeldOut, yardstick: Entropies) -> tuple[str, ...]:
    """What looks broken, a sentence each; the yardstick is that of the held-out text."""
    found = []
    for name, value in last.figures.items():
        slot, _, figure = name.partition(".")
        if figure.endswith("top_share") and value >= ONE_TOKEN:
            found.append(f"{slot}: {value:.0%} of its answers are one and the same.")
        if figure.endswith("nats") and value >= yardstick.unigram:
            found.append(
                f"{slot}: {value:.2f} nats a token, no better than guessing by frequency ({yardstick.unigram:.2f})."
            )
        if figure == "fake_rate" and value < NO_FAKES:
            found.append(f"{slot}: only {value:.2%} of the tokens are fakes: the generator leaves nothing to detect.")
        if figure == "detected" and value < NOTHING_FOUND:
            found.append(f"{slot}: the detector finds {value:.1%} of the fakes: it calls everything real.")
        if figure == "query_spread" and value < DEAD_QUERY:
            found.append(f"{slot}: the query stream says the same everywhere (spread {value:.3f}): it is dead.")
        if figure == "spread" and slot == "encoder" and value < CONSTANT:
            found.append(f"The encoder says the same of every text (spread {value:.3f}).")
    found += [
        f"{slot}: the held-out loss is {value}." for slot, value in last.losses.items() if not value < float("inf")
    ]
    return tuple(found)
