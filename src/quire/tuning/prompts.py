"""Learned prompts: a frozen body reads vectors before every text, and they learn, with the heads.

prefix          keys and values before those of every layer (Li and Liang 2021; Liu et al. 2022, P-tuning v2): layers *
                2 * length * width numbers; layers that share weights share them
prompt_tuning   vectors before the embedded tokens (Lester et al. 2021): length * width numbers

What is kept has them as a part of its backbone: a model folder in Quire's own names, which is opened, made int8 and
exported like any other.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import nn

from quire.core.config import parse
from quire.core.errors import BadInput
from quire.core.spec import Backbone, Size
from quire.nn.attention import Attention
from quire.nn.initial import initialise
from quire.nn.model import Model
from quire.nn.prefix import PrefixTable, Reparametrised, Trunk
from quire.nn.prompt import Prompt
from quire.nn.transformer import Encoder
from quire.tuning.base import Strategy


class Prompting(Strategy):
    """Learnt are the vectors and the heads."""

    home: ClassVar[str] = "quire.tuning"
    field: ClassVar[str]
    """Of the backbone that has them."""
    part: ClassVar[str]
    """What their names contain."""

    length: Size = 20
    seed: int = 0
    """What they begin from."""

    def body(self, spec: Backbone) -> Backbone:
        return parse(Backbone, {**spec.model_dump(), self.field: self.length}, where=f"strategy.{self.name()}")

    def prepare(self, model: Model) -> Model:
        before = getattr(model.spec, self.field)
        if before is None:
            spec = self.body(model.spec)
            self.insert(model, spec)
            model.spec = model.backbone.spec = spec
        elif before != self.length:
            raise BadInput(f"strategy.{self.name()}: the model has another of {before}; start from one without")
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith("heads.") or self.part in name)
        return model

    @abstractmethod
    def insert(self, model: Model, spec: Backbone) -> None:
        """Put them in as this backbone has them."""


class Prefix(Prompting):
    """Keys and values; with `width` a network makes them while they learn."""

    field: ClassVar[str] = "prefix"
    part: ClassVar[str] = ".attention.prefix."

    width: Size | None = None
    """Of the hidden layer of that network (Li and Liang 2021: 512); P-tuning v2 finds it of no use for many tasks."""

    @property
    def published_rate(self) -> float | None:
        """P-tuning v2's scripts search from 5e-3 to 1e-2."""
        return 5e-3

    def insert(self, model: Model, spec: Backbone) -> None:
        trunk = Trunk(spec, width=self.width) if self.width else None
        for number, attention in enumerate(_attentions(model)):
            table = PrefixTable(spec) if trunk is None else Reparametrised(spec, trunk)
            initialise(table, spec, seed=self.seed + number)
            attention.prefix = table.to(model.table.weight.device)
        if trunk is not None:
            initialise(trunk, spec, seed=self.seed - 1)

    def prepare(self, model: Model) -> Model:
        if self.width and any(type(attention.prefix) is PrefixTable for attention in _attentions(model)):
            raise BadInput("strategy.prefix.width: the model's prefix stands without its network; leave it out")
        super().prepare(model)
        for attention in _attentions(model):
            if isinstance(attention.prefix, Reparametrised):
                attention.prefix.weight.requires_grad_(False)
        return model

    @contextmanager
    def kept(self, model: Model) -> Iterator[None]:
        attentions = list(_attentions(model))
        before = [attention.prefix for attention in attentions]
        self.finish(model)
        try:
            yield
        finally:
            for attention, prefix in zip(attentions, before, strict=True):
                attention.prefix = prefix

    def finish(self, model: Model) -> None:
        for attention in _attentions(model):
            if isinstance(attention.prefix, Reparametrised):
                attention.prefix = attention.prefix.plain(model.spec)


class PromptTuning(Prompting):
    """Vectors that begin as what drawn tokens of the vocabulary are embedded as."""

    field: ClassVar[str] = "prompt"
    part: ClassVar[str] = "backbone.prompt."

    @property
    def published_rate(self) -> float | None:
        """Published is 0.3 for Adafactor, whose steps are relative to the size of the weights; with AdamW a step is
        about the rate itself, so that this is chosen for vectors whose numbers are about 1 (not published)."""
        return 1e-2

    @torch.no_grad()
    def insert(self, model: Model, spec: Backbone) -> None:
        assert isinstance(model.backbone, Encoder)
        prompt = Prompt(spec)
        draw = torch.Generator().manual_seed(self.seed)
        tokens_P = torch.randint(spec.vocab, (self.length,), generator=draw)
        places_P = torch.arange(self.length) % spec.positions
        embeddings, training = model.backbone.embeddings, model.training
        where = model.table.weight.device
        found = embeddings.eval()(tokens_P.to(where), places_P.to(where), torch.zeros_like(places_P).to(where), None)
        embeddings.train(training)
        prompt.weight = nn.Parameter(found.clone())
        model.backbone.prompt = prompt


def _attentions(model: Model) -> Iterator[Attention]:
    return (part for part in model.backbone.modules() if isinstance(part, Attention))
