"""Word vectors from neighbours, with noise to tell them from: word2vec (Mikolov et al. 2013a, 2013b; survey: 词嵌入).

Skip-gram, `predict: context`:

    L = - mean over t of sum over j of [ log s(u_{t+j} . v_t) + sum over k noise words n of log s(- u_n . v_t) ]

CBOW, `predict: centre`, with h_t the mean of v_{t+j} over j:

    L = - mean over t of [ log s(u_t . h_t) + sum over k noise words n of log s(- u_n . h_t) ]

v are the states, u the vectors of the head, s is the logistic function, and j runs over 1 to r_t places on either side.
So that nearly all of it is products of matrices, sequences are cut into blocks: each position brings one noise word,
which all positions of its block share with k / (noise words of the block) as their weight. The expectation is
that of k words for each pair (Ji et al. 2016, section 3.1, share them likewise).

Legend: N positions of all sequences, B blocks, L positions of a block, X those of a block and its margins, W width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Bools, Example, Ints, Vocab, World
from quire.core.heads import ContextHead, HeadSpec
from quire.core.random import Rng
from quire.core.spec import Backbone, Size
from quire.nn.model import Step
from quire.objectives.base import Objective

BLOCK = 16
"""Positions of a block: wide enough for quick products, and few enough that noise is varied."""


class Neighbours(Objective):
    """A word's neighbours from the word, or the word from its neighbours, beside `negatives` noise words.

    Before windows are laid, unknown words and a share of the frequent ones are left out of the text. Two things of
    word2vec.c are not done: a noise word that is the asked one is not drawn anew, and skip-gram there asks for the
    centre from each neighbour, which over a text is the same pairs.
    """

    predict: Literal["context", "centre"] = "context"
    window: Size = 5
    """Places on either side at most: r_t is drawn evenly from 1 to this (2013a, section 3.2)."""
    negatives: Size = 5
    subsample: Annotated[float, Field(gt=0)] | None = None
    """t: a word of share f stays with sqrt(t / f) + t / f (word2vec.c; 2013b, section 2.3, has sqrt(t / f))."""

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        return {self.slot: ContextHead()}

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        if example.answers:
            raise BadInput(f"objectives: {self.slot} leaves out words that others ask for; take it alone")
        thin = example.thinned(~example.free | self.stays(example.tokens, world.vocab, rng))
        asked = thin.free
        reach = rng.integers(1, self.window, size=int(asked.sum()), endpoint=True)
        thin = thin.ask(self.slot, asked, thin.tokens).label(self.reach, reach, at=asked)
        return thin.label(self.noise, noise_words(len(reach), world.vocab, rng), at=asked)

    def stays(self, tokens: Ints, vocab: Vocab, rng: Rng) -> Bools:
        """Which words [L] of a text are not left out."""
        known: Bools = tokens != vocab.unk
        if self.subsample is None:
            return known
        rarity = self.subsample / np.maximum(vocab.shares[tokens], 1e-300)
        known &= rng.random(len(tokens)) < np.sqrt(rarity) + rarity
        return known

    @property
    def reach(self) -> str:
        """The slot of r_t."""
        return f"{self.slot}_reach"

    @property
    def noise(self) -> str:
        """The slot of the noise words."""
        return f"{self.slot}_noise"

    def loss(self, step: Step) -> Tensor:
        asked_M = step.asked(self.slot)
        if not len(asked_M):
            return step.states(asked_M).sum()
        blocks = Blocks.of(step.batch.first, step.batch.lengths, margin=self.window)
        reach_BX = blocks.laid(spread(step, self.reach))  # 0 where nothing is asked
        near_BLX = blocks.near(reach_BX).float()
        scores, real, pairs_BL1 = (self._told if self.predict == "context" else self._guessed)(step, blocks, near_BLX)
        drawn_BL = blocks.own(reach_BX) > 0
        share_BL = drawn_BL * (self.negatives / drawn_BL.sum(1, keepdim=True).clamp(min=1))
        weight = torch.cat([real, pairs_BL1 * share_BL[:, None]], dim=2)
        truth = F.pad(torch.ones_like(real), (0, BLOCK))
        return F.binary_cross_entropy_with_logits(scores, truth, weight, reduction="sum") / len(asked_M)

    def _told(self, step: Step, blocks: "Blocks", near_BLX: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Skip-gram: the scores of neighbours and of noise [B, L, X + L], which are neighbours, and how many."""
        seen = torch.cat([step.batch.tokens[blocks.at_BX], blocks.own(blocks.laid(spread(step, self.noise)))], dim=1)
        word_BLW = F.embedding(blocks.own(blocks.at_BX), step.encode())
        return word_BLW @ step.model.heads[self.slot](seen).mT, near_BLX, near_BLX.sum(2, keepdim=True)

    def _guessed(self, step: Step, blocks: "Blocks", near_BLX: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """CBOW: the scores of the word and of noise [B, L, 1 + L] beside the mean of its neighbours, if it has any."""
        own_BL = step.batch.tokens[blocks.own(blocks.at_BX)]
        seen = torch.cat([own_BL, blocks.own(blocks.laid(spread(step, self.noise)))], dim=1)
        word_BLW, noise_BLW = step.model.heads[self.slot](seen).chunk(2, dim=1)
        count_BL1 = near_BLX.sum(2, keepdim=True)
        mean_BLW = (near_BLX / count_BL1.clamp(min=1)) @ F.embedding(blocks.at_BX, step.encode())
        scores = torch.cat([(mean_BLW * word_BLW).sum(2, keepdim=True), mean_BLW @ noise_BLW.mT], dim=2)
        return scores, count_BL1.clamp(max=1), count_BL1.clamp(max=1)


def noise_words(n: int, vocab: Vocab, rng: Rng) -> Ints:
    """Words [n] drawn in proportion to their counts to the power of 3/4."""
    return vocab.noise_below.searchsorted(rng.random(n), side="right").astype(np.int64, copy=False)


def spread(step: Step, slot: str) -> Tensor:
    """The answers of a slot at their positions [N], and 0 at all others."""
    nothing_N = torch.zeros_like(step.batch.tokens)
    return nothing_N.index_copy(0, step.asked(slot), step.answers(slot))


@dataclass(frozen=True, eq=False)
class Blocks:
    """Sequences cut into blocks with margins on either side."""

    at_BX: Tensor
    """Positions, held at the ends of the block's sequence."""
    inside_BX: Tensor
    """Which of them are of that sequence."""
    margin: int

    @classmethod
    def of(cls, first_S: Tensor, lengths_S: Tensor, *, margin: int) -> "Blocks":
        """The blocks of sequences that begin at `first_S` and have these lengths."""
        counts_S = (lengths_S + BLOCK - 1) // BLOCK
        sequence_B = torch.arange(len(first_S), device=first_S.device).repeat_interleave(counts_S)
        number_B = torch.arange(len(sequence_B), device=first_S.device) - (counts_S.cumsum(0) - counts_S)[sequence_B]
        first_B1 = first_S[sequence_B, None]
        last_B1 = first_B1 + lengths_S[sequence_B, None] - 1
        at_BX = first_B1 + number_B[:, None] * BLOCK + torch.arange(-margin, BLOCK + margin, device=first_S.device)
        held_BX = at_BX.maximum(first_B1).minimum(last_B1)
        return cls(held_BX, held_BX == at_BX, margin)

    def laid(self, values_N: Tensor) -> Tensor:
        """Values [B, X], 0 beyond the ends of the sequence."""
        return values_N[self.at_BX] * self.inside_BX

    def own(self, values_BX: Tensor) -> Tensor:
        """Those of the blocks without their margins [B, L]."""
        return values_BX[:, self.margin : self.margin + BLOCK]

    def near(self, reach_BX: Tensor) -> Tensor:
        """[B, L, X]: the second is asked about too, another place, and within the reach of the first."""
        place_X = torch.arange(-self.margin, BLOCK + self.margin, device=reach_BX.device)
        distance_LX = (place_X - self.own(place_X[None]).mT).abs()
        within_BLX = distance_LX <= self.own(reach_BX)[:, :, None]
        return within_BLX & (distance_LX > 0) & (reach_BX > 0)[:, None]
