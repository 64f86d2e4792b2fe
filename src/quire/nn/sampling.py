"""Drawing a token from what a model tells.

Legend: R rows, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from quire.core.random import rng
from quire.core.search import Sample


def shares(log_p_RV: Tensor, sample: Sample) -> Tensor:
    """[R, V] what each token is drawn with, in fp64: temperature, then top k, then top p; see `Sample`.

    Of the tokens that are equally likely at the edge of the top, those with lower ids are taken.
    """
    p_RV = (log_p_RV.double() / sample.temperature).softmax(dim=-1)
    if sample.top_k is None and sample.top_p == 1:
        return p_RV
    found, ids = p_RV.sort(dim=-1, descending=True, stable=True)
    if sample.top_k is not None:
        found[:, sample.top_k :] = 0
    before = found.cumsum(dim=-1) - found  # what likelier tokens have
    found[before >= sample.top_p * found.sum(dim=-1, keepdim=True)] = 0
    return torch.zeros_like(p_RV).scatter_(1, ids, found / found.sum(dim=-1, keepdim=True))


def draw(log_p_RV: Tensor, sample: Sample, *, sequences: Sequence[int], t: int) -> Tensor:
    """[R] a token for each row; that of sequence s is drawn from (seed, s, t)."""
    u_R1 = torch.tensor([[rng(sample.seed, "sample", s, t).random()] for s in sequences], dtype=torch.float64)
    reached_RV = shares(log_p_RV, sample).cumsum(dim=-1)
    at_R1 = u_R1.to(reached_RV.device) * reached_RV[:, -1:]
    return torch.searchsorted(reached_RV, at_R1, right=True).squeeze(1)
