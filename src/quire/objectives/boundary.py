"""The span boundary objective: a hidden span is told from the two tokens beside it (Joshi et al. 2020, SpanBERT).

L = - mean over asked i of log p(x_i | f(h_{s-1}, h_{e+1}, p_{i-s})), s and e the ends of the hidden span around i
(section 3.2)

Legend: N positions of all sequences, M asked positions, K edges of spans, V vocabulary.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import IGNORE, Example, World
from quire.core.heads import BoundaryHead, HeadSpec
from quire.core.random import Rng
from quire.core.spec import Backbone, Size
from quire.nn.heads import BoundaryScores
from quire.nn.lazy import LazyScores
from quire.nn.losses import cross_entropy, token_health
from quire.nn.model import Step
from quire.objectives.base import Objective


class Boundary(Objective):
    """Asks once more for the spans that another objective has hidden; it damages and claims nothing.

    As in facebookresearch/SpanBERT with `--endpoints external`: hidden spans that touch are one, a span beside the
    first or the last token of a text has no boundary there and is left out, and of a long one the first `longest`
    tokens are asked. Their loss divides by the count plus one, here it is the mean. The paper numbers places from 1.
    """

    of: str = "mlm"
    """The slot whose spans are asked for."""
    longest: Size = 20
    place_width: Size = 200

    @property
    def edges(self) -> str:
        """The slot that marks the tokens beside the spans, so that their states are computed."""
        return f"{self.slot}_edges"

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        return {self.slot: BoundaryHead(longest=self.longest, place_width=self.place_width)}

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        if self.of not in example.answers:
            raise BadInput(
                f"objectives: {self.slot} asks about the spans of {self.of!r}, which has hidden none yet; "
                f"list it after {self.of}, or name another slot in `of`"
            )
        hidden, text = np.zeros((2, len(example) + 2), dtype=bool)  # one place more on either side
        hidden[1:-1] = example.answers[self.of] != IGNORE
        text[1:-1] = ~world.vocab.reserved[example.truth]
        turns = np.flatnonzero(hidden[1:] != hidden[:-1])
        begin, end = turns[::2], turns[1::2]  # end: the position after the span
        bounded = text[begin] & text[end + 1]
        begin, end = begin[bounded], end[bounded]
        step = np.zeros(len(example) + 1, dtype=np.int64)
        step[begin], step[np.minimum(end, begin + self.longest)] = 1, -1
        asked, edges = step.cumsum()[:-1] > 0, np.zeros(len(example), dtype=bool)
        edges[begin - 1] = edges[end] = True
        labelled = example.label(self.slot, example.truth[asked], at=asked)
        return labelled.label(self.edges, example.truth[edges], at=edges)

    def loss(self, step: Step) -> Tensor:
        return cross_entropy(self.scores(step), step.answers(self.slot))

    def health(self, step: Step) -> Mapping[str, float]:
        return token_health(self.scores(step).scores(), step.answers(self.slot))

    def scores(self, step: Step) -> LazyScores:
        """[M, V]: the nearest edges on either side of an asked token are those of its span."""
        at_M, edges_K = step.asked(self.slot), step.asked(self.edges)
        right_M = torch.searchsorted(edges_K, at_M)
        left, right = edges_K[right_M - 1], edges_K[right_M]
        head = step.model.heads[self.slot]
        assert isinstance(head, BoundaryScores)
        return head.lazily(step.states(left), step.states(right), at_M - left - 1, step.table)
