"""Several ways to see within one batch: UniLM's mixture (Dong et al. 2019, section 2.3 and appendix A; survey: UniLM).

Every mode asks the same cloze questions, and only the mask differs: a bidirectional pair, a pair whose second segment
is written from the first (sequence to sequence), a run read left to right, a run read right to left. Segment ids tell
the model which one it is in; those of the release are 0 1, 4 5, 2 and 3 (microsoft/unilm, unilm-v1).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from quire.core.config import Settings
from quire.core.example import Example, Vocab
from quire.core.random import rng
from quire.core.spec import Count
from quire.core.visibility import Backward, Causal, Full, Prefix, Visibility
from quire.text.packing import SentencePairs


class Mode(Settings):
    """One way to see, and its share among all; only ratios of shares count."""

    sees: Literal["full", "prefix", "causal", "backward"]
    share: Annotated[float, Field(gt=0)] = 1.0
    segments: Annotated[tuple[Count, ...], Field(min_length=1, max_length=2)] = (0, 1)
    """The segment ids of A and B; one directional modes have one segment."""

    def example(self, pairs: SentencePairs, index: int, *, epoch: int, vocab: Vocab) -> Example:
        """`[CLS] A [SEP] B [SEP]`, or `[CLS] A and B [SEP]` in one run where one direction is seen."""
        directed = self.sees in ("causal", "backward")
        laid = Example.of(vocab, *([pairs.run(index)] if directed else pairs.pair(index, epoch=epoch)))
        ids = np.array((self.segments * 2)[:2])  # a single id serves both
        return replace(laid, segments=ids[laid.segments], sees=self.visibility(int((laid.segments == 0).sum())))

    def visibility(self, source: int) -> Visibility:
        """Who sees whom where the first segment, its special tokens included, has `source` positions."""
        match self.sees:
            case "full":
                return Full()
            case "prefix":
                return Prefix(source)
            case "causal":
                return Causal()
            case "backward":
                return Backward()


class Mixed:
    """Sentence pairs as examples, each in a mode drawn from (seed, epoch, index) alone."""

    def __init__(self, pairs: SentencePairs, modes: Sequence[Mode], vocab: Vocab) -> None:
        self.pairs, self.modes, self.vocab = pairs, tuple(modes), vocab
        shares = np.array([mode.share for mode in modes])
        self.bounds = np.cumsum(shares / shares.sum())[:-1]
        told = ";".join(mode.model_dump_json() for mode in modes)
        self.fingerprint = f"{pairs.shards.fingerprint}/Mixed/{pairs.length}/{len(pairs)}/{told}"

    def __len__(self) -> int:
        return len(self.pairs)

    def mode(self, index: int, *, epoch: int) -> Mode:
        """The mode of an example in an epoch."""
        coin = rng(self.pairs.seed, "mode", epoch, index).random()
        return self.modes[int(np.searchsorted(self.bounds, coin, side="right"))]

    def example(self, index: int, *, epoch: int) -> Example:
        return self.mode(index, epoch=epoch).example(self.pairs, index, epoch=epoch, vocab=self.vocab)
