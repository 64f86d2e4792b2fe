"""Classes as texts: a text and the description of a class match or do not (survey: Text Classification as Text
Matching; Sun et al. 2019, "Utilizing BERT for ABSA via Constructing Auxiliary Sentence", section 3).

cross   C blocks [CLS] text [SEP] description of c [SEP]
        p(yes | c) = softmax(head(block))[yes]
bi      a block [CLS] text [SEP] and C blocks [CLS] description of c [SEP]
        p(yes | c) = softmax(W [u; v_c; |u - v_c|])[yes], u and v_c the means of their states (Reimers & Gurevych 2019)

L = - mean over pairs of log p(yes | c) where c is the class, else of log p(no | c)
p(c) = p(yes | c) / sum over classes of p(yes | c); the answer is the largest, and no threshold is asked

Blocks stand apart, so that a text with all its descriptions is one example, and a batch holds as many texts as one of
`classify`. It costs C times what `classify` costs (cross), or the text and each description once (bi). With `negatives`
so many wrong classes of each text are learnt from, drawn anew whenever the text is. Of a pair of texts both stand where
the one would; the pair itself is matched by `classify` (cross) and `siamese` (bi).

Legend: S sequences, B blocks, K of them that are descriptions, C classes, W width.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from quire.core.answers import Answer, Item
from quire.core.errors import BadInput
from quire.core.example import IGNORE, Example, Passage, World
from quire.core.heads import HeadSpec, SequenceHead, SiameseHead
from quire.core.random import Rng
from quire.core.spec import Backbone, Pool, Rate, Size
from quire.nn.losses import cross_entropy
from quire.nn.model import Step
from quire.paradigms.base import Labelling, Said, in_order
from quire.paradigms.words import called, spelled

YES = 1


class Match(Labelling):
    """One label for a text: that whose description matches best."""

    descriptions: Mapping[str, str] = {}
    """What a label is, by its name; without any, the names in words."""
    by: Literal["cross", "bi"] = "cross"
    """Whether text and description see each other, or each is a vector by itself."""
    negatives: Size | None = None
    """Wrong labels of a text that are learnt from at a time; all where None."""
    pool: Pool | Literal["auto"] = "auto"
    """What is made of a block's states: by default the body's choice, and of a bi-encoder the mean."""
    dropout: Rate = 0.1
    """Of the head of a cross-encoder."""

    @model_validator(mode="after")
    def _of_labels(self) -> Self:
        called(self.labels, self.descriptions)
        return self

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        longest = max(map(len, self._described(world)))
        if self._room(longest, texts=1, world=world) < longest:
            raise BadInput(
                f"descriptions: the longest has {longest} of {world.length} tokens and leaves less for a text; "
                "shorten it or raise the length"
            )
        pool = self.pool
        if self.by == "bi":
            return {self.slot: SiameseHead(outputs=2, pool="mean" if pool == "auto" else pool)}
        pool = backbone.pool if pool == "auto" else pool
        return {self.slot: SequenceHead(outputs=2, dropout=self.dropout, pool=pool)}

    def room(self, item: Item, world: World) -> int:
        """Tokens of the texts beside the longest description."""
        return self._room(max(map(len, self._described(world))), texts=len(item.passages), world=world)

    def _room(self, longest: int, *, texts: int, world: World) -> int:
        return world.length - 1 - texts - (longest + 1 if self.by == "cross" else 0)

    def format(self, item: Item, answer: Answer | None, world: World) -> tuple[Example]:
        vocab, described = world.vocab, self._described(world)
        begin: list[tuple[Passage | int, int]] = [(vocab.cls, 0)] if vocab.begins else []
        texts = [part for passage in item.passages for part in ((passage, 0), (vocab.sep, 0))]
        if self.by == "cross":
            pairs = [Example.laid(vocab, *begin, *texts, (label, 1), (vocab.sep, 1)) for label in described]
        else:
            pairs = [Example.laid(vocab, *begin, *texts), *(Example.of(vocab, label) for label in described)]
        example = Example.apart(*pairs)
        if answer is None:
            return (example,)
        first = np.cumsum([0, *map(len, pairs[:-1])])[-len(described) :]
        where = np.isin(np.arange(len(example)), first)
        return (example.label(self.slot, np.array([label == answer for label in self.labels], dtype=int), at=where),)

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        """Leave out the blocks of all wrong labels but `negatives` of them."""
        asked = example.answers.get(self.slot)
        if self.negatives is None or asked is None or example.positions is None:
            return example
        wrong = np.flatnonzero(asked[example.positions == 0] == 1 - YES)
        kept = np.ones(int((example.positions == 0).sum()), dtype=bool)
        kept[rng.permutation(wrong)[self.negatives :]] = False
        return example.keeping(kept)

    def gold(self, example: Example) -> Said:
        answers = example.answers[self.slot]
        return np.where(answers[answers != IGNORE] == YES, np.float32(0), np.float32(-np.inf))

    def loss(self, step: Step) -> Tensor:
        return cross_entropy(self._scores(step, step.asked(self.slot)), step.answers(self.slot))

    def says(self, step: Step) -> list[Said]:
        """[C] each: log p(yes)."""
        at_B, _ = step.batch.blocks
        at_K = at_B if self.by == "cross" else at_B[~torch.isin(at_B, step.batch.first)]
        yes_K = torch.log_softmax(self._scores(step, at_K).float(), dim=-1)[:, YES]
        return in_order(step, yes_K.reshape(-1, len(self.labels)))

    def probabilities(self, said: Sequence[Said]) -> Said:
        (row,) = said
        yes = np.exp(row - row.max())
        shares: Said = yes / yes.sum()
        return shares

    def _scores(self, step: Step, at_K: Tensor) -> Tensor:
        """No and yes [K, 2] of the descriptions whose blocks begin at these positions."""
        if self.by == "cross":
            return step.scores(self.slot, at_K)
        of_K = torch.searchsorted(step.batch.first, at_K, right=True) - 1
        u_SW, v_KW = (step.vectors(self.slot, at) for at in (step.batch.first, at_K))
        scores_K2: Tensor = step.model.heads[self.slot](u_SW[of_K], v_KW)
        return scores_K2

    def _described(self, world: World) -> list[Passage]:
        return spelled(self.labels, called(self.labels, self.descriptions), world)
