"""A Transformer with bottlenecks, packed: MobileBERT (Sun et al. 2020, sections 3.1 to 3.4, and their code).

e_i are rows of a narrow table, p and s positions and segments; zeros stand beyond either end of a sequence:
    x_i = norm(V [e_{i+1}; e_i; e_{i-1}] + p_i + s_i)
A layer, narrow inside, does with its own weights
    b = norm(B x),  a = norm(A x)
    h = norm(b + attention(queries and keys of a, values of x))
    h = norm(h + ffn(h))                                         `feeds` times, each time another one
    x = norm(x + dropout(C h))

Where `apart` is false (MobileBERT-tiny), queries, keys and values are of b. transformers shows the last token of a
padded sequence the row of [PAD], so that what it says depends on the batch; here nothing stands there.

Legend: N positions of all sequences, M some of them, W width, I width within a layer, E width of the embeddings,
H heads, V vocabulary.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.bodies import Bottleneck
from quire.core.heads import TokenHead
from quire.core.spec import Backbone
from quire.nn.activations import activate
from quire.nn.attention import Layout, Mixing
from quire.nn.body import Body
from quire.nn.dropout import Dropout
from quire.nn.embeddings import Embeddings
from quire.nn.lazy import LazyScores
from quire.nn.norms import norm
from quire.nn.transformer import FeedForward


class Entry(nn.Module):
    """norm(dense(x)): from the states [N, W] into a layer [N, I]."""

    def __init__(self, spec: Bottleneck) -> None:
        super().__init__()
        self.dense = nn.Linear(spec.width, spec.bottleneck, bias=spec.bias)
        self.norm = norm(spec, spec.bottleneck)

    def forward(self, x_NW: Tensor) -> Tensor:
        entered_NI: Tensor = self.norm(self.dense(x_NW))
        return entered_NI


class Asking(Mixing):
    """Attention whose queries and keys come from one place, and whose values from another or the same."""

    def __init__(self, spec: Bottleneck) -> None:
        super().__init__(spec)
        self.qk = nn.Linear(spec.bottleneck, 2 * spec.bottleneck, bias=spec.bias)
        self.value = nn.Linear(spec.width if spec.apart else spec.bottleneck, spec.bottleneck, bias=spec.bias)
        self.out = nn.Linear(spec.bottleneck, spec.bottleneck, bias=spec.bias)

    def forward(self, asking_NI: Tensor, told: Tensor, layout: Layout) -> Tensor:
        """Queries and keys of [N, I], values of `told` [N, W] or [N, I] -> [N, I]."""
        q_NHD, k_NHD = self.qk(asking_NI).unflatten(1, (2, self.heads, -1)).unbind(dim=1)
        v_NHD = self.value(told).unflatten(1, (self.heads, -1))
        joined_NI: Tensor = self.out(self.mixed(q_NHD, k_NHD, v_NHD, layout))
        return joined_NI


class Fed(nn.Module):
    """norm(h + ffn(h))"""

    def __init__(self, spec: Bottleneck) -> None:
        super().__init__()
        self.ffn = FeedForward(spec.model_copy(update={"width": spec.bottleneck}))
        self.norm = norm(spec, spec.bottleneck)

    def forward(self, h_NI: Tensor) -> Tensor:
        fed_NI: Tensor = self.norm(h_NI + self.ffn(h_NI))
        return fed_NI


class BottleneckBlock(nn.Module):
    """One layer."""

    def __init__(self, spec: Bottleneck) -> None:
        super().__init__()
        self.entry = Entry(spec)
        self.asks = Entry(spec) if spec.apart else None
        self.attention = Asking(spec)
        self.attention_norm = norm(spec, spec.bottleneck)
        self.early = nn.ModuleList(Fed(spec) for _ in range(spec.feeds - 1))
        self.late = Fed(spec)
        self.leave = nn.Linear(spec.bottleneck, spec.width, bias=spec.bias)
        self.norm = norm(spec, spec.width)
        self.dropout = Dropout(spec.dropout)

    def forward(self, x_NW: Tensor, layout: Layout) -> Tensor:
        """States [N, W] -> [N, W]."""
        h_NI = self.entry(x_NW)
        asking_NI, told = (h_NI, h_NI) if self.asks is None else (self.asks(x_NW), x_NW)
        h_NI = self.attention_norm(h_NI + self.attention(asking_NI, told, layout))
        for fed in (*self.early, self.late):
            h_NI = fed(h_NI)
        left_NW: Tensor = self.norm(x_NW + self.dropout(self.leave(h_NI)))
        return left_NW


class BottleneckEncoder(Body):
    """`depth` layers over tokens from a table of its own, or from that of another body.

    Positions and segments are as wide as the states, and stand behind the table with a norm of their own.
    """

    def __init__(self, spec: Bottleneck, *, shares_embeddings: bool = False) -> None:
        bare = {"position": "none", "segments": 0, "embedding_norm": False, "dropout": 0.0}
        super().__init__(spec.model_copy(update=bare), shares_embeddings=shares_embeddings, project=False)
        self.trigrams, self.spec = spec.trigrams, spec
        read, leads = spec.embedding_width * (3 if spec.trigrams else 1), spec.embedding_width != spec.width
        self.widen = nn.Linear(read, spec.width) if spec.trigrams or leads else nn.Identity()
        self.placed = Embeddings(spec.model_copy(update={"embedding": None}), shares_tokens=True)
        self.blocks = nn.ModuleList(BottleneckBlock(spec) for _ in range(spec.depth))

    def layers(self, x_NE: Tensor, layout: Layout) -> Iterator[Tensor]:
        seen = trigrams(x_NE, layout) if self.trigrams else x_NE
        x_NW = self.placed(seen, layout.positions, layout.segments, None, table=self.widen)
        yield x_NW
        for block in self.blocks:
            x_NW = block(x_NW, layout)
            yield x_NW


def trigrams(x_NE: Tensor, layout: Layout) -> Tensor:
    """[e_{i+1}; e_i; e_{i-1}] at every position, zeros beyond either end of a sequence: [N, 3 E]."""
    found = []
    for run, piece in zip(layout.runs, torch.split(x_NE, layout.sizes), strict=True):
        x_RLE = piece.view(run.sequences, run.length, -1)
        after, before = F.pad(x_RLE[:, 1:], (0, 0, 0, 1)), F.pad(x_RLE[:, :-1], (0, 0, 1, 0))
        found.append(torch.cat([after, x_RLE, before], dim=2).flatten(0, 1))
    return torch.cat(found)


class WideScores(nn.Module):
    """norm(activation(dense(x))) [M, W] times the token embeddings with columns of its own beside them, plus a bias.

    It norms whatever the body does.
    """

    def __init__(self, head: TokenHead, spec: Bottleneck, *, out: Backbone) -> None:
        super().__init__()
        self.dense = nn.Linear(spec.width, spec.width, bias=spec.bias)
        self.norm = nn.LayerNorm(spec.width, eps=spec.norm_eps)
        self.weight = nn.Parameter(torch.empty(out.vocab, spec.width - out.embedding_width))
        self.bias = nn.Parameter(torch.zeros(out.vocab)) if head.bias else None
        self.activation = spec.activation

    def forward(self, x_MW: Tensor, tokens: nn.Embedding) -> Tensor:
        return self.lazily(x_MW, tokens).scores()

    def lazily(self, x_MW: Tensor, tokens: nn.Embedding) -> LazyScores:
        said_MW = self.norm(activate(self.activation, self.dense(x_MW)))
        return LazyScores(said_MW, torch.cat([tokens.weight, self.weight], dim=1), self.bias)
