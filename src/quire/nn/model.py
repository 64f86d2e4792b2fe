"""A model is a backbone with heads; a step is one batch on its way through it.

Legend: N positions of all sequences, T positions of what decoders write beside them, S sequences, M asked positions,
W width, E width of the embeddings, C classes or vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from functools import cached_property, partial
from typing import Self

import torch
from torch import Tensor, nn

from quire.core.bodies import Bag, Bottleneck, Cnn, Hierarchical, Lstm, Star, Tree
from quire.core.example import IGNORE, Batch
from quire.core.heads import HeadSpec
from quire.core.spec import Backbone
from quire.nn.attention import Layout
from quire.nn.bag import BagEncoder
from quire.nn.body import Body, last
from quire.nn.bottleneck import BottleneckEncoder
from quire.nn.cnn import CnnEncoder
from quire.nn.crossing import Crossing, Source
from quire.nn.heads import build_head
from quire.nn.hierarchical import HierarchicalEncoder
from quire.nn.initial import initialise
from quire.nn.lazy import Lazy, LazyScores
from quire.nn.lstm import LstmEncoder
from quire.nn.pointing import Places, PointerScores
from quire.nn.pooling import whole
from quire.nn.private import PrivateScores
from quire.nn.projected import BRANCH, Projected
from quire.nn.star import StarEncoder
from quire.nn.transformer import Encoder
from quire.nn.tree import TreeEncoder

DECODER = "decoder"
"""The name of the backbone's decoder among the bodies."""


class Model(nn.Module):
    """Backbone and heads as their specs say, with weights drawn from `seed`, or none drawn where it is None.

    `parts` may also name further bodies, which share the backbone's embeddings (ELECTRA's generator).
    """

    def __init__(self, backbone: Backbone, parts: Mapping[str, HeadSpec | Backbone], *, seed: int | None = 0) -> None:
        super().__init__()
        self.spec = backbone
        self.updates: Mapping[str, Tensor] = {}
        """What was added to the weights and is kept apart too: see `quire.tuning.lora`."""
        bodies = {name: part for name, part in parts.items() if isinstance(part, Backbone)}
        self.head_specs = {name: part for name, part in parts.items() if not isinstance(part, Backbone)}
        specs = {"backbone": backbone, DECODER: backbone, **bodies}
        with torch.device("meta"):  # torch's own initialisation would be drawn twice
            self.backbone = self._body(backbone)
            self.bodies = nn.ModuleDict(
                {name: build_body(spec, shares_embeddings=True) for name, spec in bodies.items()}
            )
            self.heads = nn.ModuleDict(
                {
                    name: build_head(spec, backbone, specs[getattr(spec, "of", "backbone")])
                    for name, spec in self.head_specs.items()
                }
            )
        self.to_empty(device="cpu")
        initialise(self, backbone, seed=seed)

    @classmethod
    def of(cls, backbone: Backbone, parts: Mapping[str, HeadSpec | Backbone], state: Mapping[str, Tensor]) -> Self:
        """One with weights from `state`, which may hold more. KeyError or RuntimeError where they do not fit."""
        model = cls(backbone, parts, seed=None)
        model.load_state_dict({name: state[name] for name in model.state_dict()})
        return model

    def _body(self, backbone: Backbone) -> Body:
        """The backbone, before weights are drawn."""
        return build_body(backbone)

    def forward(
        self, batch: Packed, at_M: Tensor | None = None, *, by: str = "backbone", of: str | None = None
    ) -> Tensor:
        """States [N, W] of a packed batch, or [M, W] at the positions `at_M`, computed by the body called `by`, and by
        the branch of the head `of`."""
        if (branch := self.branch(of, by=by)) is not None:
            return last(self._beside(branch, batch, at_M))
        states: Tensor = self.body(by)(self.embed(batch), batch.layout, at_M)
        return states

    def layers(self, batch: Packed, *, by: str = "backbone", of: str | None = None) -> list[Tensor]:
        """The states [N, W] on the way through the body called `by`, one for each of its `spec.layers`."""
        if (branch := self.branch(of, by=by)) is not None:
            return list(self._beside(branch, batch))
        return list(self.body(by).layers(self.embed(batch), batch.layout))

    def _beside(self, branch: Projected, batch: Packed, at_M: Tensor | None = None) -> Iterator[Tensor]:
        assert isinstance(self.backbone, Encoder)  # no other has branches
        return branch.layers(self.backbone, self.embed(batch), batch.layout, at_M)

    def branch(self, head: str | None, *, by: str = "backbone") -> Projected | None:
        """What a head adds to the backbone for its own task. Where it is the only one, that is there for all."""
        if head is None and len(self.heads) == 1:
            (head,) = self.heads
        found = None if head is None or by != "backbone" else getattr(self.heads[head], BRANCH, None)
        assert isinstance(found, Projected | None)
        return found

    def body(self, name: str) -> Body:
        """The backbone, or another body by its name."""
        found = self.backbone if name == "backbone" else self.bodies[name]
        assert isinstance(found, Body)
        return found

    def write(self, target: Packed, states_NW: Tensor, at_M: Tensor | None = None) -> Tensor:
        """States [T, W] of the decoder that writes `target` beside sequences with these states, or [M, W]."""
        decoder, crossing = getattr(self.backbone, DECODER, None), target.crossing
        if decoder is None or crossing is None:
            raise ValueError("write: a backbone with a decoder, and the target of a batch")
        x_TE = decoder.embeddings(
            target.tokens,
            target.positions,
            target.segments,
            target.languages,
            table=self.written_table,
        )
        states: Tensor = decoder(x_TE, target.layout, at_M, Source(states_NW, crossing))
        return states

    @property
    def table(self) -> nn.Embedding:
        """The token embeddings, which decoders are tied to."""
        return self.backbone.embeddings.tokens

    @property
    def written_table(self) -> Callable[[Tensor], Tensor]:
        """The embeddings of what a decoder writes: those of tokens, and of a pointer's labels behind them."""
        pointers = [head for head in self.heads.values() if isinstance(head, PointerScores)]
        return partial(pointers[0].embed, table=self.table) if pointers else self.table

    def embed(self, batch: Packed) -> Tensor:
        """The embedded tokens [N, E]."""
        x_NE: Tensor = self.backbone.embeddings(batch.tokens, batch.positions, batch.segments, batch.languages)
        return x_NE

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())


