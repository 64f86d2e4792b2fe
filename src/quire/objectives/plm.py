"""Permutation language modelling: XLNet (Yang et al. 2019, sections 2.2 to 2.4; zihangdai/xlnet; survey: PLM).

L = - mean over targets t of log p(x_t | all tokens that come before t in a random order)

The survey sums over all t; the release predicts a sixth of the tokens, the last ones of their order, and this is the
release: `_sample_mask` and `_local_perm` in its data_utils.py.

Legend: L positions of a sequence or of a part of one, M targets of a batch, V vocabulary, W width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import IGNORE, Bools, Example, Ints, World
from quire.core.heads import HeadSpec, QueryHead, TokenHead
from quire.core.random import Rng
from quire.core.spec import Backbone, Size
from quire.core.visibility import Full, Permuted
from quire.nn.lazy import Lazy, LazyScores
from quire.nn.losses import cross_entropy, token_health
from quire.nn.model import Step
from quire.nn.transformer import Encoder
from quire.nn.two_stream import query_states
from quire.objectives.base import Objective
from quire.text.context import backwards

QUERY = "query"
"""The part that query streams begin as."""


class Plm(Objective):
    """Predict some tokens in a random order, each from those that are not predicted and those predicted before it.

    Nothing is hidden by another token: the content stream shows the truth, so that a target sees what earlier targets
    were. (transformers' collator writes <mask> over all of them.) Special tokens have a place in the order and are
    never predicted; the others see each other. In an example of parts (`context-pairs`) targets are shared out by
    length, and each part has an order of its own and sees the parts before it. Any other example is one part.

    The release's spans count pieces where n words were meant (its index is wrong, and its authors kept it), and so do
    these. It may choose special tokens, whose places are then lost; here the count is exact. Each block of `perm_size`
    is permuted by itself; there all blocks of a part are permuted alike. At the published sizes a part is a block.

    Health: besides `token_health` on the query stream `query_spread`, the standard deviation of g over the asked
    positions by their mean norm: near 0 every position is told the same, the query stream is dead.
    """

    rate: Annotated[float, Field(gt=0, lt=1)] = 1 / 6
    """The share of tokens, special ones included and memory not, that is predicted: 85 of 512."""
    context: Size = 6
    """A span of n pieces is drawn in a window of n times as many (`mask_alpha`)."""
    longest: Size = 5
    """A span has 1 to so many pieces, n with a probability in proportion to 1 / n (`max_gram`)."""
    perm_size: Size = 256

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        if backbone.position != "relative":
            raise BadInput(
                f"a query knows where it stands by relative positions alone, the backbone's are {backbone.position}; "
                "take backbone.position relative, or another objective"
            )
        if backbone.window is not None:
            raise BadInput("an order of tokens and local attention exclude each other; leave backbone.window out")
        narrow = backbone.embedding_width != backbone.width
        return {self.slot: TokenHead(transform=False, project=narrow), QUERY: QueryHead()}

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        sees = example.sees
        if not isinstance(sees, Full | Permuted):
            raise BadInput(f"objectives: plm gives a sequence its order, and another gave it {sees}; take one of them")
        ordinary = ~world.vocab.reserved[example.truth]
        if any((answers[ordinary] != IGNORE).any() for answers in example.answers.values()):
            raise BadInput("objectives: plm shows every token, and another asks for some; take one of them")
        part = sees.ranks.astype(np.int64) if isinstance(sees, Permuted) else np.zeros(len(example), dtype=np.int64)
        memory = sees.memory if isinstance(sees, Permuted) else 0
        where = self._targets(example, part, memory, rng)
        moved = where | ~ordinary
        moved[:memory] = False
        asked = example.ask(self.slot, where, example.tokens)
        order = Permuted.of(ranked(part, moved, size=self.perm_size, rng=rng), memory=memory)
        return replace(asked, sees=order, free=np.zeros(len(example), dtype=bool))  # a hole in the text helps nobody

    def _targets(self, example: Example, part: Ints, memory: int, rng: Rng) -> Bools:
        """[L] exactly rate * L targets, shared out by length with the odd ones to the first part."""
        part, free, starts = part[memory:], example.free[memory:], example.starts[memory:]
        length = len(part)
        goal = round(self.rate * length)
        bounds = [0, *((part[1:] != part[:-1]).nonzero()[0] + 1).tolist(), length]
        due = [-(-goal * bound // length) for bound in bounds]
        cuts = [(start, stop, due[i + 1] - due[i]) for i, (start, stop) in enumerate(pairwise(bounds))]
        where = np.zeros(len(example), dtype=bool)
        if example.positions is not None and example.positions[-1] < example.positions[0]:
            # Spans begin where words do in reading order.
            cuts = [(length - stop, length - start, number) for start, stop, number in cuts]
            where[memory:] = self._chosen(free[::-1], backwards(starts), cuts, rng)[::-1]
        else:
            where[memory:] = self._chosen(free, starts, cuts, rng)
        return where

    def _chosen(self, free: Bools, starts: Bools, cuts: Sequence[tuple[int, int, int]], rng: Rng) -> Bools:
        """[L] of each cut (start, stop, number) so many free positions: spans, then single ones for what is missing.

        One of them stays, lest the first query see nobody.
        """
        spans = self._spans(sum(number for _, _, number in cuts) + len(cuts), rng)
        length, farthest = len(free), 2 * self.longest * self.context
        nearest = np.minimum.accumulate(np.where(free & starts, np.arange(length), length)[::-1])[::-1]
        next_start = nearest.tolist() + [length] * farthest
        taken = bytearray(length)
        for start, stop, number in cuts:
            at, left = start, min(number, int(np.count_nonzero(free[start:stop])) - 1)
            if left <= 0:
                continue
            for n, lead, share in spans:
                if n > left:
                    n, lead = left, int(share * left * self.context)
                begin = next_start[at + lead]
                end = begin + n
                if end >= stop:
                    break
                taken[begin:end] = b"\1" * n
                at = end + n * self.context - lead
                if (left := left - n) == 0:
                    break
        where = np.frombuffer(taken, dtype=bool) & free
        for start, stop, number in cuts:
            here, able = where[start:stop], free[start:stop]
            if (missing := min(number, int(np.count_nonzero(able)) - 1) - int(np.count_nonzero(here))) > 0:
                here[rng.permutation((able & ~here).nonzero()[0])[:missing]] = True
        return where

    def _spans(self, number: int, rng: Rng) -> Iterator[tuple[int, int, float]]:
        """Spans as (pieces, pieces of its window that stand before it, that as a share of the window)."""
        length, share = rng.random((2, number))
        n = _chances(self.longest).searchsorted(length, side="right") + 1
        return zip(n.tolist(), (share * n * self.context).astype(np.int64).tolist(), share.tolist(), strict=True)

    def loss(self, step: Step) -> Tensor:
        return cross_entropy(self.scores(step, self.queried(step)), step.answers(self.slot))

    def health(self, step: Step) -> Mapping[str, float]:
        g_MW, answers_M = self.queried(step), step.answers(self.slot)
        if not len(answers_M):
            return {}
        spread = (g_MW - g_MW.mean(dim=0)).norm(dim=1).square().mean().sqrt() / g_MW.norm(dim=1).mean()
        return {**token_health(self.scores(step, g_MW).scores(), answers_M), "query_spread": float(spread)}

    def queried(self, step: Step) -> Tensor:
        """The query stream's states [M, W] at the targets."""
        body = step.model.backbone
        assert isinstance(body, Encoder)
        asked_M, query_W = step.asked(self.slot), step.model.heads[QUERY]()
        return query_states(body, step.model.embed(step.batch), query_W, asked_M, step.batch.layout)

    def scores(self, step: Step, g_MW: Tensor) -> LazyScores:
        """[M, V] of those states."""
        head = step.model.heads[self.slot]
        assert isinstance(head, Lazy)
        return head.lazily(g_MW, step.table)


@cache
def _chances(longest: int) -> npt.NDArray[np.float64]:
    """[longest - 1] the distribution function of span lengths, without the last one's 1."""
    below = np.cumsum(1 / np.arange(1, longest + 1))
    shares: npt.NDArray[np.float64] = below[:-1] / below[-1]
    return shares


def ranked(parts: Ints, moved: Bools, *, size: int, rng: Rng) -> Ints:
    """Ranks [L]: by part, then the tokens that stay, all at once, then the moved ones, one by one in random order.

    Moved tokens change places within blocks of `size` counted from where their part begins.
    """
    length = len(parts)
    place = moved.nonzero()[0]
    blocks = parts[place] * length + (place - parts.searchsorted(parts[place])) // size
    ranks = parts * (length + 1)
    ranks[place[(blocks + rng.random(len(place))).argsort()]] += np.arange(1, len(place) + 1)
    return ranks
