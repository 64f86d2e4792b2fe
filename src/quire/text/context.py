"""XLNet's rows: what came before, then two segments, read in either direction (zihangdai/xlnet, data_utils.py).

    [memory | context | A <sep> B <sep> <cls>]        segments 0, 0, 0 0 1 1 2

Context and pair are a row of `length` tokens. The next row begins where this one's context ends, so that every token
but the last ones is context once in each direction. Memory is the stream before the context: what the release carries
from step to step as states (decision 0009).

Legend: N tokens of the corpus, T sentences, L tokens of an example.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Annotated

import numpy as np
from pydantic import Field

from quire.core.config import Settings
from quire.core.errors import BadInput
from quire.core.example import Bools, Example, Ints, Passage, Vocab
from quire.core.random import Rng, rng
from quire.core.visibility import Permuted
from quire.text.shards import Shards

SPECIALS = 3
"""Twice <sep>, and <cls>."""


class ContextPlan(Settings):
    """How rows are cut, as shares of their length: 384 and 256 of 512 in the release."""

    memory: Annotated[float, Field(ge=0)] = 0.75
    """Tokens of the stream before a row that it may look at."""
    reuse: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The share of context in a row."""
    reverse: bool = True
    """Whether every text is also read backwards (`bi_data`)."""


def backwards(starts: Bools) -> Bools:
    """Where words begin [L] when the same tokens are read from the other end: where they ended."""
    turned: Bools = np.append(starts[1:], True)[::-1]
    return turned


class ContextPairs:
    """Rows of a corpus, first all forwards, then all backwards; they cross documents as in the release.

    B follows A in one half of the rows and comes from anywhere in the other. Nobody is asked which: the release
    writes the label and trains nothing on it. Varies by (seed, epoch, i): where A ends, and B.
    """

    def __init__(self, shards: Shards, vocab: Vocab, *, length: int, plan: ContextPlan, seed: int) -> None:
        """`length` counts the special tokens. BadInput where the corpus is shorter than a row."""
        self.shards, self.vocab, self.plan, self.seed = shards, vocab, plan, seed
        self.reuse = round(plan.reuse * length)
        self.pair = length - self.reuse - SPECIALS  # tokens of A and B
        self.memory = round(plan.memory * length)
        if self.reuse < 1 or self.pair < 2:
            raise BadInput(
                f"data.context.reuse {plan.reuse}: leaves {self.pair} of {length} tokens for two segments; take "
                "another share, or a larger data.length"
            )
        self.rows = (len(shards) - self.pair - 1) // self.reuse
        if self.rows < 1:
            raise BadInput(
                f"data.length {length}: the corpus has {len(shards)} tokens, less than a row and one more; take a "
                "smaller length, or more text"
            )
        self.fingerprint = f"{shards.fingerprint}/ContextPairs/{length}/{self.reuse}/{self.memory}/{len(self)}"

    def __len__(self) -> int:
        return self.rows * (2 if self.plan.reverse else 1)

    @cached_property
    def _bounds(self) -> tuple[Ints, Ints]:
        """[T + 1] where sentences begin, and N, in either direction."""
        bounds = self.shards.sentence_bounds
        return bounds, len(self.shards) - bounds[::-1]

    def example(self, index: int, *, epoch: int) -> Example:
        """A row behind its memory: nobody asks there; the context sees it, the pair sees both, none looks ahead."""
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        reverse, row = divmod(index, self.rows)
        start, middle = row * self.reuse, (row + 1) * self.reuse
        past = self._read(max(start - self.memory, 0), start, reverse)
        a, b = self._pair(middle, reverse, rng(self.seed, "context", epoch, index))
        sep, cls = self.vocab.sep, self.vocab.cls
        pieces = (past, 0), (self._read(start, middle, reverse), 0), (a, 0), (sep, 0), (b, 1), (sep, 1), (cls, 2)
        made = Example.laid(self.vocab, *pieces)
        place = np.arange(len(made))
        parts = (place >= len(past)).astype(np.int32) + (place >= len(past) + self.reuse)
        return replace(
            made,
            free=made.free & (place >= len(past)),
            sees=Permuted.of(parts, memory=len(past)),
            positions=place[::-1].copy() if reverse else None,
        )

    def _read(self, start: int, stop: int, reverse: int) -> Passage:
        """Tokens [start, stop) of the stream that is read in this direction."""
        if not reverse:
            return self.shards.slice(start, stop)
        found = self.shards.slice(len(self.shards) - stop, len(self.shards) - start)
        return Passage(found.tokens[::-1], backwards(found.starts), found.document)

    def _pair(self, begin: int, reverse: int, draw: Rng) -> tuple[Passage, Passage]:
        """`_split_a_and_b`: sentences from `begin` on until they are enough, cut in two; or another B."""
        bounds = self._bounds[reverse]
        first = int(np.searchsorted(bounds, begin, side="right"))
        end = int(bounds[np.searchsorted(bounds, begin + self.pair)])  # there is one: the row fits
        cuts = bounds[first : int(np.searchsorted(bounds, end))]  # inside sentences
        a_end = int(draw.choice(cuts)) if len(cuts) else end
        b_begin, b_end = a_end, end
        if not len(cuts) or draw.random() < 0.5:
            wanted = max(1, self.pair - (a_end - begin))
            place = int(draw.integers(len(self.shards) - wanted))
            b_begin = int(bounds[np.searchsorted(bounds, place, side="right") - 1])
            b_end = int(bounds[np.searchsorted(bounds, place + wanted)])
        a, b = _cut(a_end - begin, b_end - b_begin, self.pair)
        return self._read(begin, begin + a, reverse), self._read(b_begin, b_begin + b, reverse)


def _cut(a: int, b: int, room: int) -> tuple[int, int]:
    """Lengths of both when the longer one (B when equal) loses a token at its end until they fit."""
    if a + b <= room:
        return a, b
    if min(a, b) <= room // 2:
        return (a, room - a) if a <= b else (room - b, b)
    return room - room // 2, room // 2
