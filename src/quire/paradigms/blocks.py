"""Texts that stand apart in one example and meet in their vectors alone.

Legend: B blocks of a batch in order (a sequence without blocks is one), K of them, P their positions, W width.
"""

import torch
from torch import Tensor, nn

from quire.nn.model import Step
from quire.nn.pooling import whole


def blocks(step: Step) -> tuple[Tensor, Tensor]:
    """Where each block begins [B], and its length [B]."""
    lengths_B = torch.tensor(step.batch.layout.lengths, device=step.batch.first.device)
    return lengths_B.cumsum(0) - lengths_B, lengths_B


def vectors(step: Step, head: str, at_K: Tensor) -> Tensor:
    """[K, W]: what the pool of a head makes of the states of the blocks that begin at `at_K`, or their first states."""
    pool, states = step.model.heads[head].pool, step.passed(head).states
    assert isinstance(pool, nn.Module | None)
    if pool is None:
        return states(at_K)
    at_P, owner_P = whole(*blocks(step), at_K)
    pooled_KW: Tensor = pool(states(at_P), owner_P, len(at_K))
    return pooled_KW


def sequence_of(step: Step, at_K: Tensor) -> Tensor:
    """The number [K] of the sequence that a position stands in."""
    return torch.searchsorted(step.batch.first, at_K, right=True) - 1
