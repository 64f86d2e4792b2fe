"""What is damaged for a decoder to write: T5's, BART's and MASS's choices.

Legend: L positions of one sequence, n of them free, W words, K spans. Rates count free tokens or words alone.
"""

import math
from functools import cache
from typing import Annotated

import numpy as np
from pydantic import Field

from quire.core.example import Bools, Ints
from quire.core.random import Rng
from quire.core.spec import Rate
from quire.noise.select.base import Select, drawn_lengths, run_ends, word_bounds
from quire.noise.spans import covered


class Everything(Select):
    """All free tokens: T5's deshuffling (Raffel et al. 2020, section 3.3.1)."""

    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        return free.copy()


class Suffix(Select):
    """All but the first k free tokens, k uniform in 1..n - 1: T5's prefix language modelling (section 3.3.1).

    Nothing of a text of one token.
    """

    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        where, places = free.copy(), np.flatnonzero(free)
        visible = int(rng.integers(1, len(places))) if len(places) > 1 else 1
        where[places[:visible]] = False
        return where


class RandomSpans(Select):
    """T5's spans: n alone decides how many they are and how long together (section 3.3.4; `random_spans_noise_mask`).

    noise = clamp(round(rate * n), 1, n - 1) tokens in max(1, round(noise / mean)) spans. Chosen and visible tokens are
    each parted into as many pieces, none of them empty, all ways alike; a visible piece comes first, a span last, so
    that the first token is never chosen and the last one always. Nothing is chosen of a text of one token.
    """

    rate: Rate = 0.15
    mean: Annotated[float, Field(ge=1)] = 3.0

    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        where, places = np.zeros_like(free), np.flatnonzero(free)
        if (n := len(places)) > 1:
            noise = min(max(round(self.rate * n), 1), n - 1)
            number = min(max(round(noise / self.mean), 1), noise, n - noise)
            pieces = np.stack([_parted(n - noise, number, rng), _parted(noise, number, rng)], axis=1)
            where[places[np.repeat(np.tile([False, True], number), pieces.ravel())]] = True
        return where


class Poisson(Select):
    """Spans of whole words whose lengths are Poisson(`mean`), until ceil(rate * W) words are due: BART's text infilling
    (Lewis et al. 2020, section 2.2; fairseq, denoising_dataset.py).

    A length of 0 is an empty span between any two tokens that are left. The others begin at different words, drawn
    uniformly; the last one is cut to the budget. One that reaches into the next becomes one with it, so that less may
    be chosen than is due; two that only touch stay two. Lengths whose chance is below 1e-7 do not occur.
    """

    rate: Rate = 0.3
    mean: Annotated[float, Field(ge=0.1, le=64)] = 3.0

    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        return covered(self.spans(free, starts, rng), len(free))

    def spans(self, free: Bools, starts: Bools, rng: Rng) -> Ints:
        begins = starts.copy()
        begins[1:] |= free[1:] != free[:-1]  # what is not free ends a word
        bounds_W1 = word_bounds(begins)
        free_W = free[bounds_W1[:-1]]
        words = np.flatnonzero(free_W)
        sizes_K = self._sizes(math.ceil(self.rate * len(words)), rng)
        first_K = rng.permutation(words)[: len(sizes_K)]
        last_K = np.minimum(first_K + sizes_K, run_ends(free_W)[first_K])
        found: Ints = bounds_W1[_merged(first_K, last_K)]
        # So many zeros come before K other lengths are drawn.
        empty = int(rng.negative_binomial(len(sizes_K), 1 - math.exp(-self.mean))) if len(sizes_K) else 0
        return _with_empty(found, empty, len(free), rng) if empty else found

    def _sizes(self, budget: int, rng: Rng) -> Ints:
        """[K] lengths of 1 or more words that add up to the budget."""
        upto = np.minimum(drawn_lengths(_chances(self.mean), budget, rng).cumsum(), budget)
        sizes: Ints = np.diff(upto, prepend=0)
        return sizes[sizes > 0]


class Fragment(Select):
    """One run of max(1, round(rate * n)) free tokens: MASS (Song et al. 2019, section 3.2; microsoft/MASS, unsupNMT).

    It stands at the beginning of the text with the chance `ends`, at its end with the same, else anywhere. MASS counts
    the last special token as one of the text.
    """

    rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    ends: Annotated[float, Field(ge=0, le=0.5)] = 0.2

    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        where, places = np.zeros_like(free), np.flatnonzero(free)
        if n := len(places):
            size = max(1, round(self.rate * n))
            coin, begin = rng.random(), int(rng.integers(n - size + 1))
            if coin < 2 * self.ends:
                begin = 0 if coin < self.ends else n - size
            where[places[begin : begin + size]] = True
        return where


def _parted(total: int, number: int, rng: Rng) -> Ints:
    """[number] sizes of 1 or more that add up to `total`, every way alike."""
    cuts = np.sort(rng.permutation(total - 1)[: number - 1]) + 1
    return np.diff(cuts, prepend=0, append=total)


@cache
def _chances(mean: float) -> tuple[float, ...]:
    """Of the lengths 1, 2, ..., in proportion."""
    chances, size = [mean * math.exp(-mean)], 1
    while chances[-1] >= 1e-7 or size < mean:
        size += 1
        chances.append(chances[-1] * mean / size)
    return tuple(chances)


def _merged(first_K: Ints, last_K: Ints) -> Ints:
    """[k, 2] the spans from `first` to `last`, ascending, those that overlap as one."""
    order = first_K.argsort()
    first_K, reach_K = first_K[order], np.maximum.accumulate(last_K[order])
    opens_K = np.ones(len(first_K), dtype=bool)
    opens_K[1:] = first_K[1:] >= reach_K[:-1]
    return np.stack([first_K[opens_K], reach_K[np.roll(opens_K, -1)]], axis=1)


def _with_empty(spans_K2: Ints, number: int, length: int, rng: Rng) -> Ints:
    """With so many empty spans, at random places among the tokens and spans that are there."""
    visible = np.flatnonzero(~covered(spans_K2, length))
    things = np.append(np.sort(np.concatenate([visible, spans_K2[:, 0]])), length)
    places = np.sort(rng.permutation(len(things) - 1 + number)[:number]) - np.arange(number)
    both: Ints = np.concatenate([spans_K2, np.repeat(things[places, None], 2, axis=1)])
    return both[np.lexsort((both[:, 1], both[:, 0]))]
