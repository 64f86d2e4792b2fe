"""Tokens, positions and segments to vectors."""

from torch import Tensor, nn

from quire.core.spec import Backbone


class Embeddings(nn.Module):
    """norm(token + position + segment), then dropout: BERT's input (Devlin et al. 2019, figure 2)."""

    def __init__(self, spec: Backbone) -> None:
        super().__init__()
        self.tokens = nn.Embedding(spec.vocab, spec.width)
        self.positions = nn.Embedding(spec.positions, spec.width)
        self.segments = nn.Embedding(spec.segments, spec.width) if spec.segments else None
        self.norm = nn.LayerNorm(spec.width, eps=spec.norm_eps)
        self.dropout = nn.Dropout(spec.dropout)

    def forward(self, tokens_N: Tensor, positions_N: Tensor, segments_N: Tensor) -> Tensor:
        """Indices [N] -> [N, W]."""
        x_NW = self.tokens(tokens_N) + self.positions(positions_N)
        if self.segments is not None:
            x_NW = x_NW + self.segments(segments_N)
        embedded: Tensor = self.dropout(self.norm(x_NW))
        return embedded
