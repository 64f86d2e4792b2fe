"""A class as a span: the description of the right label is pointed at (survey: TC as MRC; Keskar et al. 2019,
"Unifying Question Answering, Text Classification, and Regression via Span Extraction").

    [CLS] text [SEP] first label ; second label ; ... [SEP]

L = - (log softmax(S h)[start] + log softmax(E h)[end]) / 2, over all positions of a sequence
p(label) = softmax over labels of S h at the first token of its description + E h at the last

In the paper the descriptions stand before the text and the best span of all is read.

Legend: S sequences, C labels.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from quire.core.answers import Answer, Item
from quire.core.errors import BadInput, nearest
from quire.core.example import IGNORE, Example, Passage, World
from quire.core.heads import HeadSpec
from quire.core.spec import Backbone
from quire.nn.model import Step
from quire.paradigms.base import Labelling, Said, certain, in_order
from quire.paradigms.edges import Edges

LEAST = 8
"""Tokens of a text that must have room beside the descriptions."""


class ExtractLabel(Edges, Labelling):
    """One label for a text or a pair of texts, which have what room the descriptions leave."""

    descriptions: Mapping[str, str] = {}
    """What a label is, by its name; of the others the name itself."""

    @model_validator(mode="after")
    def _about_labels(self) -> "ExtractLabel":
        for label in self.descriptions:
            if label not in self.labels:
                raise ValueError(f"a description of {label!r}, which is no label{nearest(label, self.labels)}")
        return self

    @property
    def places(self) -> tuple[str, str]:
        """The slots that mark the first and the last token of each description, C in a sequence."""
        return f"{self.slot}_edges", f"{self.ends}_edges"

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        taken = sum(map(len, self._described(world))) + 3
        if taken + LEAST > world.length:
            raise BadInput(
                f"{len(self.labels)} descriptions take {taken} of {world.length} tokens and leave no room for a text; "
                f"shorten `descriptions`"
            )
        return super().parts(backbone, world)

    def room(self, item: Item, world: World) -> int:
        """Tokens of the texts beside the descriptions."""
        return world.length - 2 - len(item.passages) - sum(map(len, self._described(world)))

    def format(self, item: Item, answer: Answer | None, world: World) -> tuple[Example]:
        described, vocab = self._described(world), world.vocab
        parts: list[tuple[Passage | int, int]] = [(vocab.cls, 0)]
        for text in item.passages:
            parts += [(text, 0), (vocab.sep, 0)]
        begin = 1 + sum(len(text) + 1 for text in item.passages)
        ends = begin + np.cumsum([len(piece) for piece in described])  # descriptions and what stands between, in turn
        firsts, lasts = np.append(begin, ends[1::2])[: len(self.labels)], ends[::2] - 1
        example = Example.laid(vocab, *parts, *((piece, 1) for piece in described), (vocab.sep, 1))
        for slot, at in zip(self.places, (firsts, lasts), strict=True):
            where = np.zeros(len(example), dtype=bool)
            where[at] = True
            example = example.label(slot, np.arange(len(self.labels)), at=where)
        if answer is not None:
            label = self.labels.index(str(answer))
            example = self.pointed(example, int(firsts[label]), int(lasts[label]))
        return (example,)

    def gold(self, example: Example) -> Said:
        start = np.argmax(example.answers[self.slot] != IGNORE)
        return certain(int(example.answers[self.places[0]][start]), len(self.labels))

    def loss(self, step: Step) -> Tensor:
        return self.pointing_loss(step)

    def says(self, step: Step) -> list[Said]:
        """[C] each: softmax of the scores of the descriptions."""
        start_M, end_M = (
            step.scores(self.slot, step.asked(slot))[:, column] for column, slot in enumerate(self.places)
        )
        scores_SC = (start_M + end_M).float().reshape(-1, len(self.labels))
        return in_order(step, torch.softmax(scores_SC, dim=-1))

    def probabilities(self, said: Sequence[Said]) -> Said:
        (row,) = said
        return row

    def _described(self, world: World) -> list[Passage]:
        """The descriptions, and a semicolon between each two."""
        found: list[Passage] = []
        for label in self.labels:
            if not len(description := world.spelled(self.descriptions.get(label, label))):
                raise BadInput(f"label {label!r}: its description has no token; write one into `descriptions`")
            found += [description, world.spelled(";")]
        return found[:-1]