def build_body(spec: Backbone, *, shares_embeddings: bool = False) -> Body:
    """The module that a backbone describes."""
    match spec:
        case Star():
            return StarEncoder(spec, shares_embeddings=shares_embeddings)
        case Bag():
            return BagEncoder(spec, shares_embeddings=shares_embeddings)
        case Bottleneck():
            return BottleneckEncoder(spec, shares_embeddings=shares_embeddings)
        case Cnn():
            return CnnEncoder(spec, shares_embeddings=shares_embeddings)
        case Lstm():
            return LstmEncoder(spec, shares_embeddings=shares_embeddings)
        case Tree():
            return TreeEncoder(spec, shares_embeddings=shares_embeddings)
        case Hierarchical():
            return HierarchicalEncoder(spec, shares_embeddings=shares_embeddings)
        case _:
            return Encoder(spec, shares_embeddings=shares_embeddings)


class Packed:
    """A Batch as tensors on a device, with its attention layout."""

    def __init__(self, batch: Batch, device: torch.device | str = "cpu") -> None:
        def move(values: object) -> Tensor:
            return torch.as_tensor(values).to(device, non_blocking=True)

        self.tokens, self.positions, self.segments = map(move, (batch.tokens, batch.positions, batch.segments))
        self.languages = None if batch.languages is None else move(batch.languages)
        self.first = move(batch.offsets[:-1].astype("int64"))  # [S] where each sequence begins
        self.lengths = move(batch.lengths.astype("int64"))  # [S]
        self.layout = Layout.of(
            batch.lengths.tolist(), batch.sees, positions=self.positions, segments=self.segments, device=device
        )
        self.asked = {slot: move((values != IGNORE).nonzero()[0]) for slot, values in batch.answers.items()}
        self.answers = {slot: move(values[values != IGNORE]) for slot, values in batch.answers.items()}
        self.order, self.size = batch.order, batch.size
        self.target = None if batch.target is None else Packed(batch.target, device)
        self.crossing: Crossing | None = None  # of a target: who looks at which source
        if self.target is not None and batch.target is not None:
            hidden = None if batch.hidden is None else move(batch.hidden)
            self.target.crossing = Crossing(
                batch.target.lengths.tolist(), batch.lengths.tolist(), hidden, device=device
            )

    @cached_property
    def wanted(self) -> Tensor:
        """The positions [M] where states are needed, ascending."""
        wanted: Tensor = torch.unique(torch.cat([self.blocks[0], *self.asked.values()]))
        return wanted

    @cached_property
    def blocks(self) -> tuple[Tensor, Tensor]:
        """Where each block begins [B], and its length [B]: what stands apart in a sequence, else the sequence."""
        if len(self.layout.lengths) == len(self.lengths):
            return self.first, self.lengths
        lengths_B = torch.tensor(self.layout.lengths, device=self.first.device)
        return lengths_B.cumsum(0) - lengths_B, lengths_B

    def blocks_of(self, at_K: Tensor) -> tuple[Tensor, Tensor]:
        """Where the blocks [B] of the sequences begin that the positions `at_K` stand in, and the number in K of each
        one's [B]."""
        first_B, _ = self.blocks
        begin_S, end_S = (torch.searchsorted(first_B, at) for at in (self.first, self.first + self.lengths))
        of_K = torch.searchsorted(self.first, at_K, right=True) - 1
        block_B, owner_B = whole(begin_S, end_S - begin_S, begin_S[of_K])
        return first_B[block_B], owner_B

    def showing(self, tokens_N: Tensor) -> Packed:
        """The same batch with other tokens at the same places, where nothing is asked by a slot."""
        other = copy(self)
        other.tokens, other.asked, other.answers, other.wanted = tokens_N, {}, {}, self.first
        return other


