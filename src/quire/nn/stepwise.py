"""A body told token by token: what stands before is read once and kept, and the scores are those of a full pass.

What begins a text is read as a packed batch, so that sequences of unequal length share no padding. Then every row
gets one token at a time. A backbone is read causally (GPT), or its beginning as a prefix that sees itself (UniLM); a
decoder also looks at the keys and values of its sources, which are made once.

Legend: N positions of a packed batch, R rows (one sequence each), S sequences at the beginning, W width, H heads,
D width of a head, L positions of a source, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Batch, Example
from quire.core.spec import Backbone
from quire.core.visibility import Causal, Full, Prefix, Visibility
from quire.nn.attention import Attention, Layout, Run
from quire.nn.cache import Cache, View, beyond, rowwise
from quire.nn.crossing import CrossAttention
from quire.nn.model import DECODER, Model, Packed
from quire.nn.pointing import Places, PointerScores
from quire.nn.transformer import Block, Decoder, Encoder

Mix: TypeAlias = Callable[[int, Tensor, Tensor, Tensor, Layout], Tensor]
"""(layer, queries, keys and values [N, H, D], layout) -> [N, W]"""


@dataclass(frozen=True, eq=False)
class _Sources:
    """What the decoder's rows look at: keys and values [R, H, L, D] of each layer, and what is hidden of them."""

    layers: list[tuple[Tensor, Tensor]]
    mask: Tensor | None  # [R, 1, 1, L]

    @classmethod
    def of(cls, decoder: Decoder, states_NW: Tensor, batch: Batch, layout: Layout, order: Tensor) -> _Sources:
        lengths_R = torch.empty_like(order)
        lengths_R[order] = torch.from_numpy(batch.lengths.astype(np.int64)).to(order.device)
        longest = int(lengths_R.max())
        mask = beyond(lengths_R, torch.arange(longest, device=order.device))
        if batch.hidden is not None:
            hidden_N11 = torch.from_numpy(batch.hidden).to(order.device)[:, None, None]
            hidden_R11L = rowwise(hidden_N11, layout, order, capacity=longest).transpose(2, 3)
            seen = states_NW.new_zeros(hidden_R11L.shape) if mask is None else mask
            mask = seen.masked_fill(hidden_R11L, float("-inf"))
        projected = (_cross(block).project(states_NW) for block in decoder.blocks)
        layers = [
            (rowwise(k, layout, order, capacity=longest), rowwise(v, layout, order, capacity=longest))
            for k, v in projected
        ]
        return cls(layers, mask)

    def reorder(self, rows: Tensor) -> _Sources:
        return _Sources([(k[rows], v[rows]) for k, v in self.layers], None if self.mask is None else self.mask[rows])

    def mixed(self, cross: CrossAttention, layer: int, q_NHD: Tensor, layout: Layout, order: Tensor | None) -> Tensor:
        """[N, W]: what packed queries take from their sources; sequence s looks at row order[s], or at row s."""
        k, v = self.layers[layer]
        found, first = [], 0
        for run, piece in zip(layout.runs, torch.split(q_NHD, layout.sizes), strict=True):
            here = slice(first, first := first + run.sequences)
            rows = here if order is None else order[here]
            q = piece.view(run.sequences, run.length, *piece.shape[1:]).transpose(1, 2)
            mask = None if self.mask is None else self.mask[rows]
            found.append(cross.mix(q, k[rows], v[rows], mask=mask).transpose(1, 2).flatten(2).flatten(0, 1))
        return torch.cat(found)


