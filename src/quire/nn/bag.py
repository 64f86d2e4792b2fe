"""A bag of tokens: a body without layers. Legend: N positions of all sequences, M some of them, W width."""

from torch import Tensor, nn

from quire.core.bodies import Bag
from quire.nn.attention import Layout
from quire.nn.embeddings import Embeddings


class BagEncoder(nn.Module):
    """The states are the embedded tokens: its own, or those of another body whose tables it shares."""

    def __init__(self, spec: Bag, *, shares_embeddings: bool = False) -> None:
        super().__init__()
        self.spec = spec
        if not shares_embeddings:
            self.embeddings = Embeddings(spec)

    def forward(self, x_NW: Tensor, layout: Layout, at_M: Tensor | None = None) -> Tensor:
        """Embedded tokens [N, W] -> the same [N, W], or [M, W] at the positions `at_M` alone."""
        return x_NW if at_M is None else x_NW[at_M]
