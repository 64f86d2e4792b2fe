"""Tokens and words by rate.

Legend: L positions of one sequence, W words. Rates count all L tokens, specials included, as BERT's released code does.
"""

from typing import Literal

import numpy as np

from quire.core.example import Bools
from quire.core.random import Rng
from quire.core.spec import Rate
from quire.noise.select.base import Select, tokens_due, word_bounds


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
        where[rng.permutation(candidates)[: tokens_due(self.rate, len(free), self.rounding, rng)]] = True
        return where


class WithReplacement(Select):
    """max(1, round(rate * L)) draws from the free tokens; one drawn twice counts once, so that fewer may be chosen.

    ELECTRA (google-research/electra, pretrain_helpers.mask).
    """

    rate: Rate = 0.15

    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        where = np.zeros(len(free), dtype=bool)
        if len(candidates := np.flatnonzero(free)):
            where[candidates[rng.integers(len(candidates), size=tokens_due(self.rate, len(free), "nearest", rng))]] = (
                True
            )
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
        bounds_W1 = word_bounds(starts)
        sizes_W = np.diff(bounds_W1)
        chosen_W = np.zeros(len(sizes_W), dtype=bool)
        words = rng.permutation(np.flatnonzero(np.logical_and.reduceat(free, bounds_W1[:-1])))
        budget = tokens_due(self.rate, len(free), self.rounding, rng)
        while len(words) and budget:  # take all up to the first that overflows, leave that out, go on
            spent = np.cumsum(sizes_W[words])
            fitting = int(np.searchsorted(spent, budget, side="right"))
            chosen_W[words[:fitting]] = True
            budget -= int(spent[fitting - 1]) if fitting else 0
            words = words[fitting + 1 :]
            words = words[sizes_W[words] <= budget]
        return np.repeat(chosen_W, sizes_W)
