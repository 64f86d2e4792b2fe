"""Where an answer begins and ends: what paradigms share that tell it by two scores for each position.

    [CLS] question [SEP] window of the passage [SEP]

Legend: L positions of one sequence, N of all, P of those asked about, K sequences asked about, U units, W words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from quire.core.answers import Inexpressible, Item, Span, windows
from quire.core.errors import BadInput
from quire.core.example import Example, Ints, Passage, Vocab, World
from quire.core.heads import HeadSpec, PositionHead
from quire.core.spec import Backbone, Rate
from quire.nn.losses import position_cross_entropy
from quire.nn.model import Step
from quire.nn.pooling import whole
from quire.paradigms.base import Paradigm, Said

CERTAIN = 30.0
"""The score of what a perfect model is sure of."""


class Edges(Paradigm):
    """Two scores for each position: that an answer begins there, and that it ends there."""

    dropout: Rate = 0.0
    """Before the scores; Devlin et al. have none."""

    @property
    def ends(self) -> str:
        """The slot that asks where answers end; its own asks where they begin."""
        return f"{self.slot}_ends"

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        return {self.slot: PositionHead(outputs=2, dropout=self.dropout)}

    def pointed(self, example: Example, start: int, end: int) -> Example:
        """Ask for these two positions among all: of each, the column of its score is told."""
        return example.label(self.slot, 0, at=start).label(self.ends, 1, at=end)

    def pointing_loss(self, step: Step) -> Tensor:
        """- (log softmax(starts)[start] + log softmax(ends)[end]) / 2 over the positions of a sequence, the mean."""
        start_K, end_K = step.asked(self.slot), step.asked(self.ends)
        at_P, owner_P = whole(step.batch.first, step.batch.lengths, start_K)
        scores_P2 = step.scores(self.slot, at_P)
        sides = [
            position_cross_entropy(scores_P2[:, column], owner_P, torch.searchsorted(at_P, at_K))
            for column, at_K in enumerate((start_K, end_K))
        ]
        return torch.stack(sides).mean()

    def scores(self, step: Step) -> list[Said]:
        """[L, 2] of each sequence, in the order the examples came in."""
        every_N = torch.arange(len(step.batch.tokens), device=step.batch.tokens.device)
        scores_N2 = step.scores(self.slot, every_N).detach().float().cpu().numpy()
        pieces = np.split(scores_N2, step.batch.first[1:].cpu().numpy())
        return [pieces[place] for place in np.argsort(step.batch.order)]


@dataclass(frozen=True)
class Reading:
    """A passage behind what is asked of it, in as many windows as it takes."""

    asked: tuple[Passage, ...]
    passage: Passage
    windows: Sequence[slice]

    @classmethod
    def of(cls, asked: Sequence[Passage], passage: Passage, world: World, *, limit: int) -> "Reading":
        """What is asked is cut to `limit` tokens each, and to half of the room. BadInput where there is none."""
        room = world.length - 2 - len(asked)
        each = min(limit, room // 2 // max(len(asked), 1))
        cut = tuple(text[:each] for text in asked)
        if (left := room - sum(map(len, cut))) < 2:
            raise BadInput(f"length {world.length}: no room for a question and its passage; take more")
        return cls(cut, passage, windows(len(passage), room=left))

    @property
    def begin(self) -> int:
        """The position of a window's first token."""
        return 1 + sum(len(text) + 1 for text in self.asked)

    def examples(self, vocab: Vocab) -> list[Example]:
        """One for each window, nothing asked yet; the passage is segment 1, or 0 where it stands alone.

        The first position stands for no answer, so it is there even where texts have no token to begin with (T5).
        """
        before: list[tuple[Passage | int, int]] = [(vocab.cls, 0)]
        for text in self.asked:
            before += [(text, 0), (vocab.sep, 0)]
        own = int(bool(self.asked))
        return [Example.laid(vocab, *before, (self.passage[w], own), (vocab.sep, own)) for w in self.windows]


@dataclass(frozen=True)
class Units:
    """Runs of words that share no token with others, most often single words: the only edges that tokens can tell."""

    words: Ints  # [U + 1] the first word of each, and W
    tokens: Ints  # [U + 1] its first token, and the length of the passage

    @classmethod
    def of(cls, item: Item) -> "Units":
        """Those of the last passage. Words before the first that has a token belong to none."""
        own = np.flatnonzero(item.words >= 0)
        return cls(np.append(own, len(item.words)), np.append(item.words[own], len(item.passages[-1])))

    def __len__(self) -> int:
        return len(self.words) - 1

    def held(self, span: Span) -> tuple[int, int]:
        """Its first and its last unit; Inexpressible where an edge stands inside of one."""
        first, behind = np.searchsorted(self.words, [span.start, span.end]).tolist()
        if not (first < behind <= len(self) and self.words[first] == span.start and self.words[behind] == span.end):
            raise Inexpressible(f"words {span.start} to {span.end}: no token begins or ends there")
        return first, behind - 1

    def span(self, first: int, last: int, label: str) -> Span:
        """From one unit to another."""
        return Span(int(self.words[first]), int(self.words[last + 1]), label)

    def edges(self, first: int, last: int) -> tuple[int, int]:
        """The first and the last token, in the passage, of the units `first` to `last`."""
        return int(self.tokens[first]), int(self.tokens[last + 1]) - 1

    def within(self, window: slice) -> slice:
        """The units that stand whole in a window."""
        first = int(np.searchsorted(self.tokens, window.start))
        behind = int(np.searchsorted(self.tokens, window.stop, side="right")) - 1
        return slice(min(first, len(self)), max(behind, min(first, len(self))))
