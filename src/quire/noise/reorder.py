"""In which order a text is shown. Legend: L positions of one sequence, S sentences."""

import math
from abc import abstractmethod
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from quire.core.catalogue import Component
from quire.core.example import Ints, Vocab
from quire.core.random import Rng


class Reorder(Component):
    """Gives the order in which tokens are shown."""

    home: ClassVar[str] = "quire.noise.reorder"
    last: ClassVar[bool] = False
    """Whether it moves what is damaged already; else it comes before the damage."""

    @abstractmethod
    def order(self, tokens: Ints, vocab: Vocab, rng: Rng) -> Ints:
        """(tokens [L], vocab, rng) -> [L] which token stands at each place, a permutation."""


class Sentences(Reorder):
    """A `share` of the sentences change places with each other: BART (Lewis et al. 2020, section 2.2; fairseq,
    `--permute-sentences`).

    A sentence ends at a full stop of the vocabulary, `vocab.stops`, and what follows the last one is a sentence too.
    In fairseq the only one is GPT-2's ".", and of several in a row the others begin the next sentence; here there are
    also "!", "?" and the Chinese ones, and several in a row end one sentence.
    """

    share: Annotated[float, Field(ge=0, le=1)] = 1.0

    def order(self, tokens: Ints, vocab: Vocab, rng: Rng) -> Ints:
        stops = np.isin(tokens, list(vocab.stops))
        ends = np.flatnonzero(stops[:-1] & ~stops[1:]) + 1
        sentences = np.split(np.arange(len(tokens)), ends)
        order_S = np.arange(len(sentences))
        moved = rng.permutation(len(sentences))[: math.ceil(self.share * len(sentences))]
        order_S[moved] = rng.permutation(moved)
        return np.concatenate([sentences[s] for s in order_S])


class Rotation(Reorder):
    """With a `chance`, the text begins at a random token, and what stood before it comes behind: BART (section 2.2).

    As in fairseq (`--rotate`) the offset is one of 0..L, of which two leave the text as it is. It is the last thing
    that is done to a text.
    """

    last: ClassVar[bool] = True
    chance: Annotated[float, Field(ge=0, le=1)] = 1.0

    def order(self, tokens: Ints, vocab: Vocab, rng: Rng) -> Ints:
        places = np.arange(len(tokens))
        return np.roll(places, -int(rng.integers(len(tokens) + 1))) if rng.random() < self.chance else places
