"""Translation as supervised pre-training: CoVe (McCann et al. 2017) and the original Transformer (Vaswani et al. 2017).

L = - mean over target tokens of log p(y_t | x, y_1, ..., y_{t-1}), its end among them, with label smoothing

The encoder is what is kept afterwards (survey: CoVe, Transformer完整结构).
"""

from collections.abc import Mapping
from dataclasses import replace

from quire.core.errors import BadInput
from quire.core.example import Example, World
from quire.core.heads import HeadSpec, TokenHead
from quire.core.random import Rng
from quire.core.spec import Backbone
from quire.nn.model import DECODER
from quire.objectives.writes import Writes


class Translate(Writes):
    """A decoder writes the translation that stands beside a text (`data.shape: translation`).

    Source, target and scores share one table of tokens (Vaswani et al. 2017, section 3.4), unless `tied` is false: then
    the scores have one of their own. A linear layer leads to it where it is not as wide as the states.
    """

    head: str = "translate"
    tied: bool = True

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        if not backbone.decoder:
            raise BadInput("a decoder writes, but the backbone has none: set backbone.decoder to its number of layers")
        narrow = backbone.embedding_width != backbone.width
        return {self.head: TokenHead(of=DECODER, transform=False, project=narrow, bias=False, tied=self.tied)}

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        if example.target is None:
            raise BadInput(f"objectives: {self.slot} wants texts with their translations: take data.shape translation")
        if example.target.answers:
            raise BadInput(f"objectives: {self.slot} asks for what another asks a decoder for; take one of them")
        return replace(example, target=replace(example.target, answers={self.slot: example.target.truth}))
