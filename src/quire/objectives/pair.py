"""Do A and B belong together, and in which order? NSP, SOP and StructBERT's three-way task (survey: NSP, SOP).

L = - log p(class | [CLS]),   class 0: B follows A, then one class for each kind of negative in the order of `negatives`
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Example, Passage, World
from quire.core.heads import HeadSpec, SequenceHead
from quire.core.random import Rng
from quire.core.spec import Backbone
from quire.core.visibility import Full
from quire.nn.losses import cross_entropy, token_health
from quire.nn.model import Step
from quire.objectives.base import Objective
from quire.text.packing import truncated

SPECIALS = 3
"""[CLS] and twice [SEP]."""
TRIES = 10
"""How often a random passage is drawn again when it comes from the same document, as in BERT's release."""


class Pair(Objective):
    """With probability `rate` a pair becomes one of the `negatives`, each as often: `random` puts a random passage in
    the place of B, `swapped` lets A and B change places.

    - `[random]`: next sentence prediction (Devlin et al. 2019, BERT, section 3.1). Classes are numbered as in BERT's
      release; the survey's t counts the other way.
    - `[swapped]`: sentence order prediction (Lan et al. 2019, ALBERT, section 3.1).
    - `[swapped, random]`: next, previous or random, 1/3 each (Wang et al. 2020, StructBERT, section 2.3).

    A lone passage gets a random B, labelled as swapped where `random` is no negative: so does ALBERT's release, whose
    task is therefore not quite pure. BERT's release puts the sentences that a random B displaced back into the
    document and builds its data once. Here pairs are built anew in every epoch, so that nothing is lost by not putting
    them back. An example is judged only where [CLS] sees all of it (UniLM asks in its bidirectional part alone).
    """

    negatives: Annotated[tuple[Literal["random", "swapped"], ...], Field(min_length=1, max_length=2)] = ("random",)
    rate: Annotated[float, Field(ge=0, le=1)] | None = None
    """The share of negatives; without it, all classes are as frequent."""

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        if len(set(self.negatives)) < len(self.negatives):
            raise BadInput(f"negatives: {self.negatives[0]!r} stands there twice")
        if backbone.segments < 2:
            raise BadInput(
                f"asks about two segments, but the backbone has {backbone.segments}; set backbone.segments: 2"
            )
        if "random" in self.negatives and world.documents < 2:
            raise BadInput(
                f"negatives: a random B must come from another document, but the corpus has {world.documents}; "
                "separate its documents by blank lines, or take `negatives: [swapped]`"
            )
        return {self.slot: SequenceHead(outputs=1 + len(self.negatives), dropout=0.0, pool=backbone.pool)}

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        if not isinstance(example.sees, Full):
            return example
        if example.answers:
            raise BadInput("objectives: pair may replace what others asked for; list it before them")
        a, b = _segments(example)
        kinds, rate = len(self.negatives), self.rate
        if not len(b):
            drawn = 1 + self.negatives.index("random") if "random" in self.negatives else 1
        elif rng.random() >= (kinds / (kinds + 1) if rate is None else rate):
            return example.label(self.slot, 0)
        else:
            drawn = 1 + int(rng.integers(kinds))
        if len(b) and self.negatives[drawn - 1] == "swapped":
            return Example.of(world.vocab, b, a).label(self.slot, drawn)
        return Example.of(world.vocab, *_with_random(a, len(b), world, rng)).label(self.slot, drawn)

    def loss(self, step: Step) -> Tensor:
        return cross_entropy(step.logits(self.slot), step.answers(self.slot))

    def health(self, step: Step) -> Mapping[str, float]:
        found = token_health(step.logits(self.slot), step.answers(self.slot))
        return {name: found[name] for name in ("accuracy", "top_share") if name in found}  # nats are those of tokens


def _with_random(a: Passage, length: int, world: World, rng: Rng) -> tuple[Passage, Passage]:
    """A and a passage from elsewhere, as long as the true B, so that length tells nothing, or filling the example."""
    if world.passage is None:
        raise ValueError("pair: needs a corpus of documents to draw random passages from")
    limit = world.length - SPECIALS
    room = length or max(limit - len(a), limit // 2)
    for _ in range(TRIES):
        other = world.passage(room, rng)
        if other.document != a.document:
            break
    return truncated(a, other, length=limit, rng=rng)


def _segments(example: Example) -> tuple[Passage, Passage]:
    """The two segments without the special tokens around them."""
    ends = [*np.flatnonzero(example.segments[1:] != example.segments[:-1]).tolist(), len(example) - 1]
    cuts = [slice(1, ends[0]), slice(ends[0] + 1, ends[1]) if len(ends) > 1 else slice(0, 0)]
    a, b = (Passage(example.truth[cut], example.starts[cut], example.document) for cut in cuts)
    return a, b
