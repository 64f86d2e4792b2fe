"""Language modelling: GPT, GPT-2 (survey: LM, GPT).

L = - mean over tokens of log p(x_t | x_1, ..., x_{t-1})
"""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Example, World
from quire.core.heads import HeadSpec, TokenHead
from quire.core.random import Rng
from quire.core.spec import Backbone
from quire.core.visibility import Causal
from quire.nn.losses import cross_entropy, token_health
from quire.nn.model import Step
from quire.objectives.base import Objective


class Lm(Objective):
    """Every token is told from those before it (Radford et al. 2018, section 3.1; the survey's L_LM).

    The first special token, [CLS], is what the first token is told from. The state of the last one knows the whole
    text: a classifier may stand there (GPT's fine-tuning, with `weight: 0.5`).
    """

    head: str = "lm"
    bias: bool = False
    """Whether each token has a bias in its score; GPT's have none."""
    end: bool = True
    """Whether [SEP] behind the text is asked for: how a model learns to stop. Not of blocks, which end anywhere."""

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        if not backbone.keeps(Causal()):
            raise BadInput(
                f"every token is told from those before it alone, but in this backbone {backbone.tells}; take a "
                "Transformer whose positions are not relative, or an LSTM with `directions: forward`"
            )
        narrow = backbone.embedding_width != backbone.width
        return {self.head: TokenHead(transform=False, project=narrow, bias=self.bias)}

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        if example.answers:
            raise BadInput(f"objectives: {self.slot} tells the tokens that others ask for; list it first, or alone")
        where = example.free
        if self.end:
            where = where | (np.arange(len(example)) == len(example) - 1)
        return example.foretell(self.slot, where)

    def loss(self, step: Step) -> Tensor:
        return cross_entropy(step.lazy(self.slot, head=self.head), step.answers(self.slot))

    def health(self, step: Step) -> Mapping[str, float]:
        return token_health(step.logits(self.slot, head=self.head), step.answers(self.slot))
