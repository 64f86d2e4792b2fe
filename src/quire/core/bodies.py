"""Kinds of bodies beside the Transformer, as data: `kind` in a recipe's backbone."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from quire.core.spec import Backbone, Count, Pool, Rate, Size


class Star(Backbone):
    """A Star-Transformer: neighbours see each other, and all meet in a relay (Guo et al. 2019; `quire.nn.star`).

    What only a Transformer has is refused: layers without a feed-forward part need no `ffn`, and so on.
    """

    called: ClassVar[str] = "a Star-Transformer"
    meaningless: ClassVar[frozenset[str]] = frozenset(
        {"decoder", "head_width", "buckets", "furthest", "ffn", "groups", "gated", "norm_first", "rotary_base", "score"}
        | {"window", "global_every", "rotary_base_local", "attention_dropout"}
    )
    kind: Literal["star"] = "star"
    position: Literal["learned", "sinusoidal", "none"] = "none"
    """None is needed, for the neighbours tell the order."""
    embedding_norm: bool = False
    norm_eps: float = 1e-6
    ring: bool = False
    """The last token is the first one's neighbour, as in the paper; without it the chain is open, as in its code."""


class Bag(Backbone):
    """No layers: the states are the embedded tokens, and their order is lost on whoever adds them up (`quire.nn.bag`).

    What layers, positions or segments need is refused.
    """

    called: ClassVar[str] = "a bag of tokens"
    pool: ClassVar[Pool] = "mean"
    meaningless: ClassVar[frozenset[str]] = frozenset(
        {"decoder", "depth", "heads", "head_width", "ffn", "segments", "languages", "embedding", "groups", "gated"}
        | {"norm_first", "embedding_norm", "position", "buckets", "furthest", "rotary_base", "score", "window"}
        | {"global_every", "rotary_base_local", "attention_dropout"}
    )
    kind: Literal["bag"] = "bag"
    depth: Count = 0
    heads: Size = 1
    segments: Count = 0
    embedding_norm: bool = False
    position: Literal["none"] = "none"
    dropout: Rate = 0.0


KINDS: Mapping[str, type[Backbone]] = {"transformer": Backbone, "star": Star, "bag": Bag}
"""What `kind` may say."""
