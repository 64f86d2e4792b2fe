"""A pointer: what a decoder says next is the end, a label, or a position of the text it looks at (Yan et al. 2021, "A
Unified Generative Framework for Aspect-Based Sentiment Analysis", section 3.2; survey: ABSA as Sequence Generation).

    end and labels   h . emb                                           emb: their embeddings
    position i       (h . mlp(enc_i) + h . emb(x_i)) / 2               mlp: linear, dropout, ReLU, linear
                     h . mlp(enc_i)                                    where it is not `embedded`

What is said is a column of [end | labels | positions of the text], the same for all texts of a batch; a column beyond a
text, or of a special token, scores -inf. What the decoder reads of it is a token, that at the position; behind those of
the table stand the labels, whose vectors are the head's own.

Legend: N positions of all texts, S texts, L positions of the longest, T of what is written, M asked of these, Q of one
text's, C labels, K = 1 + C + L columns, W width of the body, E width of the embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quire.core.heads import PointerHead
from quire.core.spec import Backbone
from quire.nn.dropout import Dropout
from quire.nn.grid import Grid
from quire.nn.tables import new_table


@dataclass(frozen=True, eq=False)
class Places:
    """What can be said about each text: a vector for each column, those that never are, and the tokens to read."""

    vectors_SKE: Tensor
    never_SK: Tensor
    tokens_SK: Tensor

    def reorder(self, rows: Tensor) -> Places:
        """Text i becomes what text rows[i] was."""
        return Places(self.vectors_SKE[rows], self.never_SK[rows], self.tokens_SK[rows])

    def read(self, said_S: Tensor) -> Tensor:
        """The token [S] that the decoder reads of a column in each text."""
        return self.tokens_SK.gather(1, said_S[:, None]).squeeze(1)

    def scores(self, h_SQE: Tensor) -> Tensor:
        """[S, Q, K]"""
        return (h_SQE @ self.vectors_SKE.transpose(1, 2)).masked_fill(self.never_SK[:, None], -torch.inf)


class PointerScores(nn.Module):
    """A linear layer leads to the embeddings where they are not as wide as the states; theirs are."""

    def __init__(self, spec: Backbone, head: PointerHead) -> None:
        super().__init__()
        width, narrow = spec.width, spec.embedding_width
        self.spec = head
        self.dense = nn.Linear(width, narrow) if narrow != width else None
        self.mlp = nn.Sequential(nn.Linear(width, width), Dropout(head.dropout), nn.ReLU(), nn.Linear(width, narrow))
        self.labels = new_table(len(head.labels), narrow) if head.labels else None

    def call(self, table: nn.Embedding) -> None:
        """Begin each label's vector as the mean of those of its name: new numbers, that share none with the table."""
        if self.labels is not None:
            with torch.no_grad():
                rows = [table(torch.tensor(name, device=table.weight.device)).mean(dim=0) for name in self.spec.labels]
                self.labels.weight.copy_(torch.stack(rows))

    def embed(self, tokens_T: Tensor, *, table: nn.Embedding) -> Tensor:
        """[T, E]: the vectors of tokens, and of labels behind them."""
        if self.labels is None:
            return table(tokens_T)  # type: ignore[no-any-return]
        own_T = tokens_T >= self.spec.vocab
        label_T = (tokens_T - self.spec.vocab).clamp(min=0)
        return torch.where(own_T[:, None], self.labels(label_T), table(tokens_T.masked_fill(own_T, 0)))

    def places(self, states_NW: Tensor, tokens_N: Tensor, lengths_S: Tensor, table: nn.Embedding) -> Places:
        """What can be said about texts with these states and tokens, laid end to end."""
        vectors_NE = self.mlp(states_NW)
        if self.spec.embedded:
            vectors_NE = (vectors_NE + table(tokens_N)) / 2
        grid = Grid.of(lengths_S.tolist(), tokens_N.device)
        tokens_SL, device = tokens_N[grid.index_SL], tokens_N.device
        special = torch.tensor(self.spec.special, dtype=torch.int64, device=device)
        beyond_SL = torch.arange(tokens_SL.shape[1], device=device) >= lengths_S[:, None]
        labels = range(self.spec.vocab, self.spec.vocab + len(self.spec.labels))
        fixed = torch.tensor([self.spec.end, *labels], device=device)
        first_SKE = self.embed(fixed, table=table).expand(len(lengths_S), -1, -1)
        first_SK = fixed.expand(len(lengths_S), -1)
        return Places(
            torch.cat([first_SKE, grid.laid(vectors_NE)], dim=1),
            torch.cat([torch.zeros_like(first_SK, dtype=torch.bool), beyond_SL | torch.isin(tokens_SL, special)], 1),
            torch.cat([first_SK, tokens_SL], dim=1),
        )

    def forward(self, h_MW: Tensor, owner_M: Tensor, places: Places) -> Tensor:
        """Scores [M, K] by states of a decoder, each of which writes about the text `owner_M`, ascending."""
        h_ME = h_MW if self.dense is None else self.dense(h_MW)
        grid = Grid.of(owner_M.bincount(minlength=len(places.tokens_SK)).tolist(), h_MW.device)
        return grid.taken(places.scores(grid.laid(h_ME)))
