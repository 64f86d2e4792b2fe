"""Words to pieces, pieces to documents (Yang et al. 2016, HAN, section 2.2; survey: 层次模型).

h_it = BiLSTM(x_i1, ..., x_iL),  s_i = sum_t a_it h_it,  a_i = softmax over t of q tanh(V h_it + b)    of piece i
g_i  = BiLSTM(s_1, ..., s_P),    d   = sum_i a_i g_i,    a   = softmax over i of q' tanh(V' g_i + b')  of the document

The state of a token is h_it + g_i, and that of the first one d. They have GRUs and sentences; here are LSTMs, and every
`piece` tokens are one.

Legend: N positions of all sequences, P pieces of all, S sequences, n members of K groups, W width, E width of the
embeddings.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.bodies import Hierarchical, Lstm
from quire.nn.attention import Layout
from quire.nn.body import Body
from quire.nn.dropout import Dropout
from quire.nn.lstm import Course, LstmLayer
from quire.nn.pooling import added, softmax


class Level(nn.Module):
    """Members of a group to one vector: they are read in both directions, then weighed."""

    def __init__(self, inputs: int, spec: Hierarchical) -> None:
        super().__init__()
        self.reader = LstmLayer(inputs, Lstm(width=spec.width, directions="joined"))
        self.key = nn.Linear(spec.width, spec.width)
        self.query = nn.Parameter(torch.empty(spec.width))

    def forward(self, x_nE: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Members [n, E] of groups of these sizes -> their states [n, W], the groups' [K, W], the group of each [n]."""
        states_nW = torch.cat(self.reader([x_nE, x_nE], Course.of(sizes, x_nE.device)), dim=1)
        owner_n = torch.arange(len(sizes), device=x_nE.device).repeat_interleave(
            torch.tensor(sizes, device=x_nE.device), output_size=len(x_nE)
        )
        a_n = softmax(self.key(states_nW).tanh() @ self.query, owner_n, len(sizes))
        return states_nW, added(a_n[:, None] * states_nW, owner_n, len(sizes)), owner_n


class HierarchicalEncoder(Body):
    """A level for the words of a piece, and one for the pieces of a document."""

    def __init__(self, spec: Hierarchical, *, shares_embeddings: bool = False) -> None:
        super().__init__(spec, shares_embeddings=shares_embeddings, project=False)
        self.blocks = nn.ModuleList([Level(spec.embedding_width, spec), Level(spec.width, spec)])
        self.piece = spec.piece
        self.dropout = Dropout(spec.dropout)

    def layers(self, x_NE: Tensor, layout: Layout) -> Iterator[Tensor]:
        cut = [[min(self.piece, n - begin) for begin in range(0, n, self.piece)] for n in layout.lengths]
        words, pieces = self.blocks
        h_NW, s_PW, piece_N = words(x_NE, [size for document in cut for size in document])
        g_PW, d_SW, _ = pieces(self.dropout(s_PW), [len(document) for document in cut])
        lengths_S = torch.tensor(layout.lengths, device=x_NE.device)
        states_NW = h_NW + F.embedding(piece_N, g_PW)
        yield self.dropout(states_NW.index_copy(0, lengths_S.cumsum(0) - lengths_S, d_SW))
