"""Kinds of bodies beside the Transformer, as data: `kind` in a recipe's backbone."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from quire.core.config import Settings
from quire.core.spec import Backbone, Count, Depth, Pool, Rate, Size
from quire.core.visibility import Causal, Full, Visibility


class Star(Backbone):
    """A Star-Transformer: neighbours see each other, and all meet in a relay (Guo et al. 2019; `quire.nn.star`).

    What only a Transformer has is refused: layers without a feed-forward part need no `ffn`, and so on.
    """

    called: ClassVar[str] = "a Star-Transformer"
    tells: ClassVar[str] = "everyone sees everyone through the relay"
    meaningless: ClassVar[frozenset[str]] = frozenset(
        {
            "adapters",
            "branch",
            "prefix",
            "prompt",
            "decoder",
            "head_width",
            "buckets",
            "furthest",
            "ffn",
            "groups",
            "gated",
            "norm_first",
            "rotary_base",
            "score",
        }
        | {"window", "global_every", "rotary_base_local", "attention_dropout", "adapters"}
    )
    kind: Literal["star"] = "star"
    position: Literal["learned", "sinusoidal", "none"] = "none"
    """None is needed, for the neighbours tell the order."""
    embedding_norm: bool = False
    norm_eps: float = 1e-6
    ring: bool = False
    """The last token is the first one's neighbour, as in the paper; without it the chain is open, as in its code."""

    def keeps(self, sees: Visibility) -> bool:
        return isinstance(sees, Full)


class Bag(Backbone):
    """No layers: the states are the embedded tokens, and their order is lost on whoever adds them up (`quire.nn.bag`).

    What layers, positions or segments need is refused.
    """

    called: ClassVar[str] = "a bag of tokens"
    pool: ClassVar[Pool] = "mean"
    meaningless: ClassVar[frozenset[str]] = frozenset(
        {
            "adapters",
            "branch",
            "prefix",
            "prompt",
            "decoder",
            "depth",
            "heads",
            "head_width",
            "ffn",
            "segments",
            "languages",
            "embedding",
            "groups",
            "gated",
        }
        | {"norm_first", "embedding_norm", "position", "buckets", "furthest", "rotary_base", "score", "window"}
        | {"global_every", "rotary_base_local", "attention_dropout", "adapters"}
    )
    kind: Literal["bag"] = "bag"
    depth: Count = 0
    heads: Size = 1
    segments: Count = 0
    embedding_norm: bool = False
    position: Literal["none"] = "none"
    dropout: Rate = 0.0


class Bottleneck(Backbone):
    """A Transformer whose layers are narrower than the states between them (Sun et al. 2020; `quire.nn.bottleneck`).

    The defaults are MobileBERT's (table 1). What else a Transformer can have is refused.
    """

    called: ClassVar[str] = "a Transformer with bottlenecks"
    tells: ClassVar[str] = "a token is embedded with its neighbours on either side"
    meaningless: ClassVar[frozenset[str]] = frozenset(
        {
            "adapters",
            "branch",
            "prefix",
            "prompt",
            "decoder",
            "head_width",
            "languages",
            "groups",
            "gated",
            "norm_first",
            "buckets",
            "furthest",
            "rotary_base",
        }
        | {"scale_embedding", "score", "window", "global_every", "rotary_base_local", "adapters"}
    )
    kind: Literal["bottleneck"] = "bottleneck"
    depth: Depth = 24
    width: Size = 512
    heads: Size = 4
    ffn: Size = 512
    embedding: Size | None = 128
    activation: Literal["gelu", "gelu_tanh", "relu", "silu"] = "relu"
    norm: Literal["layer", "rms", "affine"] = "affine"
    position: Literal["learned", "sinusoidal", "none"] = "learned"
    dropout: Rate = 0.0
    bottleneck: Size = 128
    """The width within a layer."""
    feeds: Annotated[int, Field(gt=0, le=16)] = 4
    """Feed-forward networks of a layer, one after the other."""
    trigrams: bool = True
    """A token is embedded from its own row of the table and those of its two neighbours."""
    apart: bool = True
    """Queries and keys have a bottleneck of their own, and values come from the wide states; without it, attention
    sees nothing but the layer's bottleneck (MobileBERT-tiny)."""

    @property
    def shared(self) -> int:
        return self.bottleneck

    def keeps(self, sees: Visibility) -> bool:
        return isinstance(sees, Full) or not self.trigrams

    def resized(self, *, depth: int, width: int, heads: int, ffn: int, positions: int, vocab: int) -> Self:
        small = super().resized(depth=depth, width=width, heads=heads, ffn=ffn, positions=positions, vocab=vocab)
        head = max(round(self.bottleneck * width / self.width / heads), 1)
        return small.model_copy(update={"bottleneck": head * heads})


def _all_but(*used: str) -> frozenset[str]:
    """What a body without attention has no use for: all but its tables, its width and the fields named here."""
    tables = {"vocab", "embedding", "positions", "segments", "languages", "position", "scale_embedding"}
    norms = {"embedding_norm", "norm", "norm_eps", "bias"}
    rest = {"kind", "width", "dropout", "init", "init_std", *used}
    return frozenset(Backbone.model_fields) - tables - norms - rest


class Plain(Backbone):
    """A body without attention: what only a Transformer has is refused. Order needs no positions, they may be added."""

    meaningless: ClassVar[frozenset[str]] = _all_but()
    depth: Count = 0
    heads: Size = 1
    segments: Count = 0
    embedding_norm: bool = False
    position: Literal["none", "learned", "sinusoidal"] = "none"
    init: Literal["fan_in", "bert"] = "fan_in"

    def keeps(self, sees: Visibility) -> bool:
        return isinstance(sees, Full)


