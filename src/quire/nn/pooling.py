"""One vector for a sequence from the states of all its positions, special tokens included (survey: 语义组合).

mean       1/L sum_i h_i
max        max_i h_i, each coordinate by itself (Kim 2014, section 2)
attention  sum_i a_i h_i with a = softmax over i of q h_i, q learned (Zheng et al. 2018; Lin et al. 2017)
last       h_L, which knows the whole text where it is read from left to right
a+b+c      [a; b; c]: last+max+mean is concat pooling (Howard and Ruder 2018, section 3.3), first+max+mean the same for
           bodies that read both ways

Only the sequences that are asked about are looked at, and nothing is padded: a maximum sees no more than they are.

Legend: N positions of all sequences, S sequences, K of them, P their positions, W width.
"""

import torch
from torch import Tensor, nn

from quire.core.spec import Pool


def whole(first_S: Tensor, lengths_S: Tensor, at_K: Tensor) -> tuple[Tensor, Tensor]:
    """The positions [P] of the sequences that the positions `at_K` stand in, and the number in K of each one's [P]."""
    of_K = torch.searchsorted(first_S, at_K, right=True) - 1
    lengths_K = lengths_S[of_K]
    owner_P = torch.arange(len(at_K), device=at_K.device).repeat_interleave(lengths_K)
    begin_K = lengths_K.cumsum(0) - lengths_K
    place_P = torch.arange(len(owner_P), device=at_K.device) - begin_K[owner_P]
    return first_S[of_K][owner_P] + place_P, owner_P


def softmax(scores_P: Tensor, owner_P: Tensor, count: int) -> Tensor:
    """The softmax [P] over the positions of each owner."""
    top_K = scores_P.new_full((count,), -torch.inf).scatter_reduce(0, owner_P, scores_P.detach(), "amax")
    raised_P = (scores_P - top_K[owner_P]).exp()
    return raised_P / raised_P.new_zeros(count).index_add(0, owner_P, raised_P)[owner_P]


def added(x_PW: Tensor, owner_P: Tensor, count: int) -> Tensor:
    """The sum [K, W] of the rows of each owner."""
    return x_PW.new_zeros(count, x_PW.shape[1]).index_add(0, owner_P, x_PW)


class End(nn.Module):
    """The state at one end; the positions of an owner stand together, in their order."""

    def __init__(self, *, last: bool) -> None:
        super().__init__()
        self.last = last

    def forward(self, x_PW: Tensor, owner_P: Tensor, count: int) -> Tensor:
        lengths_K = owner_P.bincount(minlength=count)
        behind_K = lengths_K.cumsum(0)
        return x_PW[behind_K - 1 if self.last else behind_K - lengths_K]


class Mean(nn.Module):
    """The mean of the states."""

    def forward(self, x_PW: Tensor, owner_P: Tensor, count: int) -> Tensor:
        return added(x_PW, owner_P, count) / owner_P.bincount(minlength=count)[:, None]


class Max(nn.Module):
    """The largest value of each coordinate."""

    def forward(self, x_PW: Tensor, owner_P: Tensor, count: int) -> Tensor:
        lowest_KW = x_PW.new_full((count, x_PW.shape[1]), -torch.inf)
        return lowest_KW.scatter_reduce(0, owner_P[:, None].expand_as(x_PW), x_PW, "amax")


class Attentive(nn.Module):
    """The states weighed by how well they meet a learned query."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.empty(width))

    def forward(self, x_PW: Tensor, owner_P: Tensor, count: int) -> Tensor:
        a_P = softmax((x_PW @ self.query).float(), owner_P, count).to(x_PW.dtype)
        return added(a_P[:, None] * x_PW, owner_P, count)


class Joined(nn.Module):
    """What several make of the states, side by side."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x_PW: Tensor, owner_P: Tensor, count: int) -> Tensor:
        return torch.cat([part(x_PW, owner_P, count) for part in self.parts], dim=1)


def build_pooling(how: Pool, width: int) -> nn.Module | None:
    """The module of a way to pool, called with states [P, W], their owners [P] and how many there are -> [K, W], or
    [K, `pooled_width`] where parts stand side by side.

    None for `first`, which needs the states of no other position.
    """
    match how:
        case "first":
            return None
        case "last":
            return End(last=True)
        case "mean":
            return Mean()
        case "max":
            return Max()
        case "attention":
            return Attentive(width)
        case "first+max+mean" | "last+max+mean":
            return Joined(End(last=how.startswith("last")), Max(), Mean())


def pooled_width(how: Pool, width: int) -> int:
    """The width of what is made of states of this width."""
    return width * len(how.split("+"))
