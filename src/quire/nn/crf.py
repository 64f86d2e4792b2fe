"""A linear-chain conditional random field over packed rows (Lafferty et al. 2001; Lample et al. 2016, section 2.2).

    score(y) = start[y_1] + sum_t scores[t, y_t] + sum_t next[y_t, y_t+1] + end[y_n]
    log p(y) = score(y) - log Z,   Z = sum of exp(score(y')) over all C^n rows y'

Log Z is summed forward in log space, and the best row is found by Viterbi. Rows are of any lengths, nothing is padded:
at each step the rows that are long enough go on together, the longest first.

Legend: M words of all rows, S rows, R rows that go on, C tags.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from quire.nn.lstm import Course


class Chain(NamedTuple):
    """How good a tag is at the start, behind another, and at the end; -inf for what is forbidden."""

    start_C: Tensor
    next_CC: Tensor
    end_C: Tensor

    def within(self, allowed_CC: Tensor) -> Chain:
        """The same, where a tag stands only behind what it is allowed behind; tag 0 stands for both ends of a row."""
        no_CC, never = ~allowed_CC, float("-inf")
        start_C, end_C = self.start_C.masked_fill(no_CC[0], never), self.end_C.masked_fill(no_CC[:, 0], never)
        return Chain(start_C, self.next_CC.masked_fill(no_CC, never), end_C)


class ChainScores(nn.Module):
    """The parameters of a chain. They begin at 0, where tags do not depend on each other."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(tags))
        self.next = nn.Parameter(torch.zeros(tags, tags))
        self.end = nn.Parameter(torch.zeros(tags))

    def begin(self) -> None:
        """All rows alike."""
        for scores in self.parameters():
            scores.zero_()

    def forward(self) -> Chain:
        return Chain(self.start.float(), self.next.float(), self.end.float())


def unchained(like_MC: Tensor) -> Chain:
    """The chain in which all rows are alike, for scores like these."""
    tags = like_MC.shape[1]
    return Chain(like_MC.new_zeros(tags), like_MC.new_zeros(tags, tags), like_MC.new_zeros(tags))


def log_likelihood(scores_MC: Tensor, tags_M: Tensor, lengths_S: Tensor, chain: Chain) -> Tensor:
    """log p [S] of these tags, for rows of these lengths laid end to end; 0 for an empty row. In float32."""
    scores_MC = scores_MC.float()
    return row_scores(scores_MC, tags_M, lengths_S, chain) - log_z(scores_MC, lengths_S, chain)


def row_scores(scores_MC: Tensor, tags_M: Tensor, lengths_S: Tensor, chain: Chain) -> Tensor:
    """score(y) [S]."""
    row_M = torch.repeat_interleave(torch.arange(len(lengths_S), device=tags_M.device), lengths_S)
    begins_M = torch.ones_like(row_M, dtype=torch.bool)
    begins_M[1:] = row_M[1:] != row_M[:-1]
    led_to_M = torch.where(begins_M, chain.start_C[tags_M], chain.next_CC[tags_M.roll(1), tags_M])
    words_M = scores_MC.gather(1, tags_M[:, None]).squeeze(1) + led_to_M
    held_K = lengths_S.nonzero()[:, 0]
    ends_K = chain.end_C[tags_M[(lengths_S.cumsum(0) - 1)[held_K]]]
    return scores_MC.new_zeros(len(lengths_S)).index_add(0, row_M, words_M).index_add(0, held_K, ends_K)


def log_z(scores_MC: Tensor, lengths_S: Tensor, chain: Chain) -> Tensor:
    """log Z [S]."""
    course = Course.of(lengths_S.tolist(), scores_MC.device)
    ended: list[Tensor] = []
    so_far_RC, led_to_RC = scores_MC[:0], chain.start_C  # log sum over rows so far, by the last tag and by the next
    for step, here_RC in enumerate(_by_step(scores_MC, course)):
        if step:
            ended.append(so_far_RC[len(here_RC) :])
            led_to_RC = torch.logsumexp(so_far_RC[: len(here_RC), :, None] + chain.next_CC, dim=1)
        so_far_RC = led_to_RC + here_RC
    whole_KC = torch.cat([so_far_RC, *reversed(ended)]) + chain.end_C
    held_K = course.longest_first_S[: len(whole_KC)]
    return scores_MC.new_zeros(len(lengths_S)).index_add(0, held_K, torch.logsumexp(whole_KC, dim=1))


def viterbi(scores_MC: Tensor, lengths_S: Tensor, chain: Chain) -> Tensor:
    """The tags [M] of the best row for each; of a chain that allows no row at all, any."""
    if not len(scores_MC):
        return lengths_S[:0]
    course = Course.of(lengths_S.tolist(), scores_MC.device)
    best: list[Tensor] = []  # [R, C] at each step: the best score up to here, by the last tag
    back: list[Tensor] = []  # [R, C] at each step but the first: the tag before, by the tag here
    led_to_RC = chain.start_C
    for here_RC in _by_step(scores_MC.float(), course):
        if best:
            led_to_RC, before_RC = (best[-1][: len(here_RC), :, None] + chain.next_CC).max(dim=1)
            back.append(before_RC)
        best.append(led_to_RC + here_RC)
    tag_R = lengths_S[:0]
    tags = [tag_R]
    for best_RC, before_RC in zip(reversed(best), [scores_MC[:0].long(), *reversed(back)], strict=True):
        ended_R = (best_RC[len(tag_R) :] + chain.end_C).argmax(dim=1)
        tag_R = torch.cat([before_RC.gather(1, tag_R[:, None]).squeeze(1), ended_R])
        tags.append(tag_R)
    return torch.cat(tags[::-1])[course.places[0]]


def _by_step(scores_MC: Tensor, course: Course) -> tuple[Tensor, ...]:
    """The scores [R, C] of the first words of all rows, then of the second ones, and so on."""
    return torch.split(scores_MC[course.orders[0]], course.sizes_T.tolist())
