"""What to show in place of the chosen tokens. Legend: L positions of one sequence."""

from abc import abstractmethod
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from quire.core.catalogue import Component
from quire.core.example import Bools, Ints, Vocab
from quire.core.random import Rng


class Rewrite(Component):
    """Rewrites in place: (tokens [L], where [L], vocab, rng) -> tokens [L]; the rest stays as it is."""

    home: ClassVar[str] = "quire.noise.rewrite"

    @abstractmethod
    def apply(self, tokens: Ints, where: Bools, vocab: Vocab, rng: Rng) -> Ints:
        """A new array; positions outside `where` are equal to `tokens`."""


class Mask(Rewrite):
    """[MASK] with probability `mask`, a random token with `random`, else kept; drawn for each token by itself.

    BERT's 80/10/10 (Devlin et al. 2019, section 3.1). `random_from: all` draws from the whole vocabulary, specials
    included, as BERT's release does; `ordinary` leaves the special tokens out, as fairseq's RoBERTa does.
    """

    mask: float = 0.8
    random: float = 0.1
    random_from: Literal["all", "ordinary"] = "all"

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if not (self.mask >= 0 and self.random >= 0 and self.mask + self.random <= 1 + 1e-9):
            raise ValueError(f"mask {self.mask} and random {self.random} must be shares of at most 1 together")
        return self

    def apply(self, tokens: Ints, where: Bools, vocab: Vocab, rng: Rng) -> Ints:
        chosen = np.flatnonzero(where)
        coin = rng.random(len(chosen))
        draw = rng.integers(vocab.size if self.random_from == "all" else len(vocab.ordinary), size=len(chosen))
        substitute = draw if self.random_from == "all" else vocab.ordinary[draw]
        shown = tokens.copy()
        masked, replaced = coin < self.mask, (coin >= self.mask) & (coin < self.mask + self.random)
        shown[chosen[masked]] = vocab.mask
        shown[chosen[replaced]] = substitute[replaced]
        return shown