class Step:
    """One forward pass, shared by all who ask: the last layer and the scores exist only at asked positions.

    Asked are the positions of all slots and the first of each block. Whoever needs other states calls `encode`
    first, and the rest share its pass. An objective that needs another view of the batch, or another body, makes a
    Step of its own with `view`. What a decoder writes beside the batch is the Step `target`, which looks at this one's
    states. A head with a branch of its own has a pass of its own, `of` it.
    """

    def __init__(
        self, model: Model, batch: Packed, *, by: str = "backbone", source: Step | None = None, of: str | None = None
    ) -> None:
        self.model, self.batch, self.by, self.source, self.of = model, batch, by, source, of
        self._own: dict[str, Step] = {}  # by head
        self.notes: dict[str, Tensor] = {}
        self._states: Tensor | None = None  # [N, W]
        self._asked: Tensor | None = None  # [M, W], where the batch wants states
        self._layers: list[Tensor] | None = None

    def note(self, name: str, value: Tensor) -> None:
        """A figure for the log, such as one term of a loss that is a sum: the loop writes it as `loss_{name}`."""
        self.notes[name] = value.detach()

    @cached_property
    def target(self) -> Step:
        """The decoder's side: its positions are those of `batch.target`. ValueError where nothing is written."""
        if self.batch.target is None:
            raise ValueError("nothing is written beside this batch")
        return type(self)(self.model, self.batch.target, by=DECODER, source=self)

    def view(self, batch: Packed, *, by: str = "backbone") -> Step:
        """A step of its own over another view of the batch, or through another body."""
        return type(self)(self.model, batch, by=by)

    def encode(self) -> Tensor:
        """All states [N, W], computed at the first call."""
        if self._states is None:
            self._states = self._computed(None)
        return self._states

    def layers(self) -> list[Tensor]:
        """The states [N, W] on the way to the last ones, and these: see `Body.layers`. Not of a decoder."""
        if self._layers is None:
            if self.source is not None:
                raise ValueError("the layers of a decoder are not kept")
            self._layers = self.model.layers(self.batch, by=self.by, of=self.of)
            self._states = self._layers[-1]
        return self._layers

    def _computed(self, at_M: Tensor | None) -> Tensor:
        if self.source is None:
            states: Tensor = self.model(self.batch, at_M, by=self.by, of=self.of)
            return states
        return self.model.write(self.batch, self.source.encode(), at_M)

    def passed(self, head: str) -> Step:
        """The pass that a head's branch takes part in: this one, where it has none or all have it."""
        if self.model.branch(head, by=self.by) is self.model.branch(self.of, by=self.by):
            return self
        if head not in self._own:
            self._own[head] = type(self)(self.model, self.batch, by=self.by, of=head)
        return self._own[head]

    def states(self, at_K: Tensor) -> Tensor:
        """The states [K, W] at these positions; those that no slot asks for make it compute all."""
        if self._states is not None:
            return self._states.index_select(0, at_K)
        at_M = self.batch.wanted
        place_K = torch.searchsorted(at_M, at_K).clamp(max=len(at_M) - 1)
        if not torch.equal(at_M[place_K], at_K):
            return self.encode().index_select(0, at_K)
        if self._asked is None:
            self._asked = self._computed(at_M)
        return self._asked.index_select(0, place_K)

    def vectors(self, head: str, at_K: Tensor) -> Tensor:
        """[K, W]: the states at these positions as a head sees them, or what its pool makes of the blocks that they are
        of."""
        module, step = self.model.heads[head], self.passed(head)
        mix: nn.Module | None = getattr(module, "mix", None)
        pool: nn.Module | None = getattr(module, "pool", None)

        def states(at: Tensor) -> Tensor:
            found: Tensor = step.states(at) if mix is None else mix(step.layers())[at]
            return found

        if pool is None:
            return states(at_K)
        at_P, owner_P = whole(*self.batch.blocks, at_K)
        pooled_KW: Tensor = pool(states(at_P), owner_P, len(at_K))
        return pooled_KW

    def scores(self, head: str, at_K: Tensor) -> Tensor:
        """The scores [K, C] that `head` gives at asked positions, or for the blocks that they are of; for the whole
        sequences where it has `windows`, or reads them itself."""
        module = self.model.heads[head]
        windows: nn.Module | None = getattr(module, "windows", None)
        if isinstance(module, PrivateScores):
            at_P, owner_P = whole(self.batch.first, self.batch.lengths, at_K)
            lengths_K = owner_P.bincount(minlength=len(at_K))
            scores_KC: Tensor = module(self.model.embed(self.batch)[at_P], self.passed(head).states(at_P), lengths_K)
            return scores_KC
        if isinstance(module, PointerScores):
            owner_K = torch.searchsorted(self.batch.first, at_K, right=True) - 1
            pointed_KC: Tensor = module(self.states(at_K), owner_K, self._places(module))
            return pointed_KC
        if windows is None:
            vectors_KW = self.vectors(head, at_K)
        else:
            at_B, owner_B = self.batch.blocks_of(at_K)
            vectors_KW = windows(self.vectors(head, at_B), owner_B, len(at_K))
        found_KC: Tensor = module(vectors_KW, self.table)
        return found_KC

    def _places(self, pointer: PointerScores) -> Places:
        """What a pointer can say about the texts that this decoder looks at. ValueError where it looks at none."""
        if self.source is None:
            raise ValueError("a pointer says something about the text that a decoder looks at")
        batch = self.source.batch
        return pointer.places(self.source.encode(), batch.tokens, batch.lengths, self.table)

    @property
    def table(self) -> nn.Embedding:
        """The token embeddings, which decoders are tied to."""
        return self.model.table

    def asked(self, slot: str) -> Tensor:
        """The positions [M] where a slot asks, ascending; M may be 0."""
        return self.batch.asked.get(slot, self.batch.first[:0])

    def logits(self, slot: str, *, head: str | None = None) -> Tensor:
        """Scores [M, C] of the head called `slot`, or of another, where that slot asks."""
        return self.scores(head or slot, self.asked(slot))

    def lazy(self, slot: str, *, head: str | None = None) -> LazyScores | Tensor:
        """What `logits` gives, of a head over the vocabulary as the product that it ends with, not yet taken."""
        name, at_M = head or slot, self.asked(slot)
        if name in self.model.heads and isinstance(module := self.model.heads[name], Lazy):
            return module.lazily(self.vectors(name, at_M), self.table)
        return self.scores(name, at_M)

    def answers(self, slot: str) -> Tensor:
        """The answers [M] of a slot, in the order of `logits`."""
        return self.batch.answers.get(slot, self.batch.first[:0])
