"""Heads: what turns states into scores.

Legend: M asked positions, K pairs, W width of the body, E width of the embeddings, V vocabulary, C classes, P places.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.bodies import Bottleneck
from quire.core.heads import (
    ActionHead,
    BoundaryHead,
    ChainHead,
    ContextHead,
    DetectionHead,
    HeadSpec,
    PointerHead,
    Pooled,
    PositionHead,
    PrivateHead,
    QueryHead,
    SequenceHead,
    SiameseHead,
    TokenHead,
    VectorHead,
    WordsHead,
)
from quire.core.spec import Backbone, Pool
from quire.nn.actions import ActionScores
from quire.nn.activations import activate
from quire.nn.bottleneck import WideScores
from quire.nn.crf import ChainScores
from quire.nn.dropout import Dropout
from quire.nn.lazy import LazyScores
from quire.nn.mix import Mix
from quire.nn.norms import norm
from quire.nn.pointing import PointerScores
from quire.nn.pooling import build_pooling, pooled_width
from quire.nn.private import PrivateScores
from quire.nn.projected import BRANCH, Projected
from quire.nn.tables import new_table
from quire.nn.windows import build_windows

_POOLED: dict[Pooled, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu, "none": nn.Identity()}


class TokenScores(nn.Module):
    """norm(activation(dense(x))) times the token embeddings, plus a bias: BERT's MLM head.

    `dense` leads from W to E, so that a factorised table or another body's can be the decoder (ALBERT, ELECTRA).
    """

    def __init__(self, head: TokenHead, spec: Backbone, *, out: Backbone) -> None:
        super().__init__()
        leads = head.transform or head.project
        self.dense = nn.Linear(spec.width, out.embedding_width, bias=spec.bias) if leads else None
        self.norm = norm(spec, out.embedding_width) if head.transform else None
        self.weight = None if head.tied else nn.Parameter(torch.empty(out.vocab, out.embedding_width))
        self.bias = nn.Parameter(torch.zeros(out.vocab)) if head.bias else None
        self.scale = out.embedding_width**-0.5 if head.scaled else 1.0
        self.activation = spec.activation

    def forward(self, x_MW: Tensor, tokens: nn.Embedding) -> Tensor:
        return self.lazily(x_MW, tokens).scores()

    def lazily(self, x_MW: Tensor, tokens: nn.Embedding) -> LazyScores:
        if self.dense is not None:
            x_MW = self.dense(x_MW)
        if self.norm is not None:
            x_MW = self.norm(activate(self.activation, x_MW))
        if self.scale != 1:
            x_MW = x_MW * self.scale
        return LazyScores(x_MW, tokens if self.weight is None else self.weight, self.bias)


class SequenceScores(nn.Module):
    """out(dropout(tanh(pooler(x)))) of the first position, or of all (`pool`): BERT's classifier, its NSP head.

    DistilBERT's has ReLU for tanh, and MobileBERT's can do without a pooler.
    """

    def __init__(self, spec: Backbone, head: SequenceHead) -> None:
        super().__init__()
        self.mix = None if head.mix == "none" else Mix(spec.layers, norm=head.mix == "norm")
        self.pool = build_pooling(head.pool, spec.width)
        pooled = pooled_width(head.pool, spec.width)
        self.windows = None if head.windows is None else build_windows(head.windows, spec, pooled)
        bare = head.activation == "none"
        self.pooler = nn.Identity() if bare else nn.Linear(pooled, spec.width)
        self.out = nn.Linear(pooled if bare else spec.width, head.outputs)
        self.dropout = Dropout(head.dropout)
        self.activation = _POOLED[head.activation]

    def forward(self, x_MW: Tensor, tokens: nn.Embedding) -> Tensor:
        scores: Tensor = self.out(self.dropout(self.activation(self.pooler(x_MW))))
        return scores


class PositionScores(nn.Module):
    """out(dropout(x)): BERT's heads for tags and for answers in a passage (Devlin et al. 2019, 4.2 and 5.3)."""

    def __init__(self, spec: Backbone, head: PositionHead) -> None:
        super().__init__()
        self.out = nn.Linear(spec.width, head.outputs)
        self.dropout = Dropout(head.dropout)

    def forward(self, x_MW: Tensor, tokens: nn.Embedding) -> Tensor:
        scores_MC: Tensor = self.out(self.dropout(x_MW))
        return scores_MC


class SiameseScores(nn.Module):
    """out([u; v; |u - v|]) of the vectors of two texts, which `pool` makes of their states."""

    def __init__(self, spec: Backbone, head: SiameseHead) -> None:
        super().__init__()
        self.pool = build_pooling(head.pool, spec.width)
        self.out = nn.Linear(3 * pooled_width(head.pool, spec.width), head.outputs)

    def forward(self, u_KW: Tensor, v_KW: Tensor) -> Tensor:
        scores_KC: Tensor = self.out(torch.cat([u_KW, v_KW, (u_KW - v_KW).abs()], dim=-1))
        return scores_KC


