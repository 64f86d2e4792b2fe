"""Tokens, positions, segments and languages to vectors. Legend: N positions of all sequences, E embedding width."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from quire.core.spec import Backbone
from quire.nn.dropout import Dropout
from quire.nn.norms import norm
from quire.nn.positions import sinusoids
from quire.nn.tables import new_table


class Embeddings(nn.Module):
    """norm(token + position + segment + language), then dropout: BERT's input (Devlin et al. 2019, figure 2).

    Tokens are as the table has them, as in BERT and XLM, unless the backbone scales them; a sinusoid is about 0.7.
    A body that shares the table of another has everything else of its own (a decoder).
    """

    def __init__(self, spec: Backbone, *, shares_tokens: bool = False, tokens: nn.Module | None = None) -> None:
        """`tokens` stand in for a table: they are called as one and have its `weight` (`quire.nn.characters`)."""
        super().__init__()
        width = spec.embedding_width
        if not shares_tokens:
            self.tokens = cast(nn.Embedding, tokens or new_table(spec.vocab, width))
        learned = spec.position in ("learned", "learned_bucketed")
        self.positions = new_table(spec.positions, width) if learned else None
        self.scale = width**0.5 if spec.scale_embedding else 1.0
        self.sinusoidal = spec.position == "sinusoidal"
        added = spec.segments and spec.position != "relative"  # there they are a part of attention
        self.segments = new_table(spec.segments, width) if added else None
        self.languages = new_table(spec.languages, width) if spec.languages else None
        self.norm = norm(spec, width) if spec.embedding_norm else nn.Identity()
        self.dropout = Dropout(spec.dropout)

    def forward(
        self,
        tokens_N: Tensor,
        positions_N: Tensor,
        segments_N: Tensor,
        languages_N: Tensor | None,
        *,
        table: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Indices [N] -> [N, E], with the tokens of another body's `table` or our own."""
        x_NE: Tensor = (self.tokens if table is None else table)(tokens_N)
        if self.scale != 1:
            x_NE = x_NE * self.scale
        if self.positions is not None:
            x_NE = x_NE + self.positions(positions_N)
        if self.sinusoidal:
            x_NE = x_NE + sinusoids(positions_N, width=x_NE.shape[-1])
        if self.segments is not None:
            only = self.segments.num_embeddings == 1  # RoBERTa's, of both texts of a pair
            x_NE = x_NE + self.segments(torch.zeros_like(segments_N) if only else segments_N)
        if self.languages is not None:  # the first, where none is told
            x_NE = x_NE + (self.languages.weight[0] if languages_N is None else self.languages(languages_N))
        embedded: Tensor = self.dropout(self.norm(x_NE))
        return embedded
