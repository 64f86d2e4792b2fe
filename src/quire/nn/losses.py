"""Losses that several objectives share. Legend: M asked positions, C classes."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits_MC: Tensor, answers_M: Tensor) -> Tensor:
    """Mean of -log softmax(logits)[answer]; 0 with a gradient of 0 when nothing is asked (M = 0), never NaN."""
    if answers_M.numel() == 0:
        return logits_MC.sum()
    return F.cross_entropy(logits_MC.float(), answers_M)


def token_health(logits_MV: Tensor, answers_M: Tensor) -> dict[str, float]:
    """Accuracy, the share of the most frequent prediction, and the entropy of the mean prediction in nats."""
    if answers_M.numel() == 0:
        return {}
    logits_MV = logits_MV.detach()
    predicted_M = logits_MV.argmax(dim=-1)
    mean_V = logits_MV.float().softmax(dim=-1).mean(dim=0)
    return {
        "accuracy": float((predicted_M == answers_M).float().mean()),
        "top_share": float(predicted_M.bincount().max() / len(predicted_M)),
        "entropy": float(-torch.xlogy(mean_V, mean_V).sum()),
    }
