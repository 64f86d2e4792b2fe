"""Beam search, with the rules of transformers' `generate` under early_stopping=False.

Legend: S sources, R rows (a text each that is being written), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from quire.core.search import Written
from quire.nn.writer import Ends, Writer


class _Text(NamedTuple):
    """A text of a beam: the sum of log p of its tokens, the tokens, and the row that it grew from."""

    log_p: float
    tokens: tuple[int, ...]
    row: int


class _Beam:
    """The texts of one source: those that still grow, likeliest first, and the best of those at their end.

    As transformers has it (`early_stopping=False`): of the 2 * beam likeliest longer texts those at their end are
    kept where they are among the first `beam`, and the first `beam` others grow on. It is over when there are `beam`
    ended ones and the likeliest that grows, ended now, would be no better than the worst of them: with a length
    penalty above 0 a longer text might still have been.
    """

    def __init__(self, ends: Ends, row: int) -> None:
        self.ends, self.search = ends, ends.search
        self.live = [_Text(0.0, (), row)]
        self.ended: list[tuple[float, _Text]] = []

    def grow(self, found: Sequence[tuple[int, float, int]]) -> None:
        """Go on with (text, log p, token) of the likeliest next tokens."""
        longer = [
            _Text(self.live[i].log_p + log_p, (*self.live[i].tokens, token), self.live[i].row)
            for i, log_p, token in found
            if log_p > -np.inf
        ]
        longer = sorted(longer, key=lambda text: -text.log_p)[: 2 * self.search.beam]
        over = [len(t.tokens) == self.search.limit or self.ends.cut(t.tokens) is not None for t in longer]
        width, score = self.search.beam, self.search.score
        first = zip(longer[:width], over, strict=False)
        self.ended += [(score(text.log_p, len(text.tokens)), text) for text, ends in first if ends]
        self.ended = sorted(self.ended, key=lambda entry: -entry[0])[:width]
        self.live = [text for text, ends in zip(longer, over, strict=True) if not ends][:width]
        if self.live and len(self.ended) == width:
            best = self.live[0]
            self.live = self.live if score(best.log_p, len(best.tokens)) > self.ended[-1][0] else []


@torch.inference_mode()
def beams(writer: Writer, ends: Ends) -> list[Written]:
    """The best text of each of a writer's sources."""
    told = writer.start()
    found = [_Beam(ends, row) for row in range(len(told))]
    for t in range(ends.search.limit):
        best = ends.barred(told, t).topk(min(2 * ends.search.beam, told.shape[1]))
        values, tokens = best.values.tolist(), best.indices.tolist()
        grown: list[_Text] = []
        for beam in (b for b in found if b.live):
            candidates = [
                (i, log_p, token)
                for i, text in enumerate(beam.live)
                for log_p, token in zip(values[text.row], tokens[text.row], strict=True)
            ]
            beam.grow(candidates)
            first = len(grown)
            grown += beam.live
            beam.live = [text._replace(row=first + i) for i, text in enumerate(beam.live)]
        if not grown:
            break
        writer.reorder(torch.tensor([text.row for text in grown], device=told.device))
        told = writer.next(torch.tensor([text.tokens[-1] for text in grown], device=told.device))
    return [ends.written(best.tokens, best.log_p) for best in (beam.ended[0][1] for beam in found)]
