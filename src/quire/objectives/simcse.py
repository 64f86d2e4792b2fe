"""A sentence finds itself under another dropout: unsupervised SimCSE (Gao et al. 2021, section 3; survey: contrastive).

L = - mean over i of log exp(cos(h_i, h'_i) / t) / sum over j of exp(cos(h_i, h'_j) / t)

h and h' are the head's vectors of two passes of the same batch, which differ in their dropout alone.

Legend: K sentences, W width.
"""

from collections.abc import Mapping
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Example, World
from quire.core.heads import HeadSpec, VectorHead
from quire.core.random import Rng
from quire.core.spec import Backbone
from quire.nn.losses import info_nce, match_health
from quire.nn.model import Step
from quire.objectives.base import Objective


class Simcse(Objective):
    """Negatives are the batch's other sentences; the first state goes through tanh(dense(x)).

    The head is for training: who wants sentence vectors takes the first state itself, as the release does
    (princeton-nlp/SimCSE, --mlp_only_train). In evaluation both passes are the same, so that the loss then only tells
    how far apart sentences stand. With `accumulate` only the sentences of the micro-batch are negatives.
    """

    temperature: Annotated[float, Field(gt=0)] = 0.05

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        if not (backbone.dropout or backbone.attention_dropout):
            raise BadInput("two passes without dropout are equal and teach nothing; set backbone.dropout to 0.1")
        return {self.slot: VectorHead(dense=True, pool=backbone.pool)}

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        return example.label(self.slot, 0)  # takes part

    def loss(self, step: Step) -> Tensor:
        return info_nce(*self.views(step), temperature=self.temperature)

    def health(self, step: Step) -> Mapping[str, float]:
        """`accuracy`: how often a sentence finds itself; `cosine` of two sentences, 1 for a constant encoder.

        Both with dropout, whatever the mode of the model is: without it the first is always 1.
        """
        if not len(step.asked(self.slot)):
            return {}
        was = step.model.training
        step.model.train()
        one_KW, two_KW = self.views(step.view(step.batch))
        step.model.train(was)
        return match_health(one_KW, two_KW)

    def views(self, step: Step) -> tuple[Tensor, Tensor]:
        """The vectors [K, W] of this pass and of another, of length 1."""
        at_K = step.asked(self.slot)
        again = step.view(step.batch.showing(step.batch.tokens))
        one_KW, two_KW = (F.normalize(view.scores(self.slot, at_K).float(), dim=-1) for view in (step, again))
        return one_KW, two_KW
