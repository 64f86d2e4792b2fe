"""A model of transformers where a backbone stands, so that objectives run on it unchanged.

Legend: S sequences, L columns, N positions of all sequences, M, K some of them, W width, E width of the embeddings,
V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from quire.core.errors import BadInput
from quire.core.example import Vocab
from quire.core.heads import HeadSpec, TokenHead
from quire.core.spec import Backbone
from quire.core.visibility import Backward, Causal, Full, Visibility
from quire.hf.padding import Rectangle, additive, counted, mask
from quire.nn.body import Body
from quire.nn.model import DECODER, Model, Packed, Step
from quire.train.families import read_config
from quire.train.families.base import Family


def described(theirs: Any) -> tuple[Family | None, Backbone]:
    """The family of a model, and what objectives must know of it; without a family, as much as all have in common."""
    config = theirs.config
    try:
        return read_config(config.to_dict(), where=Path(type(theirs).__name__))
    except BadInput:
        drop = max((m.p for m in theirs.modules() if isinstance(m, nn.Dropout)), default=0.0)
        return None, Backbone(
            vocab=theirs.get_input_embeddings().num_embeddings,
            depth=config.num_hidden_layers,
            decoder=getattr(config, "decoder_layers", config.num_hidden_layers) if config.is_encoder_decoder else None,
            width=config.hidden_size,
            heads=1,
            ffn=config.hidden_size,
            positions=getattr(config, "max_position_embeddings", None) or 1_000_000,
            segments=getattr(config, "type_vocab_size", 0),
            dropout=drop,
        )


@dataclass(frozen=True, eq=False)
class Told:
    """What their model says of a batch: states [N, W], scores [N, V] of its own head, if any, and its decoder's."""

    states: Tensor
    scores: Tensor | None = None
    target: Told | None = None


