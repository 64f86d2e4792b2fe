"""Masked language modelling: BERT, RoBERTa, whole words, spans, n-grams, StructBERT's word order (survey: MLM).

L = - mean over asked positions of log p(truth | damaged sequence)
"""

from collections.abc import Mapping

from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Example, World
from quire.core.heads import HeadSpec, TokenHead
from quire.core.random import Rng
from quire.core.spec import Backbone
from quire.core.visibility import Permuted
from quire.nn.losses import cross_entropy, token_health
from quire.nn.model import Step
from quire.noise.rewrite import InPlace, Mask
from quire.noise.select import Exact, Select
from quire.objectives.base import Objective


class Mlm(Objective):
    """Choose tokens, show something else, ask for the truth (Devlin et al. 2019, BERT, section 3.1).

    StructBERT's word order is a second one with its own `slot` that shares the first one's `head`.
    """

    select: Select = Exact()
    rewrite: InPlace = Mask()
    head: str = "mlm"
    transform: bool = True
    """Whether the head has a dense layer of its own before the decoder."""

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        room = world.length - 2
        if (longest := self.select.longest_run) > room:
            raise BadInput(
                f"select.{self.select.name()} chooses up to {longest} neighbours, but a text has {room} tokens at most "
                "between its first and its last special one; choose shorter ones, or raise data.length"
            )
        return {self.head: TokenHead(transform=self.transform)}

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        if isinstance(example.sees, Permuted) and not example.free.any():
            raise BadInput(f"objectives: plm has taken every token, none is left for {self.slot}; take one of them")
        where = self.select.choose(example.free, example.starts, rng)
        return example.ask(self.slot, where, self.rewrite.apply(example.tokens, where, world.vocab, rng))

    def loss(self, step: Step) -> Tensor:
        return cross_entropy(step.lazy(self.slot, head=self.head), step.answers(self.slot))

    def health(self, step: Step) -> Mapping[str, float]:
        return token_health(step.logits(self.slot, head=self.head), step.answers(self.slot))
