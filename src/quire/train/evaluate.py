"""Answers for many examples: sorted by length, packed to a budget of tokens, back in the order they came in."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from quire.core.example import IGNORE, Batch, Example
from quire.nn.model import Model, Packed, Step
from quire.nn.pooling import Mean
from quire.objectives import Objective
from quire.paradigms import Paradigm

_NOBODY = np.full(1, IGNORE)
_MEAN = Mean()
TOKENS = 4096
"""Tokens of one packed batch: large enough to fill the matrix units, small enough for the cache."""


def batches(examples: Sequence[Example], tokens: int = TOKENS) -> Iterator[npt.NDArray[np.int64]]:
    """Indices of examples by length, cut so that a batch holds at most `tokens` (or one example)."""
    lengths = np.array([len(example) for example in examples], dtype=np.int64)
    order = np.argsort(lengths, kind="stable")
    start, held = 0, 0
    for place, index in enumerate(order):
        if held and held + lengths[index] > tokens:
            yield order[start:place]
            start, held = place, 0
        held += int(lengths[index])
    if len(order):
        yield order[start:]


@torch.inference_mode()
def predict(model: Model, paradigm: Paradigm, examples: Sequence[Example]) -> npt.NDArray[np.float32]:
    """Probabilities [examples, classes]."""
    return _collected(model, examples, paradigm.decode)


@torch.inference_mode()
def embed(model: Model, examples: Sequence[Example], *, pool: nn.Module | None = _MEAN) -> npt.NDArray[np.float32]:
    """What `pool` makes of the last states of each sequence, [examples, width]: sentence-transformers' mean pooling.

    A module of `quire.nn.pooling`, or None for the first state.
    """
    return _collected(model, examples, partial(pooled, pool=pool))


def pooled(step: Step, *, pool: nn.Module | None = _MEAN) -> Tensor:
    """The same of one batch, [S, W] in the order the examples came in."""
    states, batch = step.encode(), step.batch
    if pool is None:
        rows = states[batch.first]
    else:
        owner = torch.repeat_interleave(torch.arange(len(batch.lengths), device=states.device), batch.lengths)
        rows = pool(states, owner, len(batch.lengths))
    return rows[torch.from_numpy(np.argsort(batch.order))]


@torch.inference_mode()
def mean_loss(model: Model, objective: Objective, examples: Sequence[Example]) -> float:
    """The mean loss of an answer, over all examples; the model's mode is kept."""
    was, device = model.training, next(model.parameters()).device
    model.eval()
    total = asked = 0.0
    for indices in batches(examples):
        batch = Batch.pack([examples[i] for i in indices])
        sides = [batch] if batch.target is None else [batch, batch.target]
        count = sum(int((side.answers.get(objective.slot, _NOBODY) != IGNORE).sum()) for side in sides)
        total += float(objective.loss(Step(model, Packed(batch, device)))) * count
        asked += count
    model.train(was)
    return total / max(asked, 1)


def _collected(model: Model, examples: Sequence[Example], answer: Callable[[Step], Tensor]) -> npt.NDArray[np.float32]:
    model.eval()
    device = next(model.parameters()).device
    rows: list[npt.NDArray[np.float32] | None] = [None] * len(examples)
    for indices in batches(examples):
        step = Step(model, Packed(Batch.pack([examples[i] for i in indices]), device))
        for index, row in zip(indices, answer(step).float().cpu().numpy(), strict=True):
            rows[index] = row
    return np.stack([row for row in rows if row is not None])
