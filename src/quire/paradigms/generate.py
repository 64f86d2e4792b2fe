"""Text from text with an encoder: UniLM's fine-tuning and decoding (Dong et al. 2019, section 2.4; survey: UniLM).

    [CLS] source [SEP] target [SEP]    the source sees itself, the target sees the source and what was written before

L = - mean over hidden target tokens of log p(token | source, what is shown of the target before it)

Learnt is to fill in hidden tokens of the target, the final [SEP] among them, which is how the model learns to stop.
Written is a token at a time: a [MASK] behind what there is, filled in, and so on until [SEP].

Legend: L positions of one sequence, H hypotheses, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Ints, Passage, World
from quire.core.heads import HeadSpec, TokenHead
from quire.core.random import Rng
from quire.core.spec import Backbone, Count
from quire.core.visibility import Prefix
from quire.nn.losses import cross_entropy, token_health
from quire.nn.model import Model, Packed, Step
from quire.noise.rewrite import InPlace, Mask
from quire.noise.select import Exact, Select
from quire.objectives.base import Objective

AT_ONCE = 64
"""Hypotheses in one forward pass: what is written does not depend on it, memory does."""

Hypothesis: TypeAlias = tuple[float, tuple[int, ...]]
"""The sum of log p of its tokens, and the tokens, [SEP] included."""


@dataclass(frozen=True)
class Generated:
    """What was written for a source: tokens [L] without [SEP], their score, and whether [SEP] came in time."""

    tokens: Ints
    score: float
    finished: bool


class Generate(Objective):
    """Hide 70 % of a target and its [SEP], 80/10/10, and ask for them from the source and what is left to the left.

    The release hides round(0.7 * tokens of the target), at least one, drawn from the target and its [SEP]; here [SEP]
    counts as one of them. Segments are BERT's; a model that was pre-trained as UniLM wants [4, 5].
    """

    select: Select = Exact(rate=0.7)
    rewrite: InPlace = Mask()
    head: str = "mlm"
    segments: tuple[Count, Count] = (0, 1)

    def format(self, source: Passage, target: Passage, world: World) -> Example:
        """One pair, of which the target and its [SEP] may be hidden."""
        laid = self._opened(source, target, world)
        return replace(laid, free=np.arange(len(laid)) >= len(source) + 2)

    def _opened(self, source: Passage, written: Passage, world: World) -> Example:
        vocab, (one, two) = world.vocab, self.segments
        parts = (vocab.cls, one), (source, one), (vocab.sep, one), (written, two), (vocab.sep, two)
        return replace(Example.laid(vocab, *parts), sees=Prefix(len(source) + 2))

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        if 0 < backbone.segments <= (used := max(self.segments)):
            raise BadInput(f"segment {used} is one of {backbone.segments}, counted from 0; choose other `segments`")
        return {self.head: TokenHead()}

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        target = np.flatnonzero(example.free)
        where = np.zeros(len(example), dtype=bool)
        where[target] = self.select.choose(example.free[target], example.starts[target], rng)
        return example.ask(self.slot, where, self.rewrite.apply(example.tokens, where, world.vocab, rng))

    def loss(self, step: Step) -> Tensor:
        return cross_entropy(step.logits(self.slot, head=self.head), step.answers(self.slot))

    def health(self, step: Step) -> Mapping[str, float]:
        return token_health(step.logits(self.slot, head=self.head), step.answers(self.slot))

    @torch.inference_mode()
    def generate(
        self,
        model: Model,
        sources: Sequence[Passage],
        world: World,
        *,
        limit: int,
        beam: int = 1,
        length_penalty: float = 0.0,
    ) -> list[Generated]:
        """The best of what beam search finds for each source; with a beam of 1, the likeliest token each time.

        At most `limit` tokens are written. Hypotheses are ranked by sum log p / ((5 + tokens) / 6)^length_penalty, as
        in the release (BertForSeq2SeqDecoder; Wu et al. 2016, section 7). All special tokens but [SEP] are forbidden.
        BadInput for a source that leaves no room in the model's positions.
        """
        _check(sources, limit, model.spec)
        model.eval()
        live: list[list[Hypothesis]] = [[(0.0, ())] for _ in sources]
        ended: list[list[Hypothesis]] = [[] for _ in sources]

        def ranked(hypothesis: Hypothesis) -> float:
            return hypothesis[0] / _penalty(len(hypothesis[1]), length_penalty)

        for written in range(1, limit + 1):
            asked = [(s, hypothesis) for s, beams in enumerate(live) for hypothesis in beams]
            if not asked:
                break
            grown: list[list[Hypothesis]] = [[] for _ in sources]
            opened = [self._opened(sources[s], _passage(tokens), world) for s, (_, tokens) in asked]
            values_HB, tokens_HB = self._next(model, opened, world).topk(min(beam, world.vocab.size))
            for (s, (score, tokens)), values, found in zip(asked, values_HB.tolist(), tokens_HB.tolist(), strict=True):
                grown[s] += [(score + v, (*tokens, t)) for v, t in zip(values, found, strict=True) if v > -np.inf]
            for s, candidates in enumerate(grown):
                best = sorted(candidates, key=lambda hypothesis: -hypothesis[0])[:beam]
                ended[s] += [h for h in best if h[1][-1] == world.vocab.sep or written == limit]
                live[s] = [h for h in best if h[1][-1] != world.vocab.sep]
                if ended[s] and live[s]:  # scores only fall: is there a live one that may still become the best?
                    hope = live[s][0][0] / _penalty(limit, length_penalty)
                    live[s] = live[s] if hope > max(map(ranked, ended[s])) else []
        return [_generated(best, ranked(best), world.vocab.sep) for best in (max(e, key=ranked) for e in ended)]

    def _next(self, model: Model, opened: Sequence[Example], world: World) -> Tensor:
        """log p [H, V] of the token behind each; their last position, a [SEP], becomes the [MASK] that is filled in."""
        rows, device = [], next(model.parameters()).device
        allowed = torch.from_numpy(np.append(world.vocab.ordinary, world.vocab.sep)).to(device)
        forbidden = torch.ones(model.spec.vocab, dtype=torch.bool, device=device).index_fill_(0, allowed, False)
        for start in range(0, len(opened), AT_ONCE):
            masked = [_masked(example, world.vocab.mask) for example in opened[start : start + AT_ONCE]]
            batch = Batch.pack([example.label(self.slot, 0, at=len(example) - 1) for example in masked])
            logits_HV = Step(model, Packed(batch, device)).logits(self.slot, head=self.head)
            rows.append(logits_HV[torch.from_numpy(np.argsort(batch.order)).to(device)])
        return torch.cat(rows).float().masked_fill(forbidden, -torch.inf).log_softmax(dim=-1)


def _check(sources: Sequence[Passage], limit: int, backbone: Backbone) -> None:
    if limit < 1:
        raise BadInput(f"generate: limit {limit}: let at least one token be written")
    for number, source in enumerate(sources, start=1):
        if (needed := len(source) + 2 + limit) > backbone.positions:
            raise BadInput(
                f"generate: source {number} has {len(source)} tokens, which with [CLS], [SEP] and {limit} to write are "
                f"{needed}; the model has {backbone.positions} positions: cut the source or lower `limit`"
            )


def _penalty(tokens: int, exponent: float) -> float:
    penalty: float = ((5 + tokens) / 6) ** exponent
    return penalty


def _generated(best: Hypothesis, score: float, sep: int) -> Generated:
    tokens = np.array(best[1], dtype=np.int64)
    finished = bool(tokens[-1] == sep)
    return Generated(tokens[:-1] if finished else tokens, score, finished)


def _passage(tokens: Sequence[int]) -> Passage:
    return Passage(np.array(tokens, dtype=np.int64), np.ones(len(tokens), dtype=bool))


def _masked(example: Example, mask: int) -> Example:
    tokens = example.tokens.copy()
    tokens[-1] = mask
    return replace(example, tokens=tokens)
