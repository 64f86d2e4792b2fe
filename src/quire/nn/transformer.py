"""The Transformer, packed: encoder, and decoder where the backbone has one.

Legend: N positions of all sequences, M some of them, T positions of what decoders write, W width, E width of the
embeddings, F inner width.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from quire.core.spec import Backbone
from quire.nn.activations import activate
from quire.nn.adapters import build_adapter
from quire.nn.attention import Attention, Layout
from quire.nn.body import Body, last
from quire.nn.buckets import DistanceBias
from quire.nn.crossing import CrossAttention, Source
from quire.nn.dropout import Dropout
from quire.nn.embeddings import Embeddings
from quire.nn.norms import norm
from quire.nn.projected import Projected
from quire.nn.prompt import Prompt
from quire.nn.relative import RelativeAttention


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
    """Attention, then feed-forward, each with dropout and residual; norms after the sums, or before each layer.

    A decoder's block looks at a source between the two.
    """

    def __init__(self, spec: Backbone, *, number: int = 0, crosses: bool = False) -> None:
        super().__init__()
        self.norm_first = spec.norm_first
        # A shared first block serves later layers too, and a projection takes the norm away again.
        alone, whole = spec.groups in (None, spec.depth), spec.embedding_width == spec.width
        normed_already = spec.norm_first and spec.embedding_norm and number == 0 and alone and whole
        self.attention = build_attention(spec)
        self.attention_norm = nn.Identity() if normed_already else norm(spec, spec.width)
        self.cross = CrossAttention(spec) if crosses else None
        self.cross_norm = norm(spec, spec.width) if crosses else None
        self.ffn = FeedForward(spec)
        self.ffn_norm = norm(spec, spec.width)
        self.attention_adapter = build_adapter(spec, after="attention")
        self.ffn_adapter = build_adapter(spec, after="ffn")
        self.dropout = Dropout(spec.dropout)

    def forward(
        self,
        x_NW: Tensor,
        layout: Layout,
        at_M: Tensor | None = None,
        *,
        source: Source | None = None,
        beside: Tensor | None = None,
    ) -> Tensor:
        """States [N, W], or [M, W] for the positions `at_M` alone: the others are seen, but not computed.

        What comes from `beside` the layer, as many rows, is added to its last sum.
        """
        x = x_NW if at_M is None else x_NW.index_select(0, at_M)
        attended = self.attention(self.before(x_NW), layout, at_M)
        if self.cross is None:
            return self.fed(self.summed(x, attended), beside)
        assert source is not None
        x = self.summed(x, attended)
        return self.fed(self.crossed(x, self.cross(self.before_cross(x), source)))

    def before(self, x_NW: Tensor) -> Tensor:
        """What attention looks at."""
        seen: Tensor = self.attention_norm(x_NW) if self.norm_first else x_NW
        return seen

    def after(self, x_MW: Tensor, attended_MW: Tensor) -> Tensor:
        """States that go on from `x_MW` and what attention brought to them."""
        return self.fed(self.summed(x_MW, attended_MW))

    def summed(self, x_MW: Tensor, attended_MW: Tensor) -> Tensor:
        """`x_MW` and what attention brought to it."""
        x = x_MW + self.attention_adapter(self.dropout(attended_MW), x_MW, self.attention_norm)
        summed: Tensor = x if self.norm_first else self.attention_norm(x)
        return summed

    def before_cross(self, x_TW: Tensor) -> Tensor:
        """What asks the source."""
        assert self.cross_norm is not None
        asking: Tensor = self.cross_norm(x_TW) if self.norm_first else x_TW
        return asking

    def crossed(self, x_TW: Tensor, brought_TW: Tensor) -> Tensor:
        """`x_TW` and what it brought from the source."""
        assert self.cross_norm is not None
        x = x_TW + self.dropout(brought_TW)
        summed: Tensor = x if self.norm_first else self.cross_norm(x)
        return summed

    def fed(self, x_MW: Tensor, beside_MW: Tensor | None = None) -> Tensor:
        """`x_MW` and what the feed-forward layer makes of it, and what comes from beside the layer."""
        brought_MW = self.dropout(self.ffn(self.ffn_norm(x_MW) if self.norm_first else x_MW))
        x = x_MW + self.ffn_adapter(brought_MW, x_MW, self.ffn_norm)
        x = x if beside_MW is None else x + beside_MW
        fed: Tensor = x if self.norm_first else self.ffn_norm(x)
        return fed


class Encoder(Body):
    """`depth` layers over embeddings: its own, or those of another body whose tables it shares.

    Under a causal visibility it is what is called a decoder (GPT). `decoder` is what looks at its states, if any.
    """

    def __init__(self, spec: Backbone, *, shares_embeddings: bool = False) -> None:
        super().__init__(spec, shares_embeddings=shares_embeddings)
        self.distances = DistanceBias(spec, two_sided=True) if spec.bucketed else None
        self.blocks = nn.ModuleList(Block(spec, number=i) for i in range(spec.groups or spec.depth))
        self.norm = norm(spec, spec.width) if spec.norm_first else nn.Identity()
        self.decoder = Decoder(spec, depth=spec.decoder) if spec.decoder else None
        self.prompt = Prompt(spec) if spec.prompt else None

    def forward(self, x_NE: Tensor, layout: Layout, at_M: Tensor | None = None) -> Tensor:
        """Nobody looks at the other positions of the last layer: they are not computed."""
        return last(self.layers(x_NE, layout, at_M))

    def layers(
        self, x_NE: Tensor, layout: Layout, at_M: Tensor | None = None, *, beside: Projected | None = None
    ) -> Iterator[Tensor]:
        """As of every body; with `at_M` the last ones are [M, W]. What is `beside` sees whom the layer sees."""
        if self.prompt is None:
            yield from self._read(x_NE, layout, at_M, beside)
            return
        x_KE, longer, own_N = self.prompt.before(x_NE, layout)
        for i, states in enumerate(self._read(x_KE, longer, own_N if at_M is None else own_N[at_M], beside)):
            yield states if i == self.spec.depth else states[own_N]

    def _read(self, x_NE: Tensor, layout: Layout, at_M: Tensor | None, beside: Projected | None) -> Iterator[Tensor]:
        """The same of all that is read, a prompt included."""
        x = self.projected(x_NE)
        yield x
        plain, top = layout, self.spec.depth - 1
        if self.distances is not None:
            layout = self.distances.biased(layout)
        for i in range(self.spec.depth):
            at = at_M if i == top else None
            added = None if beside is None else beside(i, x, self.seen(i, plain), at)
            x = self.block(i)(x, self.seen(i, layout), at, beside=added)
            yield self.norm(x) if i == top else x

    def seen(self, layer: int, layout: Layout) -> Layout:
        """What a layer sees: all, or a window."""
        return layout.within(self.spec.window or 0) if self.spec.sees_locally(layer) else layout

    def block(self, layer: int) -> nn.Module:
        """The block of a layer: each has its own, or neighbours share one (ALBERT)."""
        return self.blocks[layer * len(self.blocks) // self.spec.depth]


class Decoder(nn.Module):
    """Layers that look at what was written before, and at a source; tokens come from the encoder's table."""

    def __init__(self, spec: Backbone, *, depth: int) -> None:
        super().__init__()
        self.embeddings = Embeddings(spec.model_copy(update={"segments": 0}), shares_tokens=True)
        self.project = nn.Linear(spec.embedding_width, spec.width) if spec.embedding_width != spec.width else None
        self.distances = DistanceBias(spec, two_sided=False) if spec.bucketed else None
        self.blocks = nn.ModuleList(Block(spec, number=i, crosses=True) for i in range(depth))
        self.norm = norm(spec, spec.width) if spec.norm_first else nn.Identity()

    def forward(self, x_TE: Tensor, layout: Layout, at_M: Tensor | None, source: Source) -> Tensor:
        """Embedded tokens [T, E] -> states [T, W], or [M, W] at the positions `at_M`."""
        x = x_TE if self.project is None else self.project(x_TE)
        if self.distances is not None:
            layout = self.distances.biased(layout)
        for block in self.blocks:
            x = block(x, layout, source=source)
        states: Tensor = self.norm(x if at_M is None else x.index_select(0, at_M))
        return states
