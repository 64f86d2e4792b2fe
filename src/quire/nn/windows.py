"""One vector for a text from the vectors of its windows (Sun et al. 2019, "How to Fine-Tune BERT", section 5.3.1).

mean, max, attention  as over states (`quire.nn.pooling`): a text of one window has the vector of that, bit for bit.
                      Their attention is told in words alone; ours has one learned query
transformer           the mean of what a layer makes of the vectors and learned places (Pappagari et al. 2019, ToBERT).
                      Theirs has two layers and reads what a tuned BERT says; ours is learnt with the rest, its norms
                      before the sums, so that it begins near the mean

Legend: P windows, K texts, W width of a window's vector.
"""

from math import gcd

import torch
from torch import Tensor, nn

from quire.core.heads import MOST, Windows
from quire.core.spec import Backbone
from quire.core.visibility import Full
from quire.nn.attention import Layout
from quire.nn.pooling import Mean, build_pooling
from quire.nn.tables import new_table
from quire.nn.transformer import Block


class Reread(nn.Module):
    """mean(layer(x + places)): the only one that knows the order of the windows."""

    def __init__(self, spec: Backbone, width: int) -> None:
        super().__init__()
        self.places = new_table(MOST, width)
        layer = Backbone(
            width=width,
            heads=gcd(width, spec.heads),
            ffn=4 * width,
            position="none",
            norm_first=True,
            embedding_norm=False,
            norm_eps=spec.norm_eps,
            dropout=spec.dropout,
            attention_dropout=spec.attention_dropout,
        )
        self.block, self.mean = Block(layer), Mean()

    def forward(self, x_PW: Tensor, owner_P: Tensor, count: int) -> Tensor:
        if not count:
            return x_PW
        sizes = owner_P.bincount(minlength=count).tolist()
        place_P = torch.cat([torch.arange(size, device=x_PW.device) for size in sizes])
        layout = Layout.of(sizes, [Full()] * count, positions=place_P, device=x_PW.device)
        mean_KW: Tensor = self.mean(self.block(x_PW + self.places(place_P), layout), owner_P, count)
        return mean_KW


def build_windows(how: Windows, spec: Backbone, width: int) -> nn.Module:
    """The module of a way to join windows, called as pools are: vectors [P, W], their texts [P], how many -> [K, W]."""
    if how == "transformer":
        return Reread(spec, width)
    pool = build_pooling(how, width)
    assert pool is not None  # none is the first alone
    return pool
