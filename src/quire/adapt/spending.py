"""From a budget to optimiser steps, once, before the first arm is trained; written down, so that resuming repeats it.

Both trained arms may spend the same. The one that goes on with masked language modelling pays for that from its share.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from quire.adapt.settings import Budget
from quire.core.config import Settings

PRETRAIN_SHARE = 0.5
"""Of the adapted arm's budget, for masked language modelling; the rest is for the labels."""
OVERHEAD = 45.0
"""Seconds for latency, int8, statistics and the report."""
MARGIN = 0.85
"""Of the time that is left, what is planned for: machines have moods."""


class Speeds(Settings):
    """Seconds on this machine with this base and these texts, measured in a few steps."""

    finetune_step: float
    pretrain_step: float
    finetune_tokens: float
    """Tokens of one step."""
    pretrain_tokens: float
    dev_pass: float
    """One pass over dev in fp32."""
    test_pass: float


class Spending(Settings):
    """Updates of each arm; the adapted arm pre-trains once for all seeds."""

    direct: Annotated[int, Field(gt=0)]
    """Fine-tuning steps of the base, per seed."""
    pretrain: Annotated[int, Field(gt=0)]
    adapted: Annotated[int, Field(gt=0)]
    """Fine-tuning steps after pre-training, per seed."""
    statement: str
    speeds: Speeds


def plan(budget: Budget, speeds: Speeds, *, seeds: int, epoch: int, epochs: int, arms: int, spent: float) -> Spending:
    """Steps for each arm. `epoch` is the steps of one pass over the labels, `epochs` the most passes allowed.

    With a time budget, the passes over dev and test that the arms need are set aside first: one for each seed of
    each of the `arms` trained arms, one for the features, and about half of one for each seed in int8.
    """
    most = epoch * epochs
    if budget.unit == "seconds":
        watching = 4 * speeds.dev_pass * seeds * arms
        passes = seeds * arms + 1 + seeds / 2
        left = (budget.amount - spent - OVERHEAD - watching - passes * speeds.test_pass) * MARGIN
        share = max(left, 0.0) / arms
        direct = share / seeds / speeds.finetune_step
        adapted = share * (1 - PRETRAIN_SHARE) / seeds / speeds.finetune_step
        direct, adapted = min(direct, most), min(adapted, most)
        pretrain = (share - adapted * seeds * speeds.finetune_step) / speeds.pretrain_step
    else:
        per_finetune = speeds.finetune_tokens if budget.unit == "tokens" else 1.0
        per_pretrain = speeds.pretrain_tokens if budget.unit == "tokens" else 1.0
        direct = min(budget.amount / per_finetune, most)
        adapted = min(budget.amount * (1 - PRETRAIN_SHARE) / per_finetune, most)
        pretrain = (budget.amount - adapted * per_finetune) * seeds / per_pretrain
    steps = {"direct": _whole(direct, epoch), "pretrain": _whole(pretrain, 20), "adapted": _whole(adapted, epoch)}
    floor = " (less than the least each arm needs, so the least is spent)" if direct < epoch else ""
    statement = (
        f"{budget}{floor}: per seed {steps['direct']} fine-tuning steps from the base, or {steps['adapted']} after "
        f"{steps['pretrain']} steps of masked language modelling that all seeds share"
    )
    return Spending(**steps, statement=statement, speeds=speeds)


def _whole(steps: float, least: int) -> int:
    return max(int(steps), least, 1)


def seconds_of(work: Callable[[int], object], *, warm: int = 1, times: int = 3) -> float:
    """The median seconds of `work(i)` after `warm` calls that do not count."""
    taken = []
    for i in range(warm + times):
        begin = time.perf_counter()
        work(i)
        taken.append(time.perf_counter() - begin)
    return sorted(taken[warm:])[times // 2]
