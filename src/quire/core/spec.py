"""A backbone as data: what every body is made of, and the Transformer. `quire.core.bodies` has the other kinds."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from quire.core.config import Settings
from quire.core.errors import nearest
from quire.core.visibility import Causal, Visibility

Rate: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
Size: TypeAlias = Annotated[int, Field(gt=0, lt=2**31)]
Count: TypeAlias = Annotated[int, Field(ge=0, lt=2**31)]
Depth: TypeAlias = Annotated[int, Field(gt=0, le=1000)]
"""Layers; the deepest that was published has 1000 (Wang et al. 2022, DeepNet)."""
Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Pool: TypeAlias = Literal["first", "last", "mean", "max", "attention", "first+max+mean", "last+max+mean"]
"""One vector of a sequence: a state at its end, what all its states have in common, or three of these side by side; see
`quire.nn.pooling`."""


class Adapters(Settings):
    """Small networks between the layers of a body that is trained no further: see `quire.nn.adapters`."""

    width: Size = 64
    after: tuple[Literal["attention", "ffn"], ...] = ("attention", "ffn")
    activation: Literal["gelu", "relu"] = "gelu"
    normed: bool = False
    """Whether they read what the norm behind the sum makes of it; only of norms behind sums."""


class Branch(Settings):
    """What every head adds to a body for its own task: attention in a narrow space; see `quire.nn.projected`."""

    width: Size = 204
    heads: Size = 6
    above: Count = 0
    """So many layers above the last; with 0 there is one beside each layer of the body (PALs)."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class Backbone(Settings):
    """A Transformer; the defaults are BERT's base size (Devlin et al. 2019, section 3).

    What is written left to right without a decoder of its own (GPT) is the same body under another visibility. Other
    kinds of body are subclasses: data with their `kind` becomes one wherever a Backbone is expected, and all its fields
    are written.
    """

    called: ClassVar[str] = "a Transformer"
    meaningless: ClassVar[frozenset[str]] = frozenset()
    """Fields that this kind has no use for; they keep their defaults."""
    pool: ClassVar[Pool] = "first"
    """Where a vector for a whole sequence is best taken from."""
    tells: ClassVar[str] = "distances are told from both sides"
    """Why a position cannot be kept from what it should not see, in a body where it cannot: see `keeps`."""
    kind: str = "transformer"
    decoder: Depth | None = None
    """Layers of a decoder of the same width, which also attends to the states of the others (Vaswani et al. 2017,
    section 3.1); it shares the table of tokens."""
    vocab: Size = 30_522
    depth: Depth = 12
    width: Size = 768
    heads: Size = 12
    head_width: Size | None = None
    """Of a head, where that is not width / heads (T5)."""
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
    norm: Literal["layer", "rms", "affine"] = "layer"
    """`affine` only scales and shifts (MobileBERT's NoNorm)."""
    norm_first: bool = False
    """Pre-norm: norms stand before attention and feed-forward layer, and one at the end, instead of after each sum."""
    embedding_norm: bool = True
    """A norm on the embeddings; a pre-norm's first, which would come right after it, is then left out (ModernBERT)."""
    bias: bool = True
    """Whether linear layers and norms of the body have biases."""
    position: Literal["learned", "sinusoidal", "rotary", "relative", "bucketed", "learned_bucketed", "none"] = "learned"
    """`relative` is XLNet's (Dai et al. 2019, Transformer-XL, section 3.3), `bucketed` T5's (Raffel et al. 2020,
    section 2.1): a number for each head and bucket of distances, shared by all layers. `learned_bucketed` is both
    (MPNet)."""
    buckets: Annotated[int, Field(ge=4)] = 32
    furthest: Size = 128
    """The distance from which on all share the last bucket."""
    scale_embedding: bool = False
    """Tokens times sqrt(width of the table) (Vaswani et al. 2017, section 3.4), lest sinusoids drown fresh ones."""
    rotary_base: Positive = 10_000.0
    score: Literal["scaled_dot", "dot", "additive", "bilinear"] = "scaled_dot"
    """How a query meets a key: q k / sqrt(head), q k, v tanh(q + k), or k W q."""
    window: Size | None = None
    """Local attention: a position sees so many neighbours on either side ..."""
    global_every: Size | None = None
    """... except in the first of every so many layers, where it sees all (ModernBERT: 3)."""
    rotary_base_local: Positive | None = None
    """The base of rotary positions in local layers, where it differs."""
    dropout: Rate = 0.1
    attention_dropout: Rate = 0.1
    norm_eps: Positive = 1e-12
    adapters: Adapters | None = None
    branch: Branch | None = None
    """Every head has one: what it asks for passes through its own. Where it is the only head, all does."""
    prefix: Size | None = None
    """Learned keys and values before those of every layer: see `quire.nn.prefix`."""
    prompt: Size | None = None
    """Learned vectors before each text: see `quire.nn.prompt`."""
    init_std: Positive = 0.02
    init: Literal["bert", "gpt2", "t5", "fan_in"] = "bert"
    """How weights are drawn: see `quire.nn.initial`."""

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
    def _nothing_meaningless(self) -> Self:
        for field in sorted(self.meaningless):
            if getattr(self, field) != type(self).model_fields[field].default:
                raise ValueError(f"{field}: {self.called} has none; leave it out")
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> "Backbone":
        if self.head_width is None and self.shared % self.heads:
            raise ValueError(f"width {self.shared} is not a multiple of heads {self.heads}")
        if self.groups and self.depth % self.groups:
            raise ValueError(f"depth {self.depth} is not a multiple of groups {self.groups}")
        if self.position == "rotary" and self.head % 2:
            raise ValueError(f"rotary positions turn pairs, but a head is {self.head} wide: make it even")
        if self.position == "rotary" and self.score == "additive":
            raise ValueError("rotary positions turn products of queries and keys, which score additive has not")
        if self.position == "relative" and self.width % 2:
            raise ValueError(
                f"relative positions are as many sines as cosines, but width is {self.width}: make it even"
            )
        if self.position == "relative" and self.head_width is not None:
            raise ValueError("relative positions have heads of width / heads: leave head_width out")
        if self.position == "relative" and self.decoder:
            raise ValueError("a decoder has no relative positions; take learned, sinusoidal, rotary or bucketed ones")
        if self.bucketed and self.score == "additive":
            raise ValueError("bucketed positions are added to products of queries and keys; take another score")
        if self.bucketed and self.furthest <= self.buckets // 2:
            raise ValueError(f"furthest {self.furthest}: take more than half of the {self.buckets} buckets")
        if self.decoder and self.score not in ("scaled_dot", "dot"):
            raise ValueError(f"a decoder's scores are scaled_dot or dot, not {self.score}")
        if self.decoder and self.groups:
            raise ValueError("groups: the layers of a decoder are not shared; leave it out")
        if self.position == "relative" and self.score != "scaled_dot":
            raise ValueError(f"relative positions have a score of their own; leave score {self.score} out")
        if self.adapters and self.adapters.normed and self.norm_first:
            raise ValueError("adapters.normed: the norm stands before the layer, not behind the sum; leave it out")
        if self.branch and not self.can_branch:
            raise ValueError("branch: only of an encoder with norms behind its sums and no relative positions")
        if self.prefix and self.position == "relative":
            raise ValueError("prefix: relative attention asks how far away keys are, and these have no place")
        if self.prompt and (self.decoder or self.window or self.position == "relative"):
            has = "a decoder" if self.decoder else "a window" if self.window else "relative positions"
            raise ValueError(f"prompt: the body has {has}, which would not see it as texts do; take prefix")
        if self.global_every and self.window is None:
            raise ValueError("global_every: give `window` too, the neighbours that a local layer sees")
        return self

    def resized(self, *, depth: int, width: int, heads: int, ffn: int, positions: int, vocab: int) -> Self:
        """The same architecture at another size: tables stay as narrow in proportion, shared layers shared."""
        share = width / self.width
        sizes: dict[str, int | None] = {
            "depth": depth,
            "decoder": depth if self.decoder else None,
            "width": width,
            "heads": heads,
            "head_width": None,
            "ffn": ffn,
            "positions": positions,
            "vocab": vocab,
            "embedding": max(round(self.embedding * share), 8) if self.embedding else None,
            "groups": (self.groups if depth % self.groups == 0 else 1) if self.groups else None,
        }
        kept = {name: size for name, size in sizes.items() if name not in self.meaningless}
        return self.model_copy(update=kept)

    @property
    def can_branch(self) -> bool:
        """Whether heads can have a `branch`: in an encoder of BERT's kind, as PALs were published."""
        plain = self.kind == "transformer" and self.position != "relative"
        return plain and not self.norm_first and not self.decoder

    @property
    def bucketed(self) -> bool:
        """Whether distances add to the scores of attention."""
        return self.position in ("bucketed", "learned_bucketed")

    def sees_locally(self, layer: int) -> bool:
        """Whether a layer has the window."""
        return self.window is not None and not (self.global_every and layer % self.global_every == 0)

    def keeps(self, sees: Visibility) -> bool:
        """Whether every position can be kept from seeing more than this."""
        return not (self.position == "relative" and isinstance(sees, Causal))

    @property
    def layers(self) -> int:
        """How many states a position has on its way: embedded, and after each layer."""
        return self.depth + 1

    @property
    def shared(self) -> int:
        """The width that heads share out, where they have none of their own."""
        return self.width

    @property
    def head(self) -> int:
        """The width of a head."""
        return self.head_width or self.shared // self.heads

    @property
    def inner(self) -> int:
        """The width of all heads together."""
        return self.heads * self.head

    @property
    def embedding_width(self) -> int:
        """The width of the embedding tables."""
        return self.embedding or self.width
