"""A binary Tree-LSTM over packed sequences (Tai et al. 2015, section 3.2, N = 2; survey: 递归组合模型).

leaf    i, o = sigmoid(W x + b),                    c = i tanh(W x + b),                                  h = o tanh(c)
node    i, f_l, f_r, o = sigmoid(U [h_l; h_r] + b), c = i tanh(U [h_l; h_r] + b) + f_l c_l + f_r c_r,     h = o tanh(c)

Tai et al. compose parse trees; here the tree is balanced, for there is no parser: at each level neighbours 2 k and
2 k + 1 are composed, a last one without a neighbour rises as it is, and all sequences of the batch rise together: as
many products as the logarithm of the longest.

Legend: N positions of all sequences, n nodes of one level, S sequences, W width, E width of the embeddings.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from quire.core.bodies import Tree
from quire.nn.attention import Layout
from quire.nn.body import Body
from quire.nn.dropout import Dropout


class Composer(nn.Module):
    """Two nodes to one; forget gates begin open, with a bias of 1, as in `quire.nn.lstm`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gates = nn.Linear(2 * width, 5 * width)

    def begin(self) -> None:
        """Open the forget gates."""
        width = len(self.gates.bias) // 5
        self.gates.bias[width : 3 * width] = 1.0

    def forward(self, left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """h and c [n, W] of both children -> of their parents."""
        i, f_left, f_right, o, u = self.gates(torch.cat([left[0], right[0]], dim=1)).chunk(5, dim=1)
        c = i.sigmoid() * u.tanh() + f_left.sigmoid() * left[1] + f_right.sigmoid() * right[1]
        return o.sigmoid() * c.tanh(), c


class TreeEncoder(Body):
    """Leaves at their positions, but at the first one of each sequence its root, which has read all of it."""

    def __init__(self, spec: Tree, *, shares_embeddings: bool = False) -> None:
        super().__init__(spec, shares_embeddings=shares_embeddings, project=False)
        self.leaf = nn.Linear(spec.embedding_width, 3 * spec.width)
        self.blocks = nn.ModuleList([Composer(spec.width)])
        self.dropout = Dropout(spec.dropout)

    def layers(self, x_NE: Tensor, layout: Layout) -> Iterator[Tensor]:
        i, o, u = self.leaf(x_NE).chunk(3, dim=1)
        c_nW = i.sigmoid() * u.tanh()
        leaves_NW = h_nW = o.sigmoid() * c_nW.tanh()
        lengths_S = torch.tensor(layout.lengths, device=x_NE.device)
        first_S = lengths_S.cumsum(0) - lengths_S
        place_n = torch.arange(len(x_NE), device=x_NE.device) - first_S.repeat_interleave(lengths_S)
        length_n = lengths_S.repeat_interleave(lengths_S)
        for _ in range((max(layout.lengths) - 1).bit_length()):
            even_n = (place_n % 2 == 0).nonzero().flatten()
            paired = (place_n[even_n] + 1 < length_n[even_n]).nonzero().flatten()
            left = even_n[paired]
            h, c = self.blocks[0]((h_nW[left], c_nW[left]), (h_nW[left + 1], c_nW[left + 1]))
            h_nW, c_nW = h_nW[even_n].index_copy(0, paired, h), c_nW[even_n].index_copy(0, paired, c)
            place_n, length_n = place_n[even_n] // 2, (length_n[even_n] + 1) // 2
        yield self.dropout(leaves_NW.index_copy(0, first_S, h_nW))
