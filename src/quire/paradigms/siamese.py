"""Two texts, each a vector by itself, and what they are to each other: y = argmax softmax(W [u; v; |u - v|]) (survey:
Matching; Reimers & Gurevych 2019, Sentence-BERT, section 3).

The cross-encoder, where the two texts see each other, is `classify`.

Legend: S sequences, K of them, C labels, W width.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from quire.core.answers import Answer, Item
from quire.core.errors import BadInput
from quire.core.example import Example, World
from quire.core.heads import HeadSpec, SiameseHead
from quire.core.spec import Backbone, Pool
from quire.nn.losses import cross_entropy
from quire.nn.model import Step
from quire.paradigms.base import Labelling, Said, certain, in_order


class Siamese(Labelling):
    """One label for a pair of texts, which meet in their vectors alone."""

    pool: Pool = "mean"

    def format(self, item: Item, answer: Answer | None, world: World) -> tuple[Example]:
        if len(item.passages) != 2:
            raise BadInput(f"siamese: compares two texts, and here is {len(item.passages)}; take classify or match")
        example = Example.apart(*(Example.of(world.vocab, passage) for passage in item.passages))
        return (example if answer is None else example.label(self.slot, self.labels.index(str(answer))),)

    def gold(self, example: Example) -> Said:
        return certain(int(example.answers[self.slot][0]), len(self.labels))

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        return {self.slot: SiameseHead(outputs=len(self.labels), pool=self.pool)}

    def loss(self, step: Step) -> Tensor:
        return cross_entropy(self._scores(step, step.asked(self.slot)), step.answers(self.slot))

    def says(self, step: Step) -> list[Said]:
        """[C] each: softmax of the scores."""
        return in_order(step, torch.softmax(self._scores(step, step.batch.first).float(), dim=-1))

    def probabilities(self, said: Sequence[Said]) -> Said:
        (row,) = said
        return row

    def _scores(self, step: Step, at_K: Tensor) -> Tensor:
        """[K, C] of the sequences that begin at these positions."""
        at_B, _ = step.batch.blocks
        second_K = at_B[torch.searchsorted(at_B, at_K) + 1]
        pair = [step.vectors(self.slot, at) for at in (at_K, second_K)]
        scores_KC: Tensor = step.model.heads[self.slot](*pair)
        return scores_KC
