"""A task's own LSTM over shared states: Model-III (Liu et al. 2016, section 4.3; survey: 基于多任务的通用表示学习).

At a position with the embedded token x and the shared body's state s, task m has h and c from the position before:

    i, f, o = sigmoid(W x + U h + b), f with a bias of 1 more
    g_own   = sigmoid(W_a x + U_a h + b_a)        what it keeps of itself
    g_read  = sigmoid(W_r x + V_r s + b_r)        what it takes of what is shared
    c~      = tanh(W_c x + g_own * U_c h + g_read * V_c s + b_c)
    c       = f * c + i * c~,   h = o * tanh(c),   y = softmax(out(dropout(h of the last position)))

The paper's equations were not at hand [unverified]. Theirs is that the own and the shared path have a gate each and
that the last state is classified; ours, that gates are vectors, that s enters the candidate alone, and the bias of 1.

Legend: P positions of the sequences that are asked about, K sequences, E width of the embeddings, W of the body, H of
this LSTM, R sequences that go on.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.spec import Backbone

FORGET = 1.0
"""Added to the forget gate, so that a fresh LSTM remembers (Jozefowicz et al. 2015)."""


class PrivateScores(nn.Module):
    """Scores [K, C] of whole sequences."""

    def __init__(self, spec: Backbone, *, outputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.word = nn.Linear(spec.embedding_width, 6 * width)  # f, i, o, own, candidate, read
        self.own = nn.Linear(width, 5 * width, bias=False)  # f, i, o, own, candidate
        self.shared = nn.Linear(spec.width, 2 * width, bias=False)  # candidate, read
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, outputs)

    def forward(self, x_PE: Tensor, s_PW: Tensor, lengths_K: Tensor) -> Tensor:
        """Embedded tokens, states of the shared body, and how many positions each sequence has."""
        given_P5H, read_PH = self.word(x_PE).split([5 * self.width, self.width], dim=1)
        of_shared_PH, read_shared_PH = self.shared(s_PW).chunk(2, dim=1)
        taken_PH = torch.sigmoid(read_PH + read_shared_PH) * of_shared_PH
        given_P5H = given_P5H + F.pad(taken_PH, (4 * self.width, 0))
        given_P5H = given_P5H + FORGET * (torch.arange(5 * self.width, device=x_PE.device) < self.width)
        scores: Tensor = self.out(self.dropout(self._last(given_P5H, lengths_K)))
        return scores

    def _last(self, given_P5H: Tensor, lengths_K: Tensor) -> Tensor:
        """h [K, H] of the last position of each sequence; all go on together, the longest first."""
        longest_K = lengths_K.argsort(descending=True, stable=True)
        h_RH = c_RH = given_P5H.new_zeros(len(lengths_K), self.width)
        ended: list[Tensor] = []
        for now_R5H in _by_time(given_P5H, lengths_K, longest_K):
            going = len(now_R5H)
            ended.append(h_RH[going:])
            h_RH, c_RH = h_RH[:going], c_RH[:going]
            own_R5H = self.own(h_RH)
            gates, own_gates = now_R5H[:, : 4 * self.width], own_R5H[:, : 4 * self.width]
            f, i, o, g = torch.sigmoid(gates + own_gates).chunk(4, dim=1)
            new_RH = torch.tanh(now_R5H[:, 4 * self.width :] + g * own_R5H[:, 4 * self.width :])
            c_RH = f * c_RH + i * new_RH
            h_RH = o * torch.tanh(c_RH)
        last_KH = torch.cat([h_RH, *reversed(ended)])
        return last_KH[longest_K.argsort()]


def _by_time(x_PH: Tensor, lengths_K: Tensor, longest_K: Tensor) -> tuple[Tensor, ...]:
    """For every place the rows [R, H] of the sequences that have it, the longest sequence first."""
    begin_K = lengths_K.cumsum(0) - lengths_K
    places = torch.arange(int(lengths_K.max()) if len(lengths_K) else 0, device=x_PH.device)
    has_LK = places[:, None] < lengths_K[longest_K]
    rows_P = (begin_K[longest_K] + places[:, None])[has_LK]
    return torch.split(x_PH[rows_P], has_LK.sum(dim=1).tolist())
