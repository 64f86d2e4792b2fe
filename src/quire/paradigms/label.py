"""Aligned sequence to sequence: a tag for each word (survey: SeqLab; Devlin et al. 2019, section 5.3).

A word is asked about at its first token. Without `crf` each tag is the best of its own softmax; with it, the tags of a
text are a row of a linear-chain CRF (Lample et al. 2016; `quire.nn.crf`).

Legend: L tokens of a text, W words, M asked words, S sequences, C tags.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from quire.core.answers import Answer, Inexpressible, Item, Kind, Spans, best_window, windows
from quire.core.example import IGNORE, Example, Ints, Passage, World
from quire.core.heads import ChainHead, HeadSpec, PositionHead
from quire.core.spec import Backbone, Rate
from quire.core.tags import OUTSIDE, Scheme, allowed, read, tags, write
from quire.nn.crf import Chain, log_likelihood, unchained, viterbi
from quire.nn.losses import cross_entropy
from quire.nn.model import Step
from quire.paradigms.base import Paradigm, Said

UNTOLD = -1
"""The answer where a tag is asked for and nobody knows it."""


class Label(Paradigm):
    """Spans of words, none of which shares a word with another, as tags in the scheme `bio` or `bioes`.

    A text that is too long is read in windows, and each word takes its tag from the window that reads it best; a CRF
    finds a row for each window. Texts that stand before it take half of the length at most. A word without a token of
    its own has no tag: it lies outside.

    The CRF's scores learn at the rate of all heads (`strategy.full.head_scale`). At a rate that suits the body they
    hardly leave 0 in a few epochs, and the CRF stays a softmax; published ones have a rate of their own, some 100 times
    the body's.
    """

    answers: ClassVar[Kind] = "spans"

    scheme: Scheme = "bio"
    crf: bool = False
    valid: bool = False
    """Whether only rows that keep to the scheme are said; others are read as conlleval reads them."""
    dropout: Rate = 0.1

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.tags

    @property
    def tags(self) -> tuple[str, ...]:
        """[C], `O` first."""
        return tags(self.labels, scheme=self.scheme)

    def format(self, item: Item, answer: Answer | None, world: World) -> list[Example]:
        tags_W = np.full(len(item.words), UNTOLD)
        if answer is not None:
            assert isinstance(answer, frozenset)
            tags_W[:] = [self.tags.index(tag) for tag in self._written(answer, item.words)]
        before, examples = _before(item, world), []
        for window in _windows(item, world):
            example, words = Example.of(world.vocab, *before, item.passages[-1][window]), _words(item, window)
            begins = len(example) - 1 - (window.stop - window.start)
            at = item.words[words] - window.start + begins
            examples.append(example.label(self.slot, tags_W[words], at=at))
        return examples

    def _written(self, spans: Spans, first_W: Ints) -> list[str]:
        row = write(spans, len(first_W), scheme=self.scheme)
        if lost := [word for word, tag in enumerate(row) if tag != OUTSIDE and first_W[word] < 0]:
            raise Inexpressible(f"word {lost[0]} is in a span and has no token of its own")
        return row

    def gold(self, example: Example) -> Said:
        answers = example.answers[self.slot]
        said: Said = np.eye(len(self.tags), dtype=np.float32)[answers[answers != IGNORE]]
        return said

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        heads: dict[str, HeadSpec] = {self.slot: PositionHead(outputs=len(self.tags), dropout=self.dropout)}
        return heads | {self._chain: ChainHead(tags=len(self.tags))} if self.crf else heads

    @property
    def _chain(self) -> str:
        return f"{self.slot}_chain"

    def loss(self, step: Step) -> Tensor:
        """The mean of -log p over words, with a CRF that of a text shared among its words."""
        scores_MC, tags_M = step.logits(self.slot), step.answers(self.slot)
        if not self.crf:
            return cross_entropy(scores_MC, tags_M)
        found_S = log_likelihood(scores_MC, tags_M, _asked_lengths(step, self.slot), self._learnt(step))
        return -found_S.sum() / max(len(tags_M), 1)

    def says(self, step: Step) -> list[Said]:
        """[M, C] each: softmax of the scores, or all on the tags of the best row."""
        scores_MC, lengths_S = step.logits(self.slot).float(), _asked_lengths(step, self.slot)
        if self.crf or self.valid:
            chain = self._learnt(step) if self.crf else unchained(scores_MC)
            if self.valid:
                chain = chain.within(torch.from_numpy(allowed(self.tags, scheme=self.scheme)).to(scores_MC.device))
            found_MC = F.one_hot(viterbi(scores_MC, lengths_S, chain), len(self.tags)).float()
        else:
            found_MC = scores_MC.softmax(dim=1)
        rows = torch.split(found_MC.detach().cpu(), lengths_S.tolist())
        return [rows[place].numpy() for place in np.argsort(step.batch.order)]

    def _learnt(self, step: Step) -> Chain:
        chain: Chain = step.model.heads[self._chain]()
        return chain

    def decode(self, item: Item, said: Sequence[Said], world: World) -> Spans:
        row, cuts = [OUTSIDE] * len(item.words), _windows(item, world)
        for number, (window, found_MC) in enumerate(zip(cuts, said, strict=True)):
            for word, tag in zip(_words(item, window).tolist(), found_MC.argmax(axis=1).tolist(), strict=True):
                if best_window(int(item.words[word]), cuts) == number:
                    row[word] = self.tags[tag]
        return read(row)


def _before(item: Item, world: World) -> list[Passage]:
    """What is shown of the texts before the last."""
    *before, _ = item.passages
    return [passage[: world.length // (2 * len(before))] for passage in before]


def _windows(item: Item, world: World) -> Sequence[slice]:
    """Runs of the last passage that fit behind the others."""
    passage = item.passages[-1]
    around = len(Example.of(world.vocab, *_before(item, world), passage[:1])) - len(passage[:1])
    return windows(len(passage), room=world.length - around)


def _words(item: Item, window: slice) -> Ints:
    """The words whose first token stands in a window of the last passage."""
    return np.flatnonzero((item.words >= window.start) & (item.words < window.stop))


def _asked_lengths(step: Step, slot: str) -> Tensor:
    """[S] how many words of each sequence are asked about."""
    sequence_M = torch.searchsorted(step.batch.first, step.asked(slot), right=True) - 1
    return sequence_M.bincount(minlength=len(step.batch.first))