class Stepwise:
    """Log-probabilities of the next token of each row, from a head on the backbone or on its decoder.

    A `quire.nn.search.Writer`. The examples are what the texts begin with, or sources whose `target` is.
    """

    def __init__(self, model: Model, examples: Sequence[Example], *, head: str) -> None:
        """BadInput for a body that cannot be read so."""
        self.model, self.head, self.examples = model.eval(), head, examples
        self.crosses = getattr(model.head_specs[head], "of", "backbone") == DECODER
        check(model.spec, head=head)
        backbone = model.backbone
        assert isinstance(backbone, Encoder)
        self.body: Encoder | Decoder = backbone
        self.layers = [(backbone.block(i), backbone.spec.sees_locally(i)) for i in range(backbone.spec.depth)]
        if self.crosses:
            assert backbone.decoder is not None
            self.body, self.layers = backbone.decoder, [(block, False) for block in backbone.decoder.blocks]
        self.sources: _Sources | None = None
        self.pointed: Places | None = None  # of each row, where the head is a pointer

    def start(self) -> Tensor:
        """log p [S, V] of what comes first behind each example, in their order."""
        examples = [e if self.crosses else replace(e, sees=_beginning(e)) for e in self.examples]
        batch, device = Batch.pack(examples), next(self.model.parameters()).device
        packed, order = Packed(batch, device), torch.from_numpy(batch.order).to(device)
        if self.crosses:
            assert isinstance(self.body, Decoder)
            states_NW = self.model(packed)
            self.sources = _Sources.of(self.body, states_NW, batch, packed.layout, order)
            if isinstance(pointer := self.model.heads[self.head], PointerScores):
                places = pointer.places(states_NW, packed.tokens, packed.lengths, self.model.table)
                self.pointed = places.reorder(torch.argsort(order))
            assert packed.target is not None
            packed = packed.target
        back, last = torch.argsort(order), packed.first + packed.lengths - 1
        self.cache = Cache(packed.lengths[back])
        self.places = packed.positions[last][back] + 1  # [R] where the next token of each row stands
        self.segments = packed.segments[last][back]
        self.languages = None if packed.languages is None else packed.languages[last][back]
        layout = packed.layout if self.body.distances is None else self.body.distances.biased(packed.layout)
        x_NE = self._embed(packed.tokens, packed.positions, packed.segments, packed.languages)

        def mix(layer: int, q: Tensor, k: Tensor, v: Tensor, seen: Layout) -> Tensor:
            self.cache.keep(k, v, seen, order)
            return self._attention(layer).mixed(q, k, v, seen)

        return self._told(self._through(x_NE, layout, order, mix, last=last)[back])

    def next(self, tokens_R: Tensor) -> Tensor:
        """log p [R, V] of what comes behind one more token in each row."""
        layout = Layout([Run(0, len(tokens_R), 1, Causal(), tokens_R.device)], self.places, self.segments)
        whole = self.cache.view(distances=self.body.distances)
        radius = self.model.spec.window
        local = self.cache.view(radius=radius, distances=self.body.distances) if radius else whole
        read_R = tokens_R if self.pointed is None else self.pointed.read(tokens_R)
        x_RE = self._embed(read_R, self.places, self.segments, self.languages)

        def mix(layer: int, q: Tensor, k: Tensor, v: Tensor, seen: Layout) -> Tensor:
            view: View = local if self.layers[layer][1] else whole
            keys, values = self.cache.add(layer, k, v, view)
            return self._attention(layer).mix(q.unsqueeze(2), keys, values, mask=view.mask).flatten(1)

        states_RW = self._through(x_RE, layout, None, mix)
        self.cache.grow()
        self.places = self.places + 1
        return self._told(states_RW)

    def reorder(self, rows: Tensor) -> None:
        """Row i goes on from what row rows[i] has."""
        if len(rows) == len(self.places) and torch.equal(rows, torch.arange(len(rows), device=rows.device)):
            return
        self.cache.reorder(rows)
        self.places, self.segments = self.places[rows], self.segments[rows]
        self.languages = None if self.languages is None else self.languages[rows]
        self.sources = None if self.sources is None else self.sources.reorder(rows)
        self.pointed = None if self.pointed is None else self.pointed.reorder(rows)

    def _through(
        self, x: Tensor, layout: Layout, order: Tensor | None, mix: Mix, *, last: Tensor | None = None
    ) -> Tensor:
        """The states [N, W] of embedded tokens [N, E], or those at `last` alone."""
        x = x if self.body.project is None else self.body.project(x)
        for i, (block, local) in enumerate(self.layers):
            assert isinstance(block, Block)
            seen = layout.within(self.model.spec.window or 0) if local else layout
            mixed = mix(i, *self._attention(i).project(block.before(x), seen), seen)
            if last is not None and self.sources is None and i == len(self.layers) - 1:
                x, mixed = x[last], mixed[last]  # nobody looks at the others
            x = block.summed(x, self._attention(i).out(mixed))
            if self.sources is not None:
                cross = _cross(block)
                queries = cross.queries(block.before_cross(x))
                x = block.crossed(x, cross.out(self.sources.mixed(cross, i, queries, layout, order)))
            x = block.fed(x)
        states: Tensor = self.body.norm(x if last is None or self.sources is None else x[last])
        return states

    def _attention(self, layer: int) -> Attention:
        attention = self.layers[layer][0].attention
        assert isinstance(attention, Attention)
        return attention

    def _embed(self, tokens: Tensor, positions: Tensor, segments: Tensor, languages: Tensor | None) -> Tensor:
        found: Tensor = self.body.embeddings(tokens, positions, segments, languages, table=self.model.written_table)
        return found

    def _told(self, states_RW: Tensor) -> Tensor:
        head = self.model.heads[self.head]
        if self.pointed is None:
            scores_RV: Tensor = head(states_RW, self.model.table)
        else:
            scores_RV = head(states_RW, torch.arange(len(states_RW), device=states_RW.device), self.pointed)
        return scores_RV.float().log_softmax(dim=-1)


def check(spec: Backbone, *, head: str) -> None:
    """BadInput for a body that cannot be told token by token."""
    if spec.prompt:
        raise BadInput(f"head {head!r}: a text is not told token by token behind a learned prompt; take prefix")
    if spec.kind != "transformer" or spec.position == "relative" or spec.branch:
        what = "branches" if spec.branch else f"{spec.position} positions"
        raise BadInput(
            f"head {head!r}: a {spec.kind} with {what} cannot be told token by token from what stands "
            "before; take backbone.kind transformer without branches, with positions that are not relative"
        )


def _beginning(example: Example) -> Visibility:
    """A prefix that stands whole in the beginning is one to what comes behind; all else is read causally."""
    if isinstance(example.sees, Prefix) and example.sees.size <= len(example):
        return example.sees if example.sees.size < len(example) else Full()
    return example.sees & Causal()


def _cross(block: torch.nn.Module) -> CrossAttention:
    cross = block.cross
    assert isinstance(cross, CrossAttention)
    return cross
