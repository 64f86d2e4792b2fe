"""What a head adds to the body for its own task: attention in a narrow space (Stickland and Murray 2019, "BERT and
PALs", section 3; names as in their code).

beside   in layer l, before its last norm:  GELU(V_D MH_l(V_E x)), x what the layer reads; V_E and V_D are one for all l
above    behind the last layer:             h + V_D A_K(... A_1(V_E h)),  A_k(z) = norm(z + O_k MH_k(z))

Beside a layer MH has no output matrix: V_D joins its heads. Their code has biases, which the paper's counts leave out,
and so do we. V_D begins at 0, so that all begins at the base; their code draws it as every matrix, and above the body
leaves out `h +`.

Legend: N positions, M some of them, W width of the body, A width of the narrow space.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.spec import Backbone, Branch
from quire.nn.attention import Attention, Layout
from quire.nn.norms import norm

if TYPE_CHECKING:
    from quire.nn.transformer import Encoder

BRANCH = "branch"
"""What a head calls its own."""


class Projected(nn.Module):
    """V_E [A, W], V_D [W, A], and attention between them: as many as the body has layers, or as stand above it."""

    def __init__(self, plan: Branch, spec: Backbone) -> None:
        super().__init__()
        narrow = Backbone(
            width=plan.width,
            heads=plan.heads,
            position="none",
            bias=False,
            attention_dropout=spec.attention_dropout,
            norm_eps=spec.norm_eps,
        )
        self.down = nn.Linear(spec.width, plan.width, bias=False)
        self.up = nn.Linear(plan.width, spec.width, bias=False)
        layers = range(plan.above or spec.depth)
        self.attention = nn.ModuleList(Attention(narrow, joins=plan.above > 0) for _ in layers)
        self.norms = nn.ModuleList(norm(narrow, plan.width) for _ in layers[: plan.above])

    def begin(self) -> None:
        """V_D at 0."""
        self.up.weight.zero_()

    def layers(self, body: Encoder, x_NE: Tensor, layout: Layout, at_M: Tensor | None = None) -> Iterator[Tensor]:
        """The states on the way through a body with this: see `Encoder.layers`."""
        if not self.norms:
            yield from body.layers(x_NE, layout, at_M, beside=self)
            return
        *below, h_NW = body.layers(x_NE, layout)
        yield from below
        z_NA = self.down(h_NW)
        for attention, normed in zip(self.attention, self.norms, strict=True):
            z_NA = normed(z_NA + attention(z_NA, layout))
        added_NW = h_NW + self.up(z_NA)
        yield added_NW if at_M is None else added_NW[at_M]

    def forward(self, layer: int, x_NW: Tensor, layout: Layout, at_M: Tensor | None = None) -> Tensor:
        """What it adds beside a layer that reads `x_NW`: [N, W], or [M, W] at the positions `at_M` alone."""
        added: Tensor = F.gelu(self.up(self.attention[layer](self.down(x_NW), layout, at_M)))
        return added
