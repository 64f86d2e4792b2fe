"""Which tokens to damage.

Legend: L positions of one sequence. `free` [L] are the positions that may be chosen (neither special nor already
asked), `starts` [L] is True where a token begins a word. Rates count all L tokens, specials included, as BERT's
released code does; nothing is ever chosen where `free` is False.
"""

from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np

from quire.core.catalogue import Component
from quire.core.example import Bools
from quire.core.random import Rng
from quire.core.spec import Rate


class Select(Component):
    """Chooses positions: (free, starts, rng) -> where [L]."""

    home: ClassVar[str] = "quire.noise.select"

    @abstractmethod
    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        """The chosen positions, a subset of `free`."""


class Bernoulli(Select):
    """Each free token by its own coin: a variable count, possibly none (transformers' collator)."""

    rate: Rate = 0.15

    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        return free & (rng.random(len(free)) < self.rate)


class Exact(Select):
    """A fixed count without replacement.

    `nearest`: max(1, round(rate * L)), BERT (google-research/bert, create_pretraining_data.py).
    `random`: int(rate * L + U[0, 1)), whose mean is exactly rate * L, RoBERTa (fairseq, mask_tokens_dataset.py).
    """

    rate: Rate = 0.15
    rounding: Literal["nearest", "random"] = "nearest"

    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        where = np.zeros(len(free), dtype=bool)
        candidates = np.flatnonzero(free)
        where[rng.permutation(candidates)[: _budget(self.rate, len(free), self.rounding, rng)]] = True
        return where


class WithReplacement(Select):
    """max(1, round(rate * L)) draws from the free tokens; one drawn twice counts once, so that fewer may be chosen.

    ELECTRA (google-research/electra, pretrain_helpers.mask).
    """

    rate: Rate = 0.15

    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        where = np.zeros(len(free), dtype=bool)
        if len(candidates := np.flatnonzero(free)):
            where[candidates[rng.integers(len(candidates), size=_budget(self.rate, len(free), "nearest", rng))]] = True
        return where


class WholeWord(Select):
    """Words in random order until the budget of tokens is spent; a word that would overflow it is skipped.

    The chosen set is a union of words, and never above the budget: BERT's whole-word option (Devlin et al., release
    of May 2019). In Chinese a word is what the segmenter said when the text was encoded (Cui et al. 2019, BERT-wwm).
    A word with a token that is not free is left alone.
    """

    rate: Rate = 0.15
    rounding: Literal["nearest", "random"] = "nearest"

    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        word_of = np.cumsum(starts)
        sizes = np.bincount(word_of)
        whole = np.bincount(word_of, weights=free) == sizes  # a word id that no token has is empty, not a word
        budget = _budget(self.rate, len(free), self.rounding, rng)
        chosen = []
        for word in rng.permutation(np.flatnonzero(whole & (sizes > 0))):
            if sizes[word] <= budget:
                chosen.append(word)
                budget -= sizes[word]
            if budget == 0:
                break
        return np.isin(word_of, chosen)


def _budget(rate: float, length: int, rounding: str, rng: Rng) -> int:
    return int(rate * length + rng.random()) if rounding == "random" else max(1, round(rate * length))
