"""Sequence to class: y = argmax softmax(head(state of [CLS], or of all)) (survey: Class; Devlin et al. 2019, 4.1)."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from quire.core.example import Example, Passage, World
from quire.core.heads import HeadSpec, LayerMix, PrivateHead, SequenceHead
from quire.core.spec import Backbone, Pool, Rate, Size
from quire.nn.losses import cross_entropy
from quire.nn.model import Step
from quire.paradigms.base import Paradigm


class Classify(Paradigm):
    """One label for a text or a pair of texts."""

    labels: tuple[str, ...]
    dropout: Rate = 0.1
    pool: Pool | Literal["auto"] = "auto"
    """What is made of a text's states: `auto` leaves it to the body, whose first position may mean nothing."""

    mix: LayerMix = "none"
    """Whether a learned mix of all layers stands for the last one (ELMo)."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Of the pooler: BERT's, or DistilBERT's."""
    private: Size | None = None
    """Cells of an LSTM of the task's own that reads the text and the states, in place of a pool (Model-III)."""

    def format(self, passages: Sequence[Passage], label: str | None, world: World) -> Example:
        example = Example.of(world.vocab, *passages)
        return example if label is None else example.label(self.slot, self.labels.index(label))

    def gold(self, example: Example) -> str:
        return self.labels[int(example.answers[self.slot][0])]

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        if self.private:
            return {self.slot: PrivateHead(outputs=len(self.labels), width=self.private, dropout=self.dropout)}
        pool = backbone.pool if self.pool == "auto" else self.pool
        head = SequenceHead(
            outputs=len(self.labels), dropout=self.dropout, pool=pool, mix=self.mix, activation=self.activation
        )
        return {self.slot: head}

    def loss(self, step: Step) -> Tensor:
        return cross_entropy(step.logits(self.slot), step.answers(self.slot))

    def decode(self, step: Step) -> Tensor:
        probabilities = torch.softmax(step.scores(self.slot, step.batch.first).float(), dim=-1)
        return probabilities[torch.from_numpy(np.argsort(step.batch.order))]
