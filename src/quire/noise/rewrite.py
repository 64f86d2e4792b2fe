"""What to show in place of the chosen tokens. Legend: L positions of one sequence."""

from abc import abstractmethod
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from quire.core.catalogue import Component
from quire.core.example import Bools, Ints, Vocab
from quire.core.random import Rng
from quire.core.spec import Size


class Rewrite(Component):
    """Rewrites in place: (tokens [L], where [L], vocab, rng) -> tokens [L]; the rest stays as it is."""

    home: ClassVar[str] = "quire.noise.rewrite"

    @abstractmethod
    def apply(self, tokens: Ints, where: Bools, vocab: Vocab, rng: Rng) -> Ints:
        """A new array; positions outside `where` are equal to `tokens`."""


class Mask(Rewrite):
    """[MASK] with probability `mask`, random tokens with `random`, else kept: BERT's 80/10/10 (Devlin et al. 2019,
    section 3.1).

    The coin is tossed for each token, or with `by: span` once for each run of chosen tokens (SpanBERT, whose spans
    are merged where they touch; facebookresearch/SpanBERT, `--replacement-method span`).

    `random_from: all` draws from the whole vocabulary, specials included, as BERT's release does; `ordinary` leaves
    the special tokens out, as fairseq's RoBERTa does; `corpus` draws each as often as it stands in the corpus
    (SpanBERT).
    """

    mask: float = 0.8
    random: float = 0.1
    random_from: Literal["all", "ordinary", "corpus"] = "all"
    by: Literal["token", "span"] = "token"

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if not (self.mask >= 0 and self.random >= 0 and self.mask + self.random <= 1 + 1e-9):
            raise ValueError(f"mask {self.mask} and random {self.random} must be shares of at most 1 together")
        return self

    def apply(self, tokens: Ints, where: Bools, vocab: Vocab, rng: Rng) -> Ints:
        chosen = np.flatnonzero(where)
        coin = rng.random(len(chosen))
        if self.by == "span":
            coin = coin[_runs(chosen)]
        shown = tokens.copy()
        shown[chosen[coin < self.mask]] = vocab.mask
        replaced = chosen[(coin >= self.mask) & (coin < self.mask + self.random)]
        if len(replaced):
            shown[replaced] = self._drawn(len(replaced), vocab, rng)
        return shown

    def _drawn(self, n: int, vocab: Vocab, rng: Rng) -> Ints:
        match self.random_from:
            case "all":
                return rng.integers(vocab.size, size=n)
            case "ordinary":
                return vocab.ordinary[rng.integers(len(vocab.ordinary), size=n)]
            case "corpus":
                below = vocab.counts_below
                return below.searchsorted(rng.integers(below[-1], size=n), side="right")


class Shuffle(Rewrite):
    """Permutes the tokens within groups of `length`, counted from the beginning of each run of chosen tokens.

    StructBERT's word order with `select: trigrams` (Wang et al. 2020, section 2.2). Every order is as likely, so that
    one group of three in six stays as it is: it is asked all the same, so that a token in its place tells nothing
    about whether it was moved, as BERT's kept tokens do. There is no official code; ALBERT's `do_permutation` may
    keep a token in its place too.
    """

    length: Size = 3

    def apply(self, tokens: Ints, where: Bools, vocab: Vocab, rng: Rng) -> Ints:
        chosen = np.flatnonzero(where)
        run = _runs(chosen)
        within = np.arange(len(chosen)) - run.searchsorted(run)  # places from the beginning of the run
        group = np.cumsum(within % self.length == 0)
        shown = tokens.copy()
        shown[chosen] = tokens[chosen[np.argsort(group + rng.random(len(chosen)))]]
        return shown


def _runs(chosen: Ints) -> Ints:
    """For each of the ascending positions `chosen` the number, from 0, of the run of neighbours it stands in."""
    run = np.zeros(len(chosen), dtype=np.int64)
    np.cumsum(chosen[1:] - chosen[:-1] > 1, out=run[1:])
    return run
