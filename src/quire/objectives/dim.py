"""A sentence and an n-gram hidden in it find each other: InfoWord (Kong et al. 2020, section 4; survey: DIM).

L = - mean over i of log exp(g(s_i) . g(x_i)) / sum over j of exp(g(s_i) . g(x_j))

s_i is a sentence with its n-gram x_i masked, g the backbone's state at the first position (or the vector that its kind
has for a sequence), j runs over the n-grams of the batch that are i's own or differ from it. The survey's summary table
leaves out exp and sign; its page on InfoWord is right.

Legend: N positions of all sequences, M hidden ones, K sentences with an n-gram, W width.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Batch, Example, World
from quire.core.heads import HeadSpec, VectorHead
from quire.core.random import Rng
from quire.core.spec import Backbone, Size
from quire.nn.losses import cross_entropy, info_nce, match_health
from quire.nn.model import Packed, Step
from quire.objectives.base import Objective

SPECIALS = 2
"""The first and the last token of a sentence, and of its n-gram."""


class Dim(Objective):
    """Hides one n-gram of each sentence, a mask for each token, and asks which n-gram of the batch it was.

    InfoWord adds `mlm`, with the weights lambda of its sum; listed after this one, it asks for other tokens. There is
    no official code. That negatives are the batch's other n-grams and that lengths are drawn evenly is ours. Equal
    n-grams of other sentences are no negatives. With `accumulate` only those of the micro-batch are.
    """

    shortest: Size = 1
    longest: Size = 5
    """Tokens of an n-gram; a text without room for them has a shorter one."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.shortest > self.longest:
            raise ValueError(f"shortest {self.shortest} is above longest {self.longest}")
        return self

    @property
    def vector(self) -> str:
        """The head, without weights, that takes the vector of a sequence."""
        return f"{self.slot}_vector"

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        if self.longest + SPECIALS > world.length:
            raise BadInput(
                f"an n-gram of {self.longest} tokens and {SPECIALS} special ones are more than data.length "
                f"{world.length}; lower `longest`"
            )
        return {self.vector: VectorHead(dense=False, pool=backbone.pool)}

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        before = np.concatenate([[0], np.cumsum(example.free)])  # free tokens before each place
        for size in range(int(rng.integers(self.shortest, self.longest, endpoint=True)), 0, -1):
            begins = np.flatnonzero(before[size:] - before[:-size] == size)
            if len(begins):
                begin = begins[rng.integers(len(begins))]
                where = np.zeros(len(example), dtype=bool)
                where[begin : begin + size] = True
                return example.ask(self.slot, where, np.full(len(example), world.vocab.masking()))
        return example

    def loss(self, step: Step) -> Tensor:
        if not len(at_M := step.asked(self.slot)):
            return cross_entropy(step.states(at_M), at_M)
        sentences_KW, ngrams_KW, equal_KK = self.views(step)
        return info_nce(sentences_KW, ngrams_KW, left_out_KK=equal_KK)

    def health(self, step: Step) -> Mapping[str, float]:
        """`accuracy`: how often the hidden n-gram is found; `cosine` of two sentences, 1 for a constant encoder."""
        if not len(step.asked(self.slot)):
            return {}
        sentences_KW, ngrams_KW, equal_KK = self.views(step)
        return match_health(sentences_KW, ngrams_KW, left_out_KK=equal_KK)

    def views(self, step: Step) -> tuple[Tensor, Tensor, Tensor]:
        """Sentences [K, W], their n-grams [K, W], and which pairs [K, K] are another sentence's equal n-gram."""
        batch, device = step.batch, step.batch.first.device
        of_M = torch.searchsorted(batch.first, step.asked(self.slot), right=True) - 1
        here_K, counts_K = np.unique(of_M.cpu().numpy(), return_counts=True)
        at_K = torch.from_numpy(here_K).to(device)
        first_K = batch.first[at_K]
        ends_K2 = batch.tokens[torch.stack([first_K, first_K + batch.lengths[at_K] - 1], dim=1)].tolist()
        pieces = np.split(step.answers(self.slot).cpu().numpy(), np.cumsum(counts_K)[:-1])
        texts = [(cls, *piece.tolist(), sep) for (cls, sep), piece in zip(ends_K2, pieces, strict=True)]
        ngrams = Batch.pack([_alone(text) for text in texts])
        back_K = torch.from_numpy(np.argsort(ngrams.order)).to(device)
        other = step.view(Packed(ngrams, device))
        names: dict[tuple[int, ...], int] = {}
        name_K = torch.tensor([names.setdefault(text, len(names)) for text in texts], device=device)
        equal_KK = (name_K[:, None] == name_K).fill_diagonal_(False)
        ngrams_KW = other.scores(self.vector, other.batch.first)[back_K]
        return step.scores(self.vector, first_K), ngrams_KW, equal_KK


def _alone(text: tuple[int, ...]) -> Example:
    """A sequence of its own, with positions from 0, between the sentence's own [CLS] and [SEP]."""
    tokens, true = np.array(text), np.ones(len(text), dtype=bool)
    return Example(tokens, tokens, true, ~true, np.zeros(len(text), dtype=np.int64))
