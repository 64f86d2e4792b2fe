"""Losses that several objectives share. Legend: M asked positions, C classes."""

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits_MC: Tensor, answers_M: Tensor) -> Tensor:
    """Mean of -log softmax(logits)[answer]; 0 with a gradient of 0 when nothing is asked (M = 0), never NaN."""
    if answers_M.numel() == 0:
        return logits_MC.sum()
    return F.cross_entropy(logits_MC.float(), answers_M)
