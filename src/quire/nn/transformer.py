"""The Transformer encoder, packed. Legend: N positions of all sequences, M some of them, W width, F inner width."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.spec import Backbone
from quire.nn.attention import Attention, Run
from quire.nn.embeddings import Embeddings


def activate(name: str, x: Tensor) -> Tensor:
    """GELU with erf (Hendrycks and Gimpel 2016), its tanh form (Google's BERT, GPT), or ReLU."""
    return F.relu(x) if name == "relu" else F.gelu(x, approximate="tanh" if name == "gelu_tanh" else "none")


class FeedForward(nn.Module):
    """down(activation(up(x))), position by position."""

    def __init__(self, spec: Backbone) -> None:
        super().__init__()
        self.up = nn.Linear(spec.width, spec.ffn)
        self.down = nn.Linear(spec.ffn, spec.width)
        self.activation = spec.activation

    def forward(self, x_NW: Tensor) -> Tensor:
        inner_NF = activate(self.activation, self.up(x_NW))
        outer: Tensor = self.down(inner_NF)
        return outer


class Block(nn.Module):
    """Attention, then feed-forward; each with dropout, residual and a norm after it (post-norm)."""

    def __init__(self, spec: Backbone) -> None:
        super().__init__()
        self.attention = Attention(spec.width, spec.heads, dropout=spec.attention_dropout)
        self.attention_norm = nn.LayerNorm(spec.width, eps=spec.norm_eps)
        self.ffn = FeedForward(spec)
        self.ffn_norm = nn.LayerNorm(spec.width, eps=spec.norm_eps)
        self.dropout = nn.Dropout(spec.dropout)

    def forward(self, x_NW: Tensor, layout: Sequence[Run], at_M: Tensor | None = None) -> Tensor:
        """States [N, W], or [M, W] for the positions `at_M` alone: the others are seen, but not computed."""
        seen = x_NW if at_M is None else x_NW[at_M]
        x = self.attention_norm(seen + self.dropout(self.attention(x_NW, layout, at_M)))
        normed: Tensor = self.ffn_norm(x + self.dropout(self.ffn(x)))
        return normed


class Encoder(nn.Module):
    """Embeddings and `depth` blocks: indices [N] -> states [N, W], or [M, W] for the positions `at_M` alone."""

    def __init__(self, spec: Backbone) -> None:
        super().__init__()
        self.spec = spec
        self.embeddings = Embeddings(spec)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.depth))

    def forward(
        self,
        tokens_N: Tensor,
        positions_N: Tensor,
        segments_N: Tensor,
        layout: Sequence[Run],
        at_M: Tensor | None = None,
    ) -> Tensor:
        x_NW: Tensor = self.embeddings(tokens_N, positions_N, segments_N)
        *lower, last = self.blocks
        for block in lower:
            x_NW = block(x_NW, layout)
        states: Tensor = last(x_NW, layout, at_M)  # nobody looks at the other positions of the last block
        return states
