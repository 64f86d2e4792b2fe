"""Does B follow A? BERT's next sentence prediction (Devlin et al. 2019, section 3.1; survey: NSP).

L = - log p(label | [CLS]),   label 0: B follows A, 1: B is a random passage (BERT's numbering; the survey's t
counts the other way)
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Example, Passage, World
from quire.core.random import Rng
from quire.core.spec import Backbone, HeadSpec, SequenceHead
from quire.nn.losses import cross_entropy
from quire.nn.model import Step
from quire.objectives.base import Objective
from quire.text.packing import truncated

SPECIALS = 3
"""[CLS] and twice [SEP]."""
TRIES = 10
"""How often a random passage is drawn again when it comes from the same document, as in BERT's release."""


class Pair(Objective):
    """With probability 1/2 (always when there is no B) the second segment becomes a random passage.

    BERT's release puts the sentences that a random B displaced back into the document and builds its data once.
    Here pairs are built anew in every epoch, so that nothing is lost by not putting them back.
    """

    negatives: tuple[Literal["random"]] = ("random",)
    rate: Annotated[float, Field(ge=0, le=1)] = 0.5

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        if example.answers:
            raise BadInput("objectives: pair may replace what others asked for; list it before them")
        a, b = _segments(example)
        if len(b) and rng.random() >= self.rate:
            return example.label(self.slot, 0)
        if world.passage is None:
            raise ValueError("pair: needs a corpus of documents to draw random passages from")
        limit = world.length - SPECIALS
        room = len(b) or max(limit - len(a), limit // 2)  # as long as the true B, so that length tells nothing
        for _ in range(TRIES):
            other = world.passage(room, rng)
            if other.document != example.document:
                break
        a, other = truncated(a, other, length=limit, rng=rng)
        return Example.of(world.vocab, a, other).label(self.slot, 1)

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec]:
        return {self.slot: SequenceHead(outputs=2, dropout=0.0)}

    def loss(self, step: Step) -> Tensor:
        return cross_entropy(step.logits(self.slot), step.answers(self.slot))


def _segments(example: Example) -> tuple[Passage, Passage]:
    """The two segments without the special tokens around them."""
    ends = np.flatnonzero(np.diff(example.segments, append=example.segments[-1] + 1))
    cuts = [slice(1, ends[0]), slice(ends[0] + 1, ends[1]) if len(ends) > 1 else slice(0, 0)]
    a, b = (Passage(example.truth[cut], example.starts[cut], example.document) for cut in cuts)
    return a, b
