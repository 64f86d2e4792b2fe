"""A task's own LSTM over shared states: Model-III (Liu et al. 2016, section 4.3; survey: 基于多任务的通用表示学习).

At a position with the embedded token x and the shared body's state s, task m has h and c from the position before:

    f, i, o = sigmoid(W x + U h + b)
    g_own   = sigmoid(W_a x + U_a h + b_a)        what it keeps of itself
    g_read  = sigmoid(W_r x + V_r s + b_r)        what it takes of what is shared
    c~      = tanh(W_c x + g_own * U_c h + g_read * V_c s + b_c)
    c       = f * c + i * c~,   h = o * tanh(c),   y = softmax(out(dropout(h of the last position)))

The paper's equations were not at hand [unverified]. Theirs is that the own and the shared path have a gate each and
that the last state is classified; ours, that gates are vectors, that s enters the candidate alone, and that forget
gates begin open, as in `quire.nn.lstm`.

Legend: P positions of the sequences that are asked about, K sequences, E width of the embeddings, W of the body, H of
this LSTM, R sequences that go on.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from quire.core.spec import Backbone
from quire.nn.dropout import Dropout
from quire.nn.lstm import Course


class PrivateScores(nn.Module):
    """Scores [K, C] of whole sequences."""

    def __init__(self, spec: Backbone, *, outputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.word = nn.Linear(spec.embedding_width, 6 * width)  # f, i, o, own, candidate, read
        self.own = nn.Linear(width, 5 * width, bias=False)  # f, i, o, own, candidate
        self.shared = nn.Linear(spec.width, 2 * width, bias=False)  # candidate, read
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(width, outputs)

    def begin(self) -> None:
        """Open the forget gate."""
        self.word.bias[: self.width] = 1.0

    def forward(self, x_PE: Tensor, s_PW: Tensor, lengths_K: Tensor) -> Tensor:
        """Embedded tokens, states of the shared body, and how many positions each sequence has."""
        width = self.width
        gates_P4H, new_PH, asks_PH = self.word(x_PE).split([4 * width, width, width], dim=1)
        shared_PH, heard_PH = self.shared(s_PW).split(width, dim=1)
        new_PH = new_PH + torch.sigmoid(asks_PH + heard_PH) * shared_PH
        last_KH = self._last(gates_P4H, new_PH, lengths_K.tolist()) if len(lengths_K) else new_PH
        scores: Tensor = self.out(self.dropout(last_KH))
        return scores

    def _last(self, gates_P4H: Tensor, new_PH: Tensor, lengths_K: Sequence[int]) -> Tensor:
        """h [K, H] of the last position of each sequence; all go on together, the longest first."""
        course, width = Course.of(lengths_K, new_PH.device), self.width
        h_RH = c_RH = new_PH.new_zeros(len(lengths_K), width)
        ended: list[Tensor] = []
        by_time = (torch.split(x[course.orders[0]], course.sizes_T.tolist()) for x in (gates_P4H, new_PH))
        for gates_R4H, new_RH in zip(*by_time, strict=True):
            if over := len(h_RH) - len(new_RH):
                h_RH, done_RH = torch.split(h_RH, [len(new_RH), over])
                c_RH = c_RH[: len(new_RH)]
                ended.append(done_RH)
            own_gates_R4H, own_RH = self.own(h_RH).split([4 * width, width], dim=1)
            f, i, o, g = torch.sigmoid(gates_R4H + own_gates_R4H).chunk(4, dim=1)
            c_RH = f * c_RH + i * torch.tanh(torch.addcmul(new_RH, g, own_RH))
            h_RH = o * torch.tanh(c_RH)
        last_KH = torch.cat([h_RH, *reversed(ended)])
        return last_KH[course.longest_first_S.argsort()]
