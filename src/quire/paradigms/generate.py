"""Text from text with an encoder: UniLM's fine-tuning and decoding (Dong et al. 2019, section 2.4; survey: UniLM).

    [CLS] source [SEP] target [SEP]    the source sees itself, the target sees the source and what was written before

L = - mean over hidden target tokens of log p(token | source, what is shown of the target before it)

Learnt is to fill in hidden tokens of the target, the final [SEP] among them, which is how the model learns to stop.
Written is a token at a time: a [MASK] behind what there is, filled in, and so on until [SEP].

Legend: L positions of one sequence, S sources, R rows (a text each that is being written), V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Passage, World
from quire.core.heads import HeadSpec, TokenHead
from quire.core.random import Rng
from quire.core.search import Search, Written
from quire.core.spec import Backbone, Count
from quire.core.visibility import Prefix
from quire.nn.losses import cross_entropy, token_health
from quire.nn.model import Model, Packed, Step
from quire.nn.search import found
from quire.nn.writer import Ends
from quire.noise.rewrite import InPlace, Mask
from quire.noise.select import Exact, Select
from quire.objectives.base import Objective

AT_ONCE = 64
"""Texts in one forward pass: what is written does not depend on it, memory does."""


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
        laid = self.opened(source, target, world)
        return replace(laid, free=np.arange(len(laid)) >= len(source) + 2)

    def opened(self, source: Passage, written: Passage, world: World) -> Example:
        """Source and target as the model sees them; what of them may be hidden is not said yet."""
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
        return cross_entropy(step.lazy(self.slot, head=self.head), step.answers(self.slot))

    def health(self, step: Step) -> Mapping[str, float]:
        return token_health(step.logits(self.slot, head=self.head), step.answers(self.slot))

    def generate(
        self,
        model: Model,
        sources: Sequence[Passage],
        world: World,
        *,
        limit: int,
        beam: int = 1,
        length_penalty: float = 0.0,
    ) -> list[Written]:
        """The best of what beam search finds for each source; with a beam of 1, the likeliest token each time.

        At most `limit` tokens are written. Texts are ranked by sum log p / ((5 + tokens) / 6)^length_penalty, as in the
        release (BertForSeq2SeqDecoder; Wu et al. 2016, section 7). All special tokens but [SEP] are forbidden.
        BadInput for a source that leaves no room in the model's positions.
        """
        _check(sources, limit, model.spec)
        search = Search(limit=limit, beam=beam, length_penalty=length_penalty, penalty="gnmt")
        return found(_Filling(self, model, sources, world), Ends(search, world.vocab.sep)) if sources else []


class _Filling:
    """Tells a token by filling in a [MASK] behind what is written; all is computed anew each time (`nn.writer`)."""

    def __init__(self, task: Generate, model: Model, sources: Sequence[Passage], world: World) -> None:
        self.task, self.model, self.world = task, model.eval(), world
        self.rows: list[tuple[Passage, tuple[int, ...]]] = [(source, ()) for source in sources]

    def start(self) -> Tensor:
        """log p [S, V] of the first token behind each source."""
        return self._told()

    def next(self, tokens_R: Tensor) -> Tensor:
        """log p [R, V] of what comes behind one more token in each row."""
        self.rows = [(s, (*written, t)) for (s, written), t in zip(self.rows, tokens_R.tolist(), strict=True)]
        return self._told()

    def reorder(self, rows: Tensor) -> None:
        """Row i goes on from what row rows[i] has."""
        self.rows = [self.rows[row] for row in rows.tolist()]

    def _told(self) -> Tensor:
        told, vocab, device = [], self.world.vocab, next(self.model.parameters()).device
        allowed = torch.from_numpy(np.append(vocab.ordinary, vocab.sep)).to(device)
        forbidden = torch.ones(self.model.spec.vocab, dtype=torch.bool, device=device).index_fill_(0, allowed, False)
        for start in range(0, len(self.rows), AT_ONCE):
            opened = [self.task.opened(s, _passage(w), self.world) for s, w in self.rows[start : start + AT_ONCE]]
            masked = [_masked(example, vocab.masking()) for example in opened]
            batch = Batch.pack([example.label(self.task.slot, 0, at=len(example) - 1) for example in masked])
            logits_RV = Step(self.model, Packed(batch, device)).logits(self.task.slot, head=self.task.head)
            told.append(logits_RV[torch.from_numpy(np.argsort(batch.order)).to(device)])
        return torch.cat(told).float().masked_fill(forbidden, -torch.inf).log_softmax(dim=-1)


def _check(sources: Sequence[Passage], limit: int, backbone: Backbone) -> None:
    if limit < 1:
        raise BadInput(f"generate: limit {limit}: let at least one token be written")
    for number, source in enumerate(sources, start=1):
        if (needed := len(source) + 2 + limit) > backbone.positions:
            raise BadInput(
                f"generate: source {number} has {len(source)} tokens, which with [CLS], [SEP] and {limit} to write are "
                f"{needed}; the model has {backbone.positions} positions: cut the source or lower `limit`"
            )


def _passage(tokens: Sequence[int]) -> Passage:
    return Passage(np.array(tokens, dtype=np.int64), np.ones(len(tokens), dtype=bool))


def _masked(example: Example, mask: int) -> Example:
    tokens = example.tokens.copy()
    tokens[-1] = mask
    return replace(example, tokens=tokens)
