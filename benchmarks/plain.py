"""The peer without Trainer: transformers' model in a plain loop of torch, over batches of about equal lengths."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.harness import Clock, Side
from quire.core.example import Ints
from quire.core.random import Rng, rng
from quire.train.optim import TrainPlan, factor

PLAIN, BUCKETS = "plain loop", "plain loop, length buckets"


def plain_training(
    name: str, model: Any, rows: Sequence[Mapping[str, Any]], collator: Any, *, plan: TrainPlan, skip: int
) -> Side:
    """Updates with the settings of `plan`: fused AdamW, clipping, the schedule; turns as in `peers.our_training`.

    `rows` have `input_ids` and fill whole batches; `collator` makes some of them the inputs of `model`, in the time of
    the turn, and the model returns its loss.
    """

    def run() -> float:
        clock = Clock()
        adamw = torch.optim.AdamW(_groups(model, plan), lr=plan.lr, betas=plan.betas, eps=plan.eps, fused=True)
        rates = torch.optim.lr_scheduler.LambdaLR(adamw, factor(plan))
        batches = by_length([len(row["input_ids"]) for row in rows], batch=plan.batch, draw=rng("plain loop"))
        model.train()
        clock.start()
        for step, batch in zip(range(plan.steps), batches, strict=False):
            model(**collator([rows[i] for i in batch])).loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
            adamw.step()
            rates.step()
            adamw.zero_grad(set_to_none=True)
            clock.update(step + 1)
        return clock.seconds(skip)

    return Side(name, run)


def by_length(lengths: Sequence[int], *, batch: int, draw: Rng) -> Iterator[Ints]:
    """The numbers of rows for one batch after the other: rows of about equal length, batches in random order, epoch
    after epoch; in any random order where all lengths are equal."""
    while True:
        order = draw.permutation(len(lengths))
        sorted_ = order[np.argsort(np.asarray(lengths)[order], kind="stable")]
        yield from draw.permutation(sorted_.reshape(-1, batch))


def _groups(model: nn.Module, plan: TrainPlan) -> list[dict[str, Any]]:
    """Matrices decay; biases and norms do not, as on the other sides."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]