class DetectionScores(nn.Module):
    """out(activation(dense(x))), one score a token: ELECTRA's discriminator (Clark et al. 2020, their code)."""

    def __init__(self, spec: Backbone) -> None:
        super().__init__()
        self.dense = nn.Linear(spec.width, spec.width)
        self.out = nn.Linear(spec.width, 1)
        self.activation = spec.activation

    def forward(self, x_MW: Tensor, tokens: nn.Embedding) -> Tensor:
        scores_M1: Tensor = self.out(activate(self.activation, self.dense(x_MW)))
        return scores_M1.squeeze(-1)


class WordScores(nn.Module):
    """Of scores over the vocabulary [M, V] those of a few tokens [M, C]."""

    def __init__(self, words: Sequence[int]) -> None:
        super().__init__()
        self.words = [*words]

    def forward(self, scores_MV: Tensor) -> Tensor:
        return scores_MV[:, self.words]


class Vector(nn.Module):
    """tanh(dense(x)) of the first position, or of `pool` over all, or the state as it is."""

    def __init__(self, spec: Backbone, *, dense: bool, pool: Pool) -> None:
        super().__init__()
        self.pool = build_pooling(pool, spec.width)
        self.dense = nn.Linear(pooled_width(pool, spec.width), spec.width) if dense else None

    def forward(self, x_MW: Tensor, tokens: nn.Embedding) -> Tensor:
        return x_MW if self.dense is None else torch.tanh(self.dense(x_MW))


class BoundaryScores(nn.Module):
    """Scores [M, V] from the states left and right of a span and the place in it (Joshi et al. 2020, section 3.2).

    norm(gelu(dense2(norm(gelu(dense1([left; right; place])))))) times the token embeddings, plus a bias.
    """

    def __init__(self, spec: Backbone, *, longest: int, place_width: int) -> None:
        super().__init__()
        self.places = new_table(longest, place_width)
        self.dense1 = nn.Linear(2 * spec.width + place_width, spec.width)
        self.norm1 = norm(spec, spec.width)
        self.dense2 = nn.Linear(spec.width, spec.embedding_width)
        self.norm2 = norm(spec, spec.embedding_width)
        self.bias = nn.Parameter(torch.zeros(spec.vocab))

    def forward(self, left_MW: Tensor, right_MW: Tensor, place_M: Tensor, tokens: nn.Embedding) -> Tensor:
        return self.lazily(left_MW, right_MW, place_M, tokens).scores()

    def lazily(self, left_MW: Tensor, right_MW: Tensor, place_M: Tensor, tokens: nn.Embedding) -> LazyScores:
        x = torch.cat([left_MW, right_MW, self.places(place_M)], dim=-1)
        x = self.norm1(F.gelu(self.dense1(x)))
        x = self.norm2(F.gelu(self.dense2(x)))
        return LazyScores(x, tokens, self.bias)


class Query(nn.Module):
    """A learned vector [W] that stands for "what is here?"."""

    def __init__(self, spec: Backbone) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(spec.width))

    def forward(self) -> Tensor:
        return self.vector


class Context(nn.Module):
    """The vectors [..., E] of tokens [...] as neighbours."""

    def __init__(self, spec: Backbone, *, width: int) -> None:
        super().__init__()
        self.tokens = new_table(spec.vocab, width)

    def forward(self, tokens: Tensor) -> Tensor:
        vectors: Tensor = self.tokens(tokens)
        return vectors


def build_head(spec: HeadSpec, backbone: Backbone, body: Backbone) -> nn.Module:
    """The module a head spec describes; `body` is what it stands on, `backbone` what owns the embeddings.

    All but Private, Siamese, Chain, Action, Pointer, Words and BoundaryScores, Query and Context are called with states
    [M, W] and the token embedding. Where a head has a `mix`, states are that of all layers, and where it has a `pool`,
    what that makes of the sequences asked about, or of their blocks, whose vectors its `windows` join. The part in the
    body that is its own, where every head has one, is its `branch`.
    """
    head = _bare(spec, backbone, body)
    if backbone.branch and body is backbone:
        head.add_module(BRANCH, Projected(backbone.branch, backbone))
    return head


def _bare(spec: HeadSpec, backbone: Backbone, body: Backbone) -> nn.Module:
    match spec:
        case TokenHead(transform=True, tied=True) if (
            isinstance(body, Bottleneck) and body.width > backbone.embedding_width
        ):
            return WideScores(spec, body, out=backbone)
        case TokenHead():
            return TokenScores(spec, body, out=backbone)
        case SequenceHead():
            return SequenceScores(body, spec)
        case PrivateHead():
            return PrivateScores(body, outputs=spec.outputs, width=spec.width, dropout=spec.dropout)
        case PositionHead():
            return PositionScores(body, spec)
        case ChainHead():
            return ChainScores(spec.tags)
        case ActionHead():
            return ActionScores(body, spec)
        case SiameseHead():
            return SiameseScores(body, spec)
        case PointerHead():
            return PointerScores(body, spec)
        case DetectionHead():
            return DetectionScores(body)
        case WordsHead():
            return WordScores(spec.words)
        case VectorHead():
            return Vector(body, dense=spec.dense, pool=spec.pool)
        case QueryHead():
            return Query(body)
        case ContextHead():
            return Context(backbone, width=body.width)
        case BoundaryHead():
            return BoundaryScores(body, longest=spec.longest, place_width=spec.place_width)
