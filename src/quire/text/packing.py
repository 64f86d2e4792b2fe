"""Which tokens make an example, and which examples make a step: pure functions of (seed, epoch, index).

Legend: N tokens of the corpus, D documents, T sentences, C chunks.
"""

from __future__ import annotations

from array import array
from functools import cached_property
from typing import TypeAlias

import numpy as np

from quire.core.example import Ints, Passage
from quire.core.random import Rng, rng
from quire.text.shards import Shards

Pair: TypeAlias = tuple[Passage, Passage]
WALKED = 1 << 16
"""Sentences looked at together where chunks are laid out."""


def order(n: int, *, seed: int, epoch: int) -> Ints:
    """The order [n] in which an epoch visits n examples."""
    return rng(seed, "order", epoch).permutation(n).astype(np.int64, copy=False)


class Plan:
    """The endless sequence of (epoch, index): every epoch's permutation of n examples, one after the other.

    Place p of the sequence does not depend on the batch size, so steps may be sought, split over workers and resumed.
    """

    def __init__(self, n: int, *, seed: int) -> None:
        if n < 1:
            raise ValueError("a plan needs one example or more")
        self.n, self.seed = n, seed
        self._order: tuple[int, Ints] = (-1, np.zeros(0, dtype=np.int64))

    def at(self, step: int, batch: int) -> list[tuple[int, int]]:
        """The `batch` examples of a step (both from 0) as (epoch, index)."""
        return [self._place(step * batch + k) for k in range(batch)]

    def _place(self, place: int) -> tuple[int, int]:
        epoch, within = divmod(place, self.n)
        if self._order[0] != epoch:
            self._order = (epoch, order(self.n, seed=self.seed, epoch=epoch))
        return epoch, int(self._order[1][within])


class Chunks:
    """Each document cut into runs of `length` tokens, the last one shorter; nothing is padded, so short ones are cheap.

    With `full`, blocks cross documents and only the corpus' last one is shorter (RoBERTa's FULL-SENTENCES, Liu et
    al. 2019, section 4.2, without its separator between documents and cutting inside sentences).
    """

    def __init__(self, shards: Shards, *, length: int, full: bool = False) -> None:
        self.shards, self.length = shards, length
        self.bounds = np.array([0, len(shards)]) if full else shards.document_bounds
        counts = -(-np.diff(self.bounds) // length)
        self.first: Ints = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)  # [D + 1] chunks before each

    def __len__(self) -> int:
        return int(self.first[-1])

    def place(self, i: int) -> tuple[int, int]:
        """Where chunk i begins and ends in the corpus."""
        if not 0 <= i < len(self):
            raise IndexError(f"chunk {i} of {len(self)}")
        document = int(np.searchsorted(self.first, i, side="right")) - 1
        start = int(self.bounds[document] + (i - self.first[document]) * self.length)
        return start, min(start + self.length, int(self.bounds[document + 1]))

    def chunk(self, i: int) -> Passage:
        """The tokens of chunk i, with the number of the document it begins in."""
        return self.shards.slice(*self.place(i))


class SentencePairs:
    """BERT's pairs (Devlin et al. 2019, appendix A.2, and create_pretraining_data.py): neighbouring runs of sentences.

    Chunk i starts at the same sentence in every epoch: documents are cut greedily, a chunk ending with the sentence
    that reaches `length`. What varies by (seed, epoch, i): in one of ten the target is drawn from 2..length and only
    the sentences that reach it are taken (BERT would begin the next chunk with the rest); where A ends and B begins;
    and from which ends too long a pair is cut. `length` counts no special tokens.
    """

    SHORT = 0.1  # how often the target is shorter

    def __init__(self, shards: Shards, *, length: int, seed: int) -> None:
        if length < 2:
            raise ValueError("a pair needs two tokens or more")
        self.shards, self.length, self.seed = shards, length, seed

    @cached_property
    def first(self) -> Ints:
        """[C + 1] the sentence where each chunk begins, and T."""
        return self.shards.kept(f"pairs-of-{self.length}", self._begins)

    def _begins(self) -> Ints:
        """`first`, in one walk over the corpus; neither sentences nor chunks are ever a list: there are millions."""
        bounds, documents = self.shards.sentence_bounds, self.shards.document_bounds
        chain, last = array("q", [0]), len(bounds) - 1
        for begin in range(0, last, WALKED):
            end = min(begin + WALKED, last)
            starts = bounds[begin:end]
            closes = documents[np.searchsorted(documents, starts, side="right")]  # where a sentence's document ends
            reach = bounds[begin : end + self.length + 1]  # a sentence has a token
            following = begin + np.searchsorted(reach, np.minimum(starts + self.length, closes))
            steps = following.tolist()
            while chain[-1] < end:
                chain.append(steps[chain[-1] - begin])
        return np.frombuffer(chain, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.first) - 1

    def pair(self, i: int, *, epoch: int) -> Pair:
        """Passages A and B, B following A, of at most `length` tokens together; B is empty after a lone sentence."""
        draw = rng(self.seed, "pair", epoch, i)
        target = int(draw.integers(2, self.length, endpoint=True)) if draw.random() < self.SHORT else self.length
        bounds = self.shards.sentence_bounds[self.first[i] : self.first[i + 1] + 1]
        used = min(int(np.searchsorted(bounds, bounds[0] + target)), len(bounds) - 1)  # sentences
        middle = int(draw.integers(1, used)) if used > 1 else used
        a = self.shards.slice(int(bounds[0]), int(bounds[middle]))
        b = self.shards.slice(int(bounds[middle]), int(bounds[used]))
        return truncated(a, Passage(b.tokens, b.starts, a.document), length=self.length, rng=draw)

    def run(self, i: int) -> Passage:
        """The chunk's tokens in one run, without a division, cut to `length`."""
        start, stop = (int(self.shards.sentence_bounds[self.first[k]]) for k in (i, i + 1))
        return self.shards.slice(start, min(stop, start + self.length))


def truncated(a: Passage, b: Passage, *, length: int, rng: Rng) -> Pair:
    """Cut a pair to `length` as BERT does: a token at a time from the longer (from B when equal), front or back."""
    excess = len(a) + len(b) - length
    if excess <= 0:
        return a, b
    shorter = min(len(a), len(b), length // 2)
    keep_a, keep_b = (length - shorter, shorter) if len(a) >= len(b) else (shorter, length - shorter)
    if min(len(a), len(b)) >= length // 2:  # both are cut: an odd token stays with A, where A has it
        keep_a = min(len(a), length - length // 2)
        keep_b = length - keep_a
    return _cut(a, len(a) - keep_a, rng), _cut(b, len(b) - keep_b, rng)


def _cut(passage: Passage, excess: int, rng: Rng) -> Passage:
    front = int(rng.binomial(excess, 0.5))
    return passage[front : len(passage) - (excess - front)]
