"""A bag of tokens: a body without layers. Legend: N positions of all sequences, E = W width."""

from collections.abc import Iterator

from torch import Tensor, nn

from quire.core.spec import Backbone
from quire.nn.attention import Layout
from quire.nn.body import Body


class BagEncoder(Body):
    """The states are the embedded tokens; who pools them does not know their order."""

    def __init__(self, spec: Backbone, *, shares_embeddings: bool = False) -> None:
        super().__init__(spec, shares_embeddings=shares_embeddings)
        self.blocks = nn.ModuleList()

    def layers(self, x_NE: Tensor, layout: Layout) -> Iterator[Tensor]:
        yield x_NE
