"""The Transformer encoder, packed.

Legend: N positions of all sequences, M some of them, W width, E width of the embeddings, F inner width.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.spec import Backbone
from quire.nn.attention import Attention, Layout
from quire.nn.embeddings import Embeddings
from quire.nn.norms import norm
from quire.nn.relative import RelativeAttention


def activate(name: str, x: Tensor) -> Tensor:
    """GELU with erf (Hendrycks and Gimpel 2016), its tanh form (Google's BERT, GPT), ReLU, or SiLU."""
    match name:
        case "relu":
            return F.relu(x)
        case "silu":
            return F.silu(x)
        case _:
            return F.gelu(x, approximate="tanh" if name == "gelu_tanh" else "none")


class FeedForward(nn.Module):
    """down(activation(up(x))), position by position; gated: down(activation(gate(x)) * up(x)) (Shazeer 2020)."""

    def __init__(self, spec: Backbone) -> None:
        super().__init__()
        self.gated, self.activation = spec.gated, spec.activation
        self.up = nn.Linear(spec.width, spec.ffn * (2 if spec.gated else 1), bias=spec.bias)  # gate, then up
        self.down = nn.Linear(spec.ffn, spec.width, bias=spec.bias)

    def forward(self, x_NW: Tensor) -> Tensor:
        inner_NF = self.up(x_NW)
        if self.gated:
            gate_NF, inner_NF = inner_NF.chunk(2, dim=-1)
            inner_NF = activate(self.activation, gate_NF) * inner_NF
        else:
            inner_NF = activate(self.activation, inner_NF)
        outer: Tensor = self.down(inner_NF)
        return outer


def build_attention(spec: Backbone) -> nn.Module:
    """The attention of one block, called with states [N, W], a layout, and the positions [M] asked for, or None."""
    if spec.position == "relative":
        return RelativeAttention(spec)
    return Attention(spec)


class Block(nn.Module):
    """Attention, then feed-forward, each with dropout and residual; norms after the sums, or before each layer."""

    def __init__(self, spec: Backbone, *, number: int = 0) -> None:
        super().__init__()
        self.norm_first = spec.norm_first
        # A shared first block serves later layers too, and a projection takes the norm away again.
        alone, whole = spec.groups in (None, spec.depth), spec.embedding_width == spec.width
        normed_already = spec.norm_first and spec.embedding_norm and number == 0 and alone and whole
        self.attention = build_attention(spec)
        self.attention_norm = nn.Identity() if normed_already else norm(spec, spec.width)
        self.ffn = FeedForward(spec)
        self.ffn_norm = norm(spec, spec.width)
        self.dropout = nn.Dropout(spec.dropout)

    def forward(self, x_NW: Tensor, layout: Layout, at_M: Tensor | None = None) -> Tensor:
        """States [N, W], or [M, W] for the positions `at_M` alone: the others are seen, but not computed."""
        x = x_NW if at_M is None else x_NW[at_M]
        return self.after(x, self.attention(self.before(x_NW), layout, at_M))

    def before(self, x_NW: Tensor) -> Tensor:
        """What attention looks at."""
        seen: Tensor = self.attention_norm(x_NW) if self.norm_first else x_NW
        return seen

    def after(self, x_MW: Tensor, attended_MW: Tensor) -> Tensor:
        """States that go on from `x_MW` and what attention brought to them."""
        x = x_MW + self.dropout(attended_MW)
        if self.norm_first:
            summed: Tensor = x + self.dropout(self.ffn(self.ffn_norm(x)))
            return summed
        x = self.attention_norm(x)
        normed: Tensor = self.ffn_norm(x + self.dropout(self.ffn(x)))
        return normed


class Encoder(nn.Module):
    """`depth` layers over embeddings: its own, or those of another body whose tables it shares."""

    def __init__(self, spec: Backbone, *, shares_embeddings: bool = False) -> None:
        super().__init__()
        self.spec = spec
        if not shares_embeddings:
            self.embeddings = Embeddings(spec)
        self.project = nn.Linear(spec.embedding_width, spec.width) if spec.embedding_width != spec.width else None
        self.blocks = nn.ModuleList(Block(spec, number=i) for i in range(spec.groups or spec.depth))
        self.norm = norm(spec, spec.width) if spec.norm_first else nn.Identity()

    def forward(self, x_NE: Tensor, layout: Layout, at_M: Tensor | None = None) -> Tensor:
        """Embedded tokens [N, E] -> states [N, W], or [M, W] for the positions `at_M` alone."""
        x = x_NE if self.project is None else self.project(x_NE)
        for i in range(self.spec.depth):
            seen = layout.within(self.spec.window or 0) if self.spec.sees_locally(i) else layout
            # Nobody looks at the other positions of the last layer.
            x = self.block(i)(x, seen, at_M if i == self.spec.depth - 1 else None)
        states: Tensor = self.norm(x)
        return states

    def block(self, layer: int) -> nn.Module:
        """The block of a layer: each has its own, or neighbours share one (ALBERT)."""
        return self.blocks[layer * len(self.blocks) // self.spec.depth]
