"""What every body is: embedded tokens and a layout go in, states come out, whatever stands between.

Legend: N positions of all sequences, M some of them, E width of the embeddings, W width.
"""

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from quire.core.spec import Backbone
from quire.nn.attention import Layout
from quire.nn.embeddings import Embeddings


class Body(nn.Module):
    """`blocks` over embeddings: its own, or those of another body whose tables it shares."""

    blocks: nn.ModuleList
    """Its layers, for whoever freezes them or gives them rates of their own."""

    def __init__(
        self, spec: Backbone, *, shares_embeddings: bool = False, tokens: nn.Module | None = None, project: bool = True
    ) -> None:
        """`tokens` stand in for a table of tokens; `project` where tables that are not as wide meet the width first."""
        super().__init__()
        self.spec = spec
        if not shares_embeddings:
            self.embeddings = Embeddings(spec, tokens=tokens)
        leads = project and spec.embedding_width != spec.width
        self.project = nn.Linear(spec.embedding_width, spec.width) if leads else None

    def projected(self, x_NE: Tensor) -> Tensor:
        """Embedded tokens [N, E] -> [N, W]."""
        x_NW: Tensor = x_NE if self.project is None else self.project(x_NE)
        return x_NW

    def forward(self, x_NE: Tensor, layout: Layout, at_M: Tensor | None = None) -> Tensor:
        """Embedded tokens [N, E] -> states [N, W], or [M, W] at the positions `at_M` alone.

        BadInput where an objective hides from a position what the body cannot keep from it.
        """
        layout.check(self.spec)
        states_NW = last(self.layers(x_NE, layout))
        return states_NW if at_M is None else states_NW.index_select(0, at_M)

    @abstractmethod
    def layers(self, x_NE: Tensor, layout: Layout) -> Iterator[Tensor]:
        """The states [N, W] on the way: those of the embedded tokens, then those after each layer, `spec.layers`."""


def last(states: Iterable[Tensor]) -> Tensor:
    """The last of some states; the others are let go one by one."""
    return deque(states, maxlen=1).pop()
