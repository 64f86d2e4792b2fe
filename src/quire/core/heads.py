"""Heads as data: what objectives ask of a model beside its backbone."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from quire.core.config import Settings
from quire.core.spec import Backbone, Count, Pool, Rate, Size

LayerMix: TypeAlias = Literal["none", "plain", "norm"]
"""A learned mix of all layers in place of the last one; `norm`: of layers normed over the batch (`quire.nn.mix`)."""
Pooled: TypeAlias = Literal["tanh", "relu", "none"]
Windows: TypeAlias = Literal["mean", "max", "attention", "transformer"]
"""How the vectors of a long text's windows become one: see `quire.nn.windows`."""
MOST = 16
"""Windows of a text at most: what a batch costs has a bound."""


class TokenHead(Settings):
    """Scores over the vocabulary: dense, activation, norm, decoder tied to the embeddings. `of` names its body.

    Without `transform` the states themselves meet the decoder (XLNet, XLM, GPT). On a body with bottlenecks a table
    that is narrower than the states gets columns of the head's own (MobileBERT; `quire.nn.bottleneck`).
    """

    kind: Literal["token"] = "token"
    of: str = "backbone"
    """`decoder` is the backbone's, where it has one."""
    start: Literal["sep", "pad", "cls"] = "sep"
    """Of a decoder's: what stands before the first token that it writes (BART: sep, T5: pad)."""
    transform: bool = True
    project: bool = False
    """Without a transform: whether a linear layer leads from the states to the width of the table."""
    bias: bool = True
    tied: bool = True
    """Without it, the scores have a matrix of their own."""
    scaled: bool = False
    """States times width^-0.5 before they meet the table (T5, whose tables have large entries)."""


class SequenceHead(Settings):
    """Scores over `outputs` classes from one vector of a sequence: pooler (dense, activation), dropout, linear."""

    kind: Literal["sequence"] = "sequence"
    outputs: Size
    dropout: Rate = 0.1
    pool: Pool = "first"
    mix: LayerMix = "none"
    activation: Pooled = "tanh"
    """Of the pooler: BERT's, or DistilBERT's; `none` is no pooler (MobileBERT's)."""
    windows: Windows | None = None
    """What is made of the vectors of the blocks that a sequence has apart; without it, it has none."""


class PrivateHead(Settings):
    """Scores over `outputs` classes from a task's own LSTM, which reads tokens and what it takes of the states.

    Liu et al. 2016, Model-III: see `quire.nn.private`.
    """

    kind: Literal["private"] = "private"
    outputs: Size
    width: Size = 50
    dropout: Rate = 0.0


class PositionHead(Settings):
    """Scores over `outputs` classes for each asked position: dropout, linear (tags of words; starts and ends)."""

    kind: Literal["position"] = "position"
    outputs: Size
    dropout: Rate = 0.1


class ChainHead(Settings):
    """Scores of tags by what they stand behind, and at both ends of a row: what a CRF learns beside those of words.

    See `quire.nn.crf`.
    """

    kind: Literal["chain"] = "chain"
    tags: Size


class ActionHead(Settings):
    """Scores over `outputs` actions from the states of so many words: one hidden layer of this `width`, tanh."""

    kind: Literal["action"] = "action"
    outputs: Size
    features: Size
    width: Size = 100
    dropout: Rate = 0.1


class SiameseHead(Settings):
    """Scores over `outputs` classes from the vectors u and v of two texts: linear([u; v; |u - v|]).

    Reimers & Gurevych 2019 (Sentence-BERT), section 3, whose vectors are means.
    """

    kind: Literal["siamese"] = "siamese"
    outputs: Size
    pool: Pool = "mean"


class PointerHead(Settings):
    """Scores over an end, labels, and the positions of the text that a decoder looks at: see `quire.nn.pointing`.

    A model has one at most, since its labels stand behind the tokens that the decoder reads.
    """

    kind: Literal["pointer"] = "pointer"
    of: Literal["decoder"] = "decoder"
    vocab: Size
    """Tokens that texts are made of; the numbers behind these stand for labels."""
    end: Count
    """The token that ends what is written."""
    labels: tuple[Annotated[tuple[Count, ...], Field(min_length=1)], ...] = ()
    """The tokens of each label's name; its vector begins as the mean of theirs."""
    special: tuple[Count, ...] = ()
    """Tokens of a text that are never pointed at."""
    dropout: Rate = 0.3
    embedded: bool = True
    """Whether a position is known by its token as much as by its state."""


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


class WordsHead(Settings):
    """Of scores over the vocabulary those of a few tokens: what labels are called. It has no weights."""

    kind: Literal["words"] = "words"
    words: tuple[int, ...]


class VectorHead(Settings):
    """A vector for a sequence: tanh(dense(x)) of its first state or of all, or that itself without `dense`."""

    kind: Literal["vector"] = "vector"
    dense: bool = True
    pool: Pool = "first"


class ContextHead(Settings):
    """A second vector for each token of the vocabulary: what it is as the neighbour of others (word2vec's output)."""

    kind: Literal["context"] = "context"


HeadSpec: TypeAlias = Annotated[
    TokenHead
    | SequenceHead
    | PrivateHead
    | PositionHead
    | ChainHead
    | ActionHead
    | SiameseHead
    | PointerHead
    | DetectionHead
    | BoundaryHead
    | WordsHead
    | VectorHead
    | QueryHead
    | ContextHead,
    Field(discriminator="kind"),
]
Parts: TypeAlias = dict[str, HeadSpec | Backbone]
"""What an objective asks for by name: heads, and further bodies that share the embeddings."""