class Host(Model):
    """Their model as the backbone, its own head over the vocabulary, and beside it what else objectives ask for."""

    backbone: Any

    def __init__(
        self,
        theirs: Any,
        described: tuple[Family | None, Backbone],
        parts: Mapping[str, HeadSpec | Backbone],
        vocab: Vocab,
        *,
        seed: int = 0,
    ) -> None:
        """BadInput where their model has no place for a part."""
        family, backbone = described
        own = DECODER if backbone.decoder else "backbone"
        scores = theirs.get_output_embeddings() is not None
        at_home = {n for n, part in parts.items() if scores and isinstance(part, TokenHead) and part.of == own}
        super().__init__(backbone, {name: part for name, part in parts.items() if name not in at_home}, seed=seed)
        self.to(theirs.device, theirs.dtype)
        self.backbone, self.at_home, self.vocab = theirs, frozenset(at_home), vocab
        self.name, self.family = type(theirs).__name__, family
        self.taken = inspect.signature(self.reader.forward).parameters.keys()
        if self.bodies and not hasattr(theirs.base_model, "embeddings"):
            raise BadInput(
                f"{', '.join(self.bodies)}: shares embeddings, which {self.name} does not have in one place; "
                "take a relative of BERT"
            )

    def _body(self, backbone: Backbone) -> Body:
        return cast(Body, nn.Identity())  # theirs takes its place when the rest is drawn

    @property
    def reader(self) -> Any:
        """The part of their model that reads a text: all but its heads, or its encoder."""
        return self.backbone.get_encoder() if self.spec.decoder else self.backbone.base_model

    @property
    def table(self) -> nn.Embedding:
        found: nn.Embedding = self.backbone.get_input_embeddings()
        return found

    def embed(self, batch: Packed) -> Tensor:
        rectangle = Rectangle.of(batch)
        module = self.backbone.base_model.embeddings
        takes = inspect.signature(module.forward).parameters
        given = {name: value for name, value in self.tokens(batch, rectangle).items() if name in takes}
        x_NE: Tensor = rectangle.taken(module(**given))
        return x_NE

    def tell(self, batch: Packed) -> Told:
        """One pass of their model over a batch, and over what its decoder writes beside it."""
        rectangle = Rectangle.of(batch)
        given = self.tokens(batch, rectangle) | {"attention_mask": self.mask(batch, rectangle)}
        if self.spec.decoder or not self.at_home:
            read = self.reader(**given)
            states_NW = rectangle.taken(read.last_hidden_state)
            return Told(states_NW, target=None if batch.target is None else self.written(batch, rectangle, read))
        found = self.backbone(**given, output_hidden_states=True)
        scores_SLV = found.logits if "logits" in found else found.prediction_logits
        return Told(rectangle.taken(found.hidden_states[-1]), rectangle.taken(scores_SLV))

    def written(self, batch: Packed, source: Rectangle, read: Any) -> Told:
        """What is told of a target beside a source that was `read`, which its decoder may not see all of (MASS)."""
        assert batch.target is not None
        assert batch.target.crossing is not None
        hidden_N, target = batch.target.crossing.hidden_N, Rectangle.of(batch.target, placed=True)
        found = self.backbone(
            encoder_outputs=read,
            attention_mask=source.there() if hidden_N is None else source.laid((~hidden_N).long()),
            decoder_input_ids=target.laid(batch.target.tokens, blank=self.vocab.pad),
            decoder_attention_mask=target.there(),
            output_hidden_states=True,
        )
        if not self.at_home:
            return Told(target.taken(found.last_hidden_state))
        return Told(target.taken(found.decoder_hidden_states[-1]), target.taken(found.logits))

    def tokens(self, batch: Packed, rectangle: Rectangle) -> dict[str, Tensor]:
        """What their embeddings take; BadInput where they have no place for what an example says."""
        given = {"input_ids": rectangle.laid(batch.tokens, blank=self.vocab.pad)}
        segments = self.spec.segments if self.family is None or self.family.typed else 0
        if segments > 1 and "token_type_ids" in self.taken:
            if self.spec.position != "relative" and (last := int(batch.segments.max())) >= segments:
                raise BadInput(f"segment {last}: {self.name} has {segments}, counted from 0; raise its type_vocab_size")
            given["token_type_ids"] = rectangle.laid(batch.segments)
        moved, takes = not torch.equal(batch.positions, counted(batch)), "position_ids" in self.taken
        if moved and (self.family is None or not takes):
            raise BadInput(f"positions that do not count from 0: {self.name} takes none; take texts without, or BERT")
        offset = self.family.offset if self.family else 0
        if moved or (offset and takes):  # RoBERTa does not count a token that pads, and a random token may be one
            given["position_ids"] = rectangle.laid(batch.positions) + offset
        if self.spec.languages:
            languages = torch.zeros_like(batch.tokens) if batch.languages is None else batch.languages
            given["langs"] = rectangle.laid(languages)
        return given

    def mask(self, batch: Packed, rectangle: Rectangle) -> Tensor:
        """[S, L] where tokens are, or [S, 1, L, L] who sees whom where that is not as their model has it."""
        rules = {run.sees for run in batch.layout.runs}
        if rules == {self.native}:
            return rectangle.there()
        if not self.takes_masks:
            raise BadInput(
                f"{', '.join(sorted(map(str, rules)))}: {self.name} sees {self.native} and takes no other mask; "
                "take an objective that sees as it does, or train with Quire"
            )
        return additive(rectangle.seen(batch.layout.runs), self.backbone.dtype)

    @cached_property
    def native(self) -> Visibility:
        """What their model sees by itself."""
        return Full() if self.sees(None)[0, 1] else Causal()

    @cached_property
    def takes_masks(self) -> bool:
        """Whether a mask decides who sees whom, and nothing else does: found by trying."""
        windows = (getattr(self.backbone.config, name, None) for name in ("sliding_window", "local_attention"))
        if self.spec.window is not None or any(windows):
            return False  # a mask would stand in for the windows too
        try:
            return all(torch.equal(self.sees(rule), mask(rule, 2)) for rule in (Causal(), Backward()))
        except (RuntimeError, ValueError, IndexError, TypeError, AssertionError):
            return False

    def sees(self, rule: Visibility | None) -> Tensor:
        """[2, 2] whether, under this rule, the state of one of two tokens changes with another."""
        a, b, c = self.vocab.ordinary[:3].tolist()
        device, was = self.backbone.device, self.backbone.training
        seen = torch.ones(3, 2, device=device) if rule is None else mask(rule, 2).to(device).expand(3, 1, 2, 2)
        given = seen.long() if rule is None else additive(seen, self.backbone.dtype)
        self.backbone.eval()
        with torch.no_grad():
            ids = torch.tensor([[a, b], [c, b], [a, c]], device=device)
            states_32W = self.reader(input_ids=ids, attention_mask=given).last_hidden_state
        self.backbone.train(was)
        changed = (states_32W[1:] - states_32W[0]).abs().amax(dim=-1)  # [2 tokens that change, 2 states]
        seen_22: Tensor = (changed > 1e-6 * states_32W.abs().max()).T.cpu()
        return seen_22


class HostStep(Step):
    """A batch on its way through a model of transformers: states and scores of one pass, unpadded."""

    model: Host

    @cached_property
    def told(self) -> Told:
        """What their model said of this side."""
        if not isinstance(self.source, HostStep):
            return self.model.tell(self.batch)
        assert self.source.told.target is not None
        return self.source.told.target

    def _computed(self, at_M: Tensor | None) -> Tensor:
        if self.by not in ("backbone", DECODER):
            return super()._computed(at_M)
        return self.told.states if at_M is None else self.told.states[at_M]

    def scores(self, head: str, at_K: Tensor) -> Tensor:
        if head not in self.model.at_home:
            return super().scores(head, at_K)
        assert self.told.scores is not None
        return self.told.scores[at_K]
