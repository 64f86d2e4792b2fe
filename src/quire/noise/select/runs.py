"""Runs of neighbouring tokens or words.

Legend: L positions of one sequence, W words, C candidates. Rates count all L tokens, specials included, as BERT's
released code does, unless a class says otherwise.
"""

import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, NonNegativeFloat, model_validator

from quire.core.example import Bools
from quire.core.random import Rng
from quire.core.spec import Rate, Size
from quire.noise.select.base import Select, drawn_lengths, run_ends, tokens_due, word_bounds


class Ngrams(Select):
    """Runs of whole words in random order until the budget of tokens is spent: ALBERT, UniLM.

    `shares[n - 1]` is how often a run has n words. The default is ALBERT's 1/n for n in 1..3 (Lan et al. 2019, section
    4.1; google-research/albert, create_pretraining_data.py): a run that would overflow the budget is made shorter, or
    skipped when one word is too long, and one that meets a chosen word is skipped. There a run may lead over the
    [SEP] between two segments, here its words stand side by side. UniLM (Dong et al. 2019, section 2.3) takes one
    token in 80 % of the cases, else two or three: `{shares: [0.8, 0.1, 0.1], of: tokens}`.
    """

    rate: Rate = 0.15
    shares: Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)] = (6.0, 3.0, 2.0)
    rounding: Literal["nearest", "random"] = "nearest"
    of: Literal["words", "tokens"] = "words"

    @model_validator(mode="after")
    def _some_share(self) -> Self:
        if not sum(self.shares):
            raise ValueError("shares: all are 0, so that no length is left to draw")
        return self

    @property
    def longest_run(self) -> int:
        return len(self.shares)

    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        whole = self.of == "words"
        bounds_W1 = word_bounds(starts) if whole else np.arange(len(free) + 1)
        whole_W = np.logical_and.reduceat(free, bounds_W1[:-1]) if whole else free
        words, ends_W = rng.permutation(np.flatnonzero(whole_W)), run_ends(whole_W)
        budget = tokens_due(self.rate, len(free), self.rounding, rng)
        taken, marks = bytearray(len(whole_W)), [b"\1" * n for n in range(len(self.shares) + 1)]
        while budget and len(words):
            few = 8 + budget * 2 // 3  # so many come to their turn
            first_C, words = words[:few], words[few:]
            last_C = np.minimum(first_C + drawn_lengths(self.shares, len(first_C), rng), ends_W[first_C])
            size_C = bounds_W1[last_C] - bounds_W1[first_C]
            for first, last, size in zip(first_C.tolist(), last_C.tolist(), size_C.tolist(), strict=True):
                while size > budget:
                    last -= 1
                    size = int(bounds_W1[last] - bounds_W1[first])
                if size and taken.find(1, first, last) < 0:
                    taken[first:last] = marks[last - first]
                    if (budget := budget - size) == 0:
                        break
        chosen_W = np.frombuffer(taken, dtype=bool)
        return np.repeat(chosen_W, np.diff(bounds_W1)) if whole else chosen_W.copy()


class Spans(Select):
    """Spans whose length in words is geometric, until exactly ceil(rate * n) of the n free tokens are chosen: SpanBERT.

    P(k) ~ (1 - p)^(k - 1) for k in 1..longest: the tail is discarded, not clipped. A span begins at the word in which
    a uniformly drawn token lies; a token that is already chosen is drawn again. Spans may overlap and touch, and the
    last one is cut where the budget ends, also within a word (Joshi et al. 2020, section 3.1; facebookresearch/
    SpanBERT, masking.py). The rate counts no specials.
    """

    rate: Rate = 0.15
    p: Annotated[float, Field(gt=0, lt=1)] = 0.2
    longest: Size = 10

    @property
    def longest_run(self) -> int:
        return self.longest

    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        places = np.flatnonzero(free)
        taken, budget = bytearray(len(free)), math.ceil(self.rate * len(places))
        begins = starts.copy()
        begins[1:] |= free[1:] != free[:-1]  # what is not free ends a word
        bounds_W1 = word_bounds(begins)
        ends_W = run_ends(free[bounds_W1[:-1]])
        shares = tuple((1 - self.p) ** k for k in range(self.longest))
        while budget:
            at_C = places[(rng.random(8 + budget // 2) * len(places)).astype(np.int64)]  # half the time of integers()
            word_C = bounds_W1.searchsorted(at_C, side="right") - 1
            end_C = bounds_W1[np.minimum(word_C + drawn_lengths(shares, len(at_C), rng), ends_W[word_C])]
            for at, begin, end in zip(at_C.tolist(), bounds_W1[word_C].tolist(), end_C.tolist(), strict=True):
                if taken[at]:
                    continue
                while (fresh := end - begin - taken.count(1, begin, end)) > budget:
                    end -= 1
                taken[begin:end] = b"\1" * (end - begin)
                if (budget := budget - fresh) == 0:
                    break
        return np.frombuffer(taken, dtype=bool).copy()


class Trigrams(Select):
    """Runs of `length` free tokens that do not meet: what StructBERT shuffles (Wang et al. 2020, section 2.2).

    There is no official code, and "5 % of trigrams" may count trigrams or tokens. Here `rate` is the share of the
    places where a run of free tokens can begin, the literal reading: up to 15 % of the tokens. A third of the rate
    gives the other. Runs are taken in random order, and one that meets an earlier one is left out.
    """

    rate: Rate = 0.05
    length: Size = 3

    @property
    def longest_run(self) -> int:
        return self.length

    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        length, places = self.length, max(len(free) - self.length + 1, 0)
        whole = np.ones(places, dtype=bool)
        for k in range(length):
            whole &= free[k : k + places]
        first_C = np.flatnonzero(whole)
        left = max(1, round(self.rate * len(first_C)))
        taken, run = bytearray(len(free)), b"\1" * length
        for first in rng.permutation(first_C).tolist():
            if taken.find(1, first, first + length) < 0:
                taken[first : first + length] = run
                if (left := left - 1) == 0:
                    break
        return np.frombuffer(taken, dtype=bool).copy()
