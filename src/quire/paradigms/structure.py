"""Sequence to a sequence of actions: y = the structure that actions make, each told from a configuration (Seq2ASeq).

L = - mean over the configurations c_t on the way to the answer of log p(a_t | c_t)
p(a | c) = softmax over the legal a of f(states of the words in the features of c)[a]

`[CLS] words [SEP]` is read once; f is Kiperwasser & Goldberg's (2016, section 4), on this body in place of an LSTM.
The loss is not theirs, a hinge with errors explored by a dynamic oracle, but the likelihood of one way (Chen & Manning
2014, section 3.2). Said is, greedily, what is most probable. A text that is longer than the world allows is read in
windows that do not see each other, each word where most stands around it; the actions are over all of it.

Legend: S sequences, W words of all, U states that words are read in, T configurations, K features, A actions.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from quire.core.answers import Answer, Item, Kind, best_window, windows
from quire.core.example import Bools, Example, Ints, World
from quire.core.heads import ActionHead, HeadSpec
from quire.core.spec import Backbone, Rate, Size
from quire.core.transitions import ArcStandard, Nested, System
from quire.nn.actions import ActionScores
from quire.nn.losses import cross_entropy
from quire.nn.model import Step
from quire.paradigms.base import Paradigm, Said


class Acting(Paradigm):
    """A paradigm whose answer is made by a transition system."""

    dropout: Rate = 0.1
    width: Size = 100
    """Of the hidden layer."""

    @property
    @abstractmethod
    def system(self) -> System[Any, Any]:
        """What makes the answer."""

    @property
    def words(self) -> str:
        """The slot that tells in which states words are read: of how many each."""
        return f"{self.slot}_words"

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        actions, features = len(self.system.actions), self.system.width
        return {self.slot: ActionHead(outputs=actions, features=features, width=self.width, dropout=self.dropout)}

    def format(self, item: Item, answer: Answer | None, world: World) -> tuple[Example]:
        """The text whose words are asked about, alone, and beside it what is written about it: actions.

        A word without a token of its own is read in the state of the word before it, or in [CLS].
        """
        actions = [] if answer is None else self.system.oracle(len(item.words), answer)
        example, at = _read(item, world)
        where, counts = np.unique(at, return_counts=True)
        mask = np.zeros(len(example), dtype=bool)
        mask[where] = True
        example = example.label(self.words, counts, at=mask)
        if answer is not None:
            written = Example.written(self.slot, np.array(actions, dtype=np.int64), start=world.vocab.sep)
            example = replace(example, target=written)
        return (example,)

    def gold(self, example: Example) -> Said:
        """[T] the actions."""
        assert example.target is not None
        return example.target.answers[self.slot].astype(np.float32)

    def decode(self, item: Item, said: Sequence[Said], world: World) -> Answer:
        (actions,) = said
        answer: Answer = self.system.answer(self.system.run(len(item.words), actions.astype(int).tolist()))
        return answer

    def loss(self, step: Step) -> Tensor:
        text, target, system = _Text.of(step, self.words), step.batch.target, self.system
        features: list[list[int]] = []
        legal: list[Bools] = []
        gold_T = step.batch.first[:0] if target is None else target.answers[self.slot]
        if target is not None:
            actions = iter(gold_T.tolist())
            for sequence, length in enumerate(target.lengths.tolist()):
                at = system.start(text.counts[sequence])
                for action in islice(actions, length):
                    features.append(text.rows(sequence, system.features(at)))
                    legal.append(system.legal(at))
                    system.apply(at, action)
        head, read = self._read(step, text)
        return cross_entropy(_scores(head, read, features, legal), gold_T)

    def says(self, step: Step) -> list[Said]:
        """[T] actions each: all sequences go on together, until the last has ended."""
        text, system = _Text.of(step, self.words), self.system
        head, read = self._read(step, text)
        ways = [system.start(count) for count in text.counts]
        said: list[list[int]] = [[] for _ in ways]
        while going := [number for number, at in enumerate(ways) if not system.ended(at)]:
            features = [text.rows(number, system.features(ways[number])) for number in going]
            scores = _scores(head, read, features, [system.legal(ways[number]) for number in going])
            for number, action in zip(going, scores.argmax(dim=1).tolist(), strict=True):
                system.apply(ways[number], action)
                said[number].append(action)
        return [np.array(said[place], dtype=np.float32) for place in np.argsort(step.batch.order)]

    def _read(self, step: Step, text: "_Text") -> tuple[ActionScores, Tensor]:
        head = step.model.heads[self.slot]
        assert isinstance(head, ActionScores)
        return head, head.read(step.passed(self.slot).states(text.at_U))


class Parse(Acting):
    """Who depends on whom: arc-standard dependency parsing. `labels` are the relations; crossing arcs have no form."""

    answers: ClassVar[Kind] = "tree"

    @cached_property
    def system(self) -> ArcStandard:
        return ArcStandard(self.labels)


class Nest(Acting):
    """Spans that may stand in each other: nested named entities. `labels` are their kinds; no two spans may cross."""

    answers: ClassVar[Kind] = "spans"

    @cached_property
    def system(self) -> Nested:
        return Nested(self.labels)


@dataclass(frozen=True)
class _Text:
    """Where the words of a batch are read."""

    at_U: Tensor
    """The positions of the states."""
    state_W: Sequence[int]
    """Which of them each word is read in."""
    begins: Sequence[int]
    """[S] the first word of each sequence."""
    counts: Sequence[int]
    """[S] how many each has."""

    @classmethod
    def of(cls, step: Step, slot: str) -> "_Text":
        at_U, words_U = step.asked(slot), step.answers(slot)
        of_U = torch.searchsorted(step.batch.first, at_U, right=True) - 1
        counts_S = torch.zeros_like(step.batch.first).index_add(0, of_U, words_U)
        state_W = torch.arange(len(at_U), device=at_U.device).repeat_interleave(words_U)
        return cls(at_U, state_W.tolist(), (counts_S.cumsum(0) - counts_S).tolist(), counts_S.tolist())

    def rows(self, sequence: int, words: Sequence[int]) -> list[int]:
        """The states of some words of a sequence; -1 stays."""
        begin = self.begins[sequence]
        return [self.state_W[begin + word] if word >= 0 else -1 for word in words]


def _scores(head: ActionScores, read_UKH: Tensor, features: Sequence[Sequence[int]], legal: Sequence[Bools]) -> Tensor:
    """[T, A], -inf where an action is not legal."""
    at_TK = torch.tensor(features, dtype=torch.int64, device=read_UKH.device).view(-1, head.features)
    legal_TA = torch.from_numpy(np.array(legal, dtype=bool)).to(read_UKH.device).view(-1, head.out.out_features)
    scores_TA: Tensor = head(read_UKH, at_TK)
    return scores_TA.masked_fill(~legal_TA, -torch.inf)


def _read(item: Item, world: World) -> tuple[Example, Ints]:
    """The text of the words, in windows that fit, and the position [W] that each word is read at."""
    text = item.passages[-1]
    around = len(Example.of(world.vocab, text)) - len(text)
    views = windows(len(text), room=world.length - around)
    blocks = [Example.of(world.vocab, text[view]) for view in views]
    sizes = [len(block) for block in blocks]
    shift = np.cumsum(sizes) - 1 - np.array([view.stop for view in views])  # from a token of the text to its position
    tokens = np.maximum.accumulate(item.words)  # a word without one has that of the word before
    of = [best_window(int(token), views) if token >= 0 else 0 for token in tokens]
    return blocks[0] if len(blocks) == 1 else Example.apart(*blocks), np.maximum(tokens + shift[of], 0)
