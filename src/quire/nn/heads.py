"""Heads: what turns states into scores. Legend: M asked positions, W width, V vocabulary, C classes."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.spec import Backbone, HeadSpec, SequenceHead, TokenHead
from quire.nn.transformer import activate


class TokenScores(nn.Module):
    """norm(activation(dense(x))) times the token embeddings, plus a bias: BERT's MLM head."""

    def __init__(self, spec: Backbone) -> None:
        super().__init__()
        self.dense = nn.Linear(spec.width, spec.width)
        self.norm = nn.LayerNorm(spec.width, eps=spec.norm_eps)
        self.bias = nn.Parameter(torch.zeros(spec.vocab))
        self.activation = spec.activation

    def forward(self, x_MW: Tensor, tokens: nn.Embedding) -> Tensor:
        return F.linear(self.norm(activate(self.activation, self.dense(x_MW))), tokens.weight, self.bias)


class SequenceScores(nn.Module):
    """out(dropout(tanh(pooler(x)))) of the first position: BERT's classifier and its NSP head."""

    def __init__(self, spec: Backbone, *, outputs: int, dropout: float) -> None:
        super().__init__()
        self.pooler = nn.Linear(spec.width, spec.width)
        self.out = nn.Linear(spec.width, outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_MW: Tensor, tokens: nn.Embedding) -> Tensor:
        scores: Tensor = self.out(self.dropout(torch.tanh(self.pooler(x_MW))))
        return scores


def build_head(spec: HeadSpec, backbone: Backbone) -> nn.Module:
    """The module a head spec describes; called with states [M, W] and the token embedding."""
    match spec:
        case TokenHead():
            return TokenScores(backbone)
        case SequenceHead():
            return SequenceScores(backbone, outputs=spec.outputs, dropout=spec.dropout)