class Cnn(Plain):
    """Layers of convolutions over the tokens around each one (Kim 2014; `quire.nn.cnn`)."""

    called: ClassVar[str] = "a convolutional network"
    pool: ClassVar[Pool] = "max"
    tells: ClassVar[str] = "a position sees its neighbours on either side"
    meaningless: ClassVar[frozenset[str]] = _all_but("depth", "activation")
    kind: Literal["cnn"] = "cnn"
    depth: Depth = 1
    activation: Literal["gelu", "gelu_tanh", "relu", "silu"] = "relu"
    windows: Annotated[tuple[Size, ...], Field(min_length=1)] = (3, 4, 5)
    """Tokens that a filter spans; each span has its share of the `width` filters (Kim: 100 each)."""
    residual: bool = True
    """From the second layer on, what a layer says is added to what it read."""


ALPHABET = 261
"""Ids of characters: none, 256 bytes of UTF-8, and where a word and a text begin and end."""


class Characters(Settings):
    """Token vectors from the characters of tokens (`quire.nn.characters`); the defaults are ELMo's."""

    width: Size = 16
    filters: Annotated[tuple[tuple[Size, Size], ...], Field(min_length=1)] = (
        *((1, 32), (2, 32), (3, 64), (4, 128)),
        *((5, 256), (6, 512), (7, 1024)),
    )
    """Characters that a filter spans, and how many there are of that span."""
    highways: Count = 2
    longest: Annotated[int, Field(ge=3)] = 50
    """Characters of a word, with its two ends; what is longer is cut."""

    def resized(self, share: float) -> "Characters":
        """With `share` of the filters, of each span one at least."""
        return self.model_copy(update={"filters": tuple((k, max(round(n * share), 1)) for k, n in self.filters)})


class Lstm(Plain):
    """Layers of LSTMs (Hochreiter and Schmidhuber 1997; `quire.nn.lstm`). `width` is that of all directions together.

    joined   each layer reads what both directions of the one below it say (CoVe)
    apart    two stacks that never meet, left to right and right to left (ELMo)
    forward  left to right alone: what an LSTM language model is
    """

    called: ClassVar[str] = "an LSTM"
    pool: ClassVar[Pool] = "max"
    tells: ClassVar[str] = "an LSTM with two directions reads back as well, and no other mask is known to one"
    meaningless: ClassVar[frozenset[str]] = _all_but("depth", "decoder")
    kind: Literal["lstm"] = "lstm"
    depth: Depth = 2
    directions: Literal["joined", "apart", "forward"] = "joined"
    cells: Size | None = None
    """Cells of a direction, where a projection leads from them to its share of the width (Sak et al. 2014)."""
    residual: bool = False
    """From the second layer on, what a layer says is added to what it read (ELMo)."""
    characters: Characters | None = None
    """What stands for a table of tokens, if anything."""

    @model_validator(mode="after")
    def _halves_fit(self) -> Self:
        if self.width % self.ways:
            raise ValueError(f"width {self.width} is that of two directions: make it even")
        if self.cells is not None and self.cells <= self.width // self.ways:
            raise ValueError(
                f"cells {self.cells} lead to {self.width // self.ways} for each direction; take more, or leave them out"
            )
        return self

    @property
    def ways(self) -> int:
        """Directions."""
        return 1 if self.directions == "forward" else 2

    def keeps(self, sees: Visibility) -> bool:
        return isinstance(sees, Full) or (self.directions == "forward" and isinstance(sees, Causal))

    def resized(self, *, depth: int, width: int, heads: int, ffn: int, positions: int, vocab: int) -> Self:
        small = super().resized(depth=depth, width=width, heads=heads, ffn=ffn, positions=positions, vocab=vocab)
        share = width / self.width
        cells = self.cells and max(round(self.cells * share), width // self.ways + 1)
        characters = self.characters and self.characters.resized(share)
        return small.model_copy(update={"cells": cells, "characters": characters})


class Tree(Plain):
    """A binary Tree-LSTM over a balanced tree (Tai et al. 2015; `quire.nn.tree`).

    The first position is the root and knows all tokens, the others are leaves and know their own.
    """

    called: ClassVar[str] = "a tree"
    tells: ClassVar[str] = "the root sees all"
    kind: Literal["tree"] = "tree"


class Hierarchical(Plain):
    """Words to pieces, pieces to a document, by LSTMs in both directions and attention (`quire.nn.hierarchical`).

    Yang et al. 2016 have sentences; here every `piece` tokens are one, wherever sentences end, for tokens alone reach a
    body. The first position is the document, the others know their piece and the pieces around it.
    """

    called: ClassVar[str] = "a hierarchical encoder"
    tells: ClassVar[str] = "pieces are read in both directions"
    kind: Literal["hierarchical"] = "hierarchical"
    piece: Size = 32

    @model_validator(mode="after")
    def _halves_fit(self) -> Self:
        if self.width % 2:
            raise ValueError(f"width {self.width} is that of two directions: make it even")
        return self


KINDS: Mapping[str, type[Backbone]] = {
    "transformer": Backbone,
    "star": Star,
    "bag": Bag,
    "bottleneck": Bottleneck,
    "cnn": Cnn,
    "lstm": Lstm,
    "tree": Tree,
    "hierarchical": Hierarchical,
}
"""What `kind` may say."""
