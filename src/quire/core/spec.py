"""What a model is made of, as data: a backbone and the heads that objectives ask for."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from quire.core.config import Settings

Rate: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
Size: TypeAlias = Annotated[int, Field(gt=0)]
Count: TypeAlias = Annotated[int, Field(ge=0)]


class Backbone(Settings):
    """A Transformer encoder; the defaults are BERT's base size (Devlin et al. 2019, section 3).

    Other kinds of body are subclasses: data with their `kind` becomes one wherever a Backbone is expected, and all its
    fields are written.
    """

    meaningless: ClassVar[frozenset[str]] = frozenset()
    """Fields that this kind has no use for; they keep their defaults."""
    kind: Literal["transformer", "star"] = "transformer"
    vocab: Size = 30_522
    depth: Size = 12
    width: Size = 768
    heads: Size = 12
    ffn: Size = 3072
    positions: Size = 512
    """Tokens of a sequence at most; the rows of a learned table."""
    segments: Count = 2
    """Rows of a table that is added to the embeddings. With relative positions there is no table: attention asks
    whether two tokens are of one segment, whatever their number, unless this is 0."""
    languages: Count = 0
    """Rows of a table of languages that is added to the embeddings (XLM)."""
    embedding: Size | None = None
    """Width of the embedding tables where it is not `width`: factorised, with a linear layer behind (ALBERT)."""
    groups: Size | None = None
    """Distinct blocks, each repeated over `depth / groups` neighbouring layers (ALBERT: 1); without it, all differ."""
    activation: Literal["gelu", "gelu_tanh", "relu", "silu"] = "gelu"
    gated: bool = False
    """activation(gate x) * up x in place of activation(up x): GeGLU, SwiGLU (Shazeer 2020)."""
    norm: Literal["layer", "rms"] = "layer"
    norm_first: bool = False
    """Pre-norm: norms stand before attention and feed-forward layer, and one at the end, instead of after each sum."""
    embedding_norm: bool = True
    """A norm on the embeddings; a pre-norm's first, which would come right after it, is then left out (ModernBERT)."""
    bias: bool = True
    """Whether linear layers and norms of the body have biases."""
    position: Literal["learned", "sinusoidal", "rotary", "relative", "none"] = "learned"
    """`relative` is XLNet's (Dai et al. 2019, Transformer-XL, section 3.3)."""
    scale_embedding: bool = False
    """Tokens times sqrt(width of the table) (Vaswani et al. 2017, section 3.4), lest sinusoids drown fresh ones."""
    rotary_base: float = 10_000.0
    score: Literal["scaled_dot", "dot", "additive", "bilinear"] = "scaled_dot"
    """How a query meets a key: q k / sqrt(head), q k, v tanh(q + k), or k W q."""
    window: Size | None = None
    """Local attention: a position sees so many neighbours on either side ..."""
    global_every: Size | None = None
    """... except in the first of every so many layers, where it sees all (ModernBERT: 3)."""
    rotary_base_local: float | None = None
    """The base of rotary positions in local layers, where it differs."""
    dropout: Rate = 0.1
    attention_dropout: Rate = 0.1
    norm_eps: float = 1e-12
    init_std: float = 0.02

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_kind(cls, data: Any, build: Callable[[Any], Self]) -> Any:
        asked = data.get("kind") if isinstance(data, Mapping) else None
        return Star.model_validate(data) if cls is Backbone and asked == "star" else build(data)

    @model_serializer(mode="wrap")
    def _with_its_own_fields(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        own = type(self).model_fields.keys() - Backbone.model_fields.keys()
        return {**write(self), **{field: getattr(self, field) for field in sorted(own)}}

    @model_validator(mode="after")
    def _parts_fit(self) -> "Backbone":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.groups and self.depth % self.groups:
            raise ValueError(f"depth {self.depth} is not a multiple of groups {self.groups}")
        if self.position == "rotary" and self.width // self.heads % 2:
            raise ValueError(
                f"rotary positions turn pairs, but a head is {self.width // self.heads} wide: make it even"
            )
        if self.position == "rotary" and self.score == "additive":
            raise ValueError("rotary positions turn products of queries and keys, which score additive has not")
        if self.position == "relative" and self.width % 2:
            raise ValueError(
                f"relative positions are as many sines as cosines, but width is {self.width}: make it even"
            )
        if self.position == "relative" and self.score != "scaled_dot":
            raise ValueError(f"relative positions have a score of their own; leave score {self.score} out")
        if self.global_every and self.window is None:
            raise ValueError("global_every: give `window` too, the neighbours that a local layer sees")
        return self

    def resized(self, *, depth: int, width: int, heads: int, ffn: int, positions: int, vocab: int) -> Self:
        """The same architecture at another size: tables stay as narrow in proportion, shared layers shared."""
        share = width / self.width
        sizes: dict[str, int | None] = {
            "depth": depth,
            "width": width,
            "heads": heads,
            "ffn": ffn,
            "positions": positions,
            "vocab": vocab,
            "embedding": max(round(self.embedding * share), 8) if self.embedding else None,
            "groups": (self.groups if depth % self.groups == 0 else 1) if self.groups else None,
        }
        kept = {name: size for name, size in sizes.items() if name not in self.meaningless}
        return self.model_copy(update=kept)

    def sees_locally(self, layer: int) -> bool:
        """Whether a layer has the window."""
        return self.window is not None and not (self.global_every and layer % self.global_every == 0)

    @property
    def embedding_width(self) -> int:
        """The width of the embedding tables."""
        return self.embedding or self.width


class Star(Backbone):
    """A Star-Transformer: neighbours see each other, and all meet in a relay (Guo et al. 2019; `quire.nn.star`).

    What only a Transformer has is refused: layers without a feed-forward part need no `ffn`, and so on.
    """

    meaningless: ClassVar[frozenset[str]] = frozenset(
        {"ffn", "groups", "gated", "norm_first", "rotary_base", "score"}
        | {"window", "global_every", "rotary_base_local", "attention_dropout"}
    )
    kind: Literal["star"] = "star"
    position: Literal["learned", "sinusoidal", "none"] = "none"
    """None is needed, for the neighbours tell the order."""
    embedding_norm: bool = False
    norm_eps: float = 1e-6
    ring: bool = False
    """The last token is the first one's neighbour, as in the paper; without it the chain is open, as in its code."""

    @model_validator(mode="after")
    def _nothing_of_a_transformer(self) -> Self:
        for field in sorted(self.meaningless):
            if getattr(self, field) != type(self).model_fields[field].default:
                raise ValueError(f"{field}: a Star-Transformer has none; leave it out")
        return self


class TokenHead(Settings):
    """Scores over the vocabulary: dense, activation, norm, decoder tied to the embeddings. `of` names its body.

    Without `transform` the states themselves meet the decoder (XLNet, XLM).
    """

    kind: Literal["token"] = "token"
    of: str = "backbone"
    transform: bool = True


class SequenceHead(Settings):
    """Scores over `outputs` classes from the first position: pooler (dense, tanh), dropout, linear."""

    kind: Literal["sequence"] = "sequence"
    outputs: Size
    dropout: Rate = 0.1


class DetectionHead(Settings):
    """One score a token: dense, activation, linear. Above 0 it was replaced (ELECTRA)."""

    kind: Literal["detection"] = "detection"


class BoundaryHead(Settings):
    """Scores over the vocabulary for a hidden token from the states beside its span and its place in it (SpanBERT).

    Twice dense, GELU, norm on [left; right; place], then the tied decoder. Places count from 0 to `longest` - 1.
    """

    kind: Literal["boundary"] = "boundary"
    longest: Size = 20
    place_width: Size = 200


class QueryHead(Settings):
    """One learned vector [W]: what a query stream begins as (XLNet's `mask_emb`)."""

    kind: Literal["query"] = "query"


class VectorHead(Settings):
    """A vector for a sequence from its first position: tanh(dense(x)), or the state itself without `dense`."""

    kind: Literal["vector"] = "vector"
    dense: bool = True


HeadSpec: TypeAlias = Annotated[
    TokenHead | SequenceHead | DetectionHead | BoundaryHead | VectorHead | QueryHead, Field(discriminator="kind")
]
Parts: TypeAlias = dict[str, HeadSpec | Backbone]
"""What an objective asks for by name: heads, and further bodies that share the embeddings."""
