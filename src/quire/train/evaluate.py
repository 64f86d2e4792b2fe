"""Answers for many examples: sorted by length, packed to a budget of tokens, back in the order they came in."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from quire.core.example import IGNORE, Batch, Example
from quire.nn.model import Model, Packed, Step
from quire.nn.pooling import Mean
from quire.objectives import Objective
from quire.paradigms import Paradigm
from quire.paradigms.base import Said
from quire.paradigms.classify import Classify

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
def said(model: Model, paradigm: Paradigm, examples: Sequence[Example]) -> list[Said]:
    """What the model says of each example, in the terms of the paradigm."""
    return _collected(model, examples, paradigm.says)


def predict(model: Model, classify: Classify, examples: Sequence[Example]) -> npt.NDArray[np.float32]:
    """Probabilities [examples, classes]."""
    return np.stack(said(model, classify, examples))


@torch.inference_mode()
def embed(
    model: Model,
    examples: Sequence[Example],
    *,
    pool: nn.Module | None = _MEAN,
    windows: nn.Module | None = None,
) -> npt.NDArray[np.float32]:
    """What `pool` makes of the last states of each sequence, [examples, width]: sentence-transformers' mean pooling.

    A module of `quire.nn.pooling`, or None for the first state; of each block, where `windows` join them.
    """

    def rows(step: Step) -> list[Said]:
        return list(pooled(step, pool=pool, windows=windows).float().cpu().numpy())

    return np.stack(_collected(model, examples, rows))


def pooled(step: Step, *, pool: nn.Module | None = _MEAN, windows: nn.Module | None = None) -> Tensor:
    """The same of one batch, [S, W] in the order the examples came in."""
    states, batch = step.encode(), step.batch
    first, lengths = (batch.first, batch.lengths) if windows is None else batch.blocks
    if pool is None:
        rows = states[first]
    else:
        owner = torch.repeat_interleave(torch.arange(len(lengths), device=states.device), lengths)
        rows = pool(states, owner, len(lengths))
    if windows is not None:
        rows = windows(rows, batch.blocks_of(batch.first)[1], len(batch.first))
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


def _collected(model: Model, examples: Sequence[Example], answer: Callable[[Step], Sequence[Said]]) -> list[Said]:
    model.eval()
    device = next(model.parameters()).device
    found: dict[int, Said] = {}
    for indices in batches(examples):
        step = Step(model, Packed(Batch.pack([examples[i] for i in indices]), device))
        found |= zip(indices.tolist(), answer(step), strict=True)
    return [found[i] for i in range(len(examples))]
