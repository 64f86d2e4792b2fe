"""Sequence to class: y = argmax softmax(head(state of [CLS], or of all)) (survey: Class; Devlin et al. 2019, 4.1)."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from quire.core.answers import Answer, Item
from quire.core.example import Example, Passage, World
from quire.core.heads import MOST, HeadSpec, LayerMix, PrivateHead, SequenceHead, Windows
from quire.core.spec import Backbone, Pool, Rate, Size
from quire.nn.losses import cross_entropy
from quire.nn.model import Step
from quire.paradigms.base import Labelling, Said, certain, in_order
from quire.text.cut import in_windows

SPECIALS = 2
"""[CLS] and [SEP] around a text."""


class Classify(Labelling):
    """One label for a text or a pair of texts.

    A text that is longer than `world.length` is read in windows `[CLS] window [SEP]`, which do not see each other, and
    whose vectors become one; who wants a piece of it alone cuts it before (`quire.text.cut`).
    """

    dropout: Rate = 0.1
    pool: Pool | Literal["auto"] = "auto"
    """What is made of a text's states: `auto` leaves it to the body, whose first position may mean nothing."""

    mix: LayerMix = "none"
    """Whether a learned mix of all layers stands for the last one (ELMo)."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Of the pooler: BERT's, or DistilBERT's."""
    private: Size | None = None
    """Cells of an LSTM of the task's own that reads the text and the states, in place of a pool (Model-III); it reads
    windows one after the other."""
    windows: Windows = "mean"
    """What is made of the windows' vectors, each what the pool makes of its states."""

    def format(self, item: Item, answer: Answer | None, world: World) -> tuple[Example]:
        example = self._read(item.passages, world)
        return (example if answer is None else example.label(self.slot, self.labels.index(str(answer))),)

    def _read(self, passages: Sequence[Passage], world: World) -> Example:
        room = world.length - SPECIALS
        if len(passages) > 1 or len(passages[0]) <= room:
            return Example.of(world.vocab, *passages)
        return Example.apart(*(Example.of(world.vocab, w) for w in in_windows(passages[0], room=room, most=MOST)))

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.labels

    def gold(self, example: Example) -> Said:
        return certain(int(example.answers[self.slot][0]), len(self.labels))

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        if self.private:
            return {self.slot: PrivateHead(outputs=len(self.labels), width=self.private, dropout=self.dropout)}
        pool = backbone.pool if self.pool == "auto" else self.pool
        head = SequenceHead(
            outputs=len(self.labels),
            dropout=self.dropout,
            pool=pool,
            mix=self.mix,
            activation=self.activation,
            windows=self.windows,
        )
        return {self.slot: head}

    def loss(self, step: Step) -> Tensor:
        return cross_entropy(step.logits(self.slot), step.answers(self.slot))

    def says(self, step: Step) -> list[Said]:
        """[C] each: softmax of the scores."""
        return in_order(step, torch.softmax(step.scores(self.slot, step.batch.first).float(), dim=-1))

    def probabilities(self, said: Sequence[Said]) -> Said:
        (row,) = said
        return row
