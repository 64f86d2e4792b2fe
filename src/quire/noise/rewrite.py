"""What to show in place of the chosen tokens. Legend: L positions of one sequence, K spans."""

from abc import abstractmethod
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from quire.core.catalogue import Component
from quire.core.example import Bools, Ints, Vocab
from quire.core.random import Rng
from quire.core.spec import Rate, Size
from quire.noise.spans import covered


class Rewrite(Component):
    """Writes a text anew around the chosen spans; it may become shorter or longer."""

    home: ClassVar[str] = "quire.noise.rewrite"

    @abstractmethod
    def recast(self, tokens: Ints, spans: Ints, vocab: Vocab, rng: Rng) -> Ints:
        """(tokens [L], spans [K, 2], vocab, rng) -> a new array of any length; what no span covers stays, in order."""


class InPlace(Rewrite):
    """One that leaves every token where it is: what is asked for the token itself can ask behind no other."""

    home: ClassVar[str] = "quire.noise.rewrite"

    @abstractmethod
    def apply(self, tokens: Ints, where: Bools, vocab: Vocab, rng: Rng) -> Ints:
        """(tokens [L], where [L], vocab, rng) -> a new array [L]; positions outside `where` are equal to `tokens`."""

    def recast(self, tokens: Ints, spans: Ints, vocab: Vocab, rng: Rng) -> Ints:
        return self.apply(tokens, covered(spans, len(tokens)), vocab, rng)


class Mask(InPlace):
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
        shown[chosen[coin < self.mask]] = vocab.masking()
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


class Shuffle(InPlace):
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


class Drop(Rewrite):
    """Nothing: BART's deletion, T5's prefixes and dropped tokens."""

    def recast(self, tokens: Ints, spans: Ints, vocab: Vocab, rng: Rng) -> Ints:
        return tokens[~covered(spans, len(tokens))]


class Sentinels(Rewrite):
    """Each span becomes a mark of its own, the first one the vocabulary's first (Raffel et al. 2020, section 3.1.4)."""

    def recast(self, tokens: Ints, spans: Ints, vocab: Vocab, rng: Rng) -> Ints:
        return _replaced(tokens, spans, np.array(vocab.sentinels[: len(spans)], dtype=np.int64))


class Infill(Rewrite):
    """Each span becomes one [MASK], also an empty one, or with the chance `random` one random token that is not special
    (Lewis et al. 2020, section 2.2; fairseq, `--replace-length 1 --mask-random`).
    """

    random: Rate = 0.0

    def recast(self, tokens: Ints, spans: Ints, vocab: Vocab, rng: Rng) -> Ints:
        marks = np.full(len(spans), vocab.masking())
        other = np.flatnonzero(rng.random(len(spans)) < self.random)
        marks[other] = vocab.ordinary[rng.integers(len(vocab.ordinary), size=len(other))]
        return _replaced(tokens, spans, marks)


def _replaced(tokens: Ints, spans: Ints, marks: Ints) -> Ints:
    """One mark [K] in place of each span."""
    visible = ~covered(spans, len(tokens))
    before = np.concatenate([[0], visible.cumsum()])
    return np.insert(tokens[visible], before[spans[:, 0]], marks)


def _runs(chosen: Ints) -> Ints:
    """For each of the ascending positions `chosen` the number, from 0, of the run of neighbours it stands in."""
    run = np.zeros(len(chosen), dtype=np.int64)
    np.cumsum(chosen[1:] - chosen[:-1] > 1, out=run[1:])
    return run
