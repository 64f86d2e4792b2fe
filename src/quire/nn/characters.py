"""Token vectors from the characters of tokens (Kim et al. 2016; Peters et al. 2018, section 3.4; survey: ELMo).

u_k = max over t of relu(W_k [x_t; ...; x_{t+k-1}] + b_k)    for each span k of characters x, joined to u
u   = g relu(A u + a) + (1 - g) u,  g = sigmoid(G u + b)     a highway, twice (Srivastava et al. 2015)
e   = P u + p

The same token has the same vector wherever it stands, so that each is computed once a batch. Windows begin within the
word and read zeros behind its end; ELMo's also begin in the padding up to 50 characters.

Legend: V vocabulary, C characters of a spelling, U different tokens, K characters of the longest of them, F filters,
E width of the embeddings.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.bodies import ALPHABET, Characters
from quire.core.spec import Backbone
from quire.nn.tables import new_table

SPELLINGS = "backbone.embeddings.tokens.spellings"
"""The one tensor of a model that holds whole numbers: how each token of the vocabulary is spelled."""
CARRY = -2.0
"""The bias of a highway's gate: at first it passes on what it is given (bilm-tf)."""


class Highway(nn.Module):
    """A part of what is given is passed on as it is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate, self.change = nn.Linear(width, width), nn.Linear(width, width)

    def begin(self) -> None:
        """Let most of it pass."""
        self.gate.bias.fill_(CARRY)

    def forward(self, u_UF: Tensor) -> Tensor:
        """[U, F] -> [U, F]"""
        g_UF = self.gate(u_UF).sigmoid()
        passed_UF: Tensor = g_UF * self.change(u_UF).relu() + (1 - g_UF) * u_UF
        return passed_UF


class CharacterTable(nn.Module):
    """Called like a table of tokens. `spellings` [V, C] are ids of characters, 0 behind the end of a token."""

    spellings: Tensor

    def __init__(self, spec: Backbone, plan: Characters) -> None:
        super().__init__()
        self.register_buffer("spellings", torch.zeros(spec.vocab, plan.longest, dtype=torch.int64))
        self.letters = new_table(ALPHABET, plan.width, padding=0)
        self.filters = nn.ModuleList(nn.Conv1d(plan.width, count, span) for span, count in plan.filters)
        self.reaches = [span - 1 for span, _ in plan.filters]
        size = sum(count for _, count in plan.filters)
        self.highways = nn.Sequential(*(Highway(size) for _ in range(plan.highways)))
        self.project = nn.Linear(size, spec.embedding_width)

    def begin(self) -> None:
        """Zeros behind a word, and no spelling known yet."""
        self.letters.weight[0] = 0.0
        self.spellings.zero_()

    @property
    def weight(self) -> Tensor:
        """The vectors [V, E] of the whole vocabulary, for whoever is tied to the table."""
        return self.spelled(self.spellings)

    def forward(self, tokens_N: Tensor) -> Tensor:
        """[N] -> [N, E]"""
        tokens_U, place_N = torch.unique(tokens_N, return_inverse=True)
        return F.embedding(place_N, self.spelled(self.spellings[tokens_U]))

    def spelled(self, spellings_UC: Tensor) -> Tensor:
        """Spellings [U, C] -> their vectors [U, E]."""
        lengths_U = (spellings_UC > 0).sum(dim=1)
        longest = max(int(lengths_U.max()), 1)
        x_UKC = self.letters(spellings_UC[:, :longest])
        begun_U1K = (torch.arange(longest, device=x_UKC.device) < lengths_U[:, None])[:, None]
        found = []
        for convolve, reach in zip(self.filters, self.reaches, strict=True):
            said_UFK = convolve(F.pad(x_UKC.transpose(1, 2), (0, reach))).relu()
            found.append((said_UFK * begun_U1K).amax(dim=2))  # nothing is below the 0 of what has not begun
        vectors_UE: Tensor = self.project(self.highways(torch.cat(found, dim=1)))
        return vectors_UE
