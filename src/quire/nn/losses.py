"""Losses that several objectives share.

Legend: M asked positions, C classes, K pairs or sequences, P positions of the K sequences, W width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from quire.nn.lazy import LazyScores


def cross_entropy(scores: Tensor | LazyScores, answers_M: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean of -log softmax(scores [M, C])[answer]; 0 with a gradient of 0 when nothing is asked (M = 0), never NaN.

    Of a product, as heads over the vocabulary have it, never are all scores there at a time.
    With `smoothing`, that share of each answer is spread over all C classes alike (Szegedy et al. 2016, section 7).
    """
    if isinstance(scores, LazyScores) and scores.differentiable and answers_M.numel():
        return scores.cross_entropy(answers_M, smoothing=smoothing)
    logits_MC = scores.scores() if isinstance(scores, LazyScores) else scores
    if answers_M.numel() == 0:
        return logits_MC.sum()
    return F.cross_entropy(logits_MC.float(), answers_M, label_smoothing=smoothing)


def position_cross_entropy(scores_P: Tensor, owner_P: Tensor, answers_K: Tensor) -> Tensor:
    """Mean of -log softmax(scores of a sequence)[answer], the answers being places in P; 0 when K = 0, never NaN."""
    if answers_K.numel() == 0:
        return scores_P.sum()
    scores_P = scores_P.float()
    top_K = scores_P.new_full((len(answers_K),), -torch.inf).scatter_reduce(0, owner_P, scores_P.detach(), "amax")
    raised_P = (scores_P - top_K[owner_P]).exp()
    total_K = raised_P.new_zeros(len(answers_K)).index_add(0, owner_P, raised_P)
    return (top_K + total_K.log() - scores_P[answers_K]).mean()


def binary_cross_entropy(scores_M: Tensor, truth_M: Tensor) -> Tensor:
    """Mean of -log of the probability that a logistic unit gives the truth, 0 or 1; 0 when M = 0, never NaN."""
    if truth_M.numel() == 0:
        return scores_M.sum()
    return F.binary_cross_entropy_with_logits(scores_M.float(), truth_M.float())


def token_health(logits_MV: Tensor, answers_M: Tensor) -> dict[str, float]:
    """Cross entropy (`nats`), accuracy, share of the most frequent prediction, entropy of the mean one in nats."""
    if answers_M.numel() == 0:
        return {}
    logits_MV = logits_MV.detach()
    predicted_M = logits_MV.argmax(dim=-1)
    mean_V = logits_MV.float().softmax(dim=-1).mean(dim=0)
    return {
        "nats": float(cross_entropy(logits_MV, answers_M)),
        "accuracy": float((predicted_M == answers_M).float().mean()),
        "top_share": float(predicted_M.bincount().max() / len(predicted_M)),
        "entropy": float(-torch.xlogy(mean_V, mean_V).sum()),
    }


def info_nce(
    query_KW: Tensor, key_KW: Tensor, *, left_out_KK: Tensor | None = None, temperature: float = 1.0
) -> Tensor:
    """Mean of -log softmax(q_i . k_j / temperature over j)[i] (van den Oord et al. 2018), 0 when K = 0.

    The partner i is among the candidates, so that the loss is 0 or more, and log K less the loss is a lower bound of
    the mutual information. `left_out` [K, K] are pairs (i, j) that do not count.
    """
    scores_KK = _matches(query_KW, key_KW, left_out_KK) / temperature
    return cross_entropy(scores_KK, torch.arange(len(scores_KK), device=scores_KK.device))


def match_health(query_KW: Tensor, key_KW: Tensor, *, left_out_KK: Tensor | None = None) -> dict[str, float]:
    """How often the best match of a query is its partner, and the mean cosine of two queries: 1 when all are equal."""
    query_KW, key_KW = query_KW.detach(), key_KW.detach()
    best_K = _matches(query_KW, key_KW, left_out_KK).argmax(dim=1)
    found = {"accuracy": float((best_K == torch.arange(len(best_K), device=best_K.device)).float().mean())}
    if (k := len(best_K)) > 1:
        sum_W = F.normalize(query_KW.float(), dim=1).sum(dim=0)
        found["cosine"] = float((sum_W.square().sum() - k) / (k * (k - 1)))
    return found


def _matches(query_KW: Tensor, key_KW: Tensor, left_out_KK: Tensor | None) -> Tensor:
    with torch.autocast(query_KW.device.type, enabled=False):  # differences of large scores
        scores_KK = query_KW.float() @ key_KW.float().T
    return scores_KK if left_out_KK is None else scores_KK.masked_fill(left_out_KK, float("-inf"))
