"""A backbone as data: what every body is made of, and the Transformer. `quire.core.bodies` has the other kinds."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from quire.core.config import Settings
from quire.core.errors import nearest

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
    kind: str = "transformer"
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
        from quire.core.bodies import KINDS  # they are subclasses of this one

        asked = data.get("kind", "transformer") if cls is Backbone and isinstance(data, Mapping) else cls
        if isinstance(asked, str) and asked not in KINDS:
            raise ValueError(f"no kind of backbone named {asked!r}{nearest(asked, KINDS)}")
        kind = KINDS[asked] if isinstance(asked, str) else cls
        return build(data) if kind is cls else kind.model_validate(data)

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
