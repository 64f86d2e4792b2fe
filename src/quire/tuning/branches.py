"""PALs: every task has a small part of its own in a body that all share (Stickland and Murray 2019, "BERT and PALs").

pals             beside every layer (section 3.3: width 204)
top_attention    above the last layer (section 3.1, "projected attention on top")

All weights learn. The part belongs to a head (`quire.nn.projected`): where tasks take turns, each has its own pass,
and what is kept of a task is the shared body and its head, in Quire's own names as with adapters (`Backbone.branch`).
Their annealed sampling is `finetune.sampling: annealed`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from quire.core.config import parse
from quire.core.errors import BadInput
from quire.core.spec import Backbone, Branch, Size
from quire.nn.initial import initialise
from quire.nn.model import Model
from quire.nn.projected import BRANCH, Projected
from quire.tuning.base import Strategy


class Branching(Strategy):
    """All weights learn, and a branch of every head."""

    home: ClassVar[str] = "quire.tuning"

    seed: int = 0
    """What the branches begin from, all alike."""

    @property
    def published_rate(self) -> float | None:
        return 2e-5

    @abstractmethod
    def plan(self) -> Branch:
        """The branch of a head."""

    def body(self, spec: Backbone) -> Backbone:
        return spec.model_copy(update={"branch": self.plan()})

    def prepare(self, model: Model) -> Model:
        wanted = self.plan()
        if model.spec.branch is None:
            self._insert(model, wanted)
        elif model.spec.branch != wanted:
            raise BadInput(f"strategy.{self.name()}: the model has other branches already; start from one without")
        return model.requires_grad_(True)

    def _insert(self, model: Model, plan: Branch) -> None:
        if not model.spec.can_branch:
            raise BadInput(
                f"strategy.{self.name()}: needs a Transformer encoder with norms behind its sums and no relative "
                f"positions, and this is {model.spec.called}; take BERT or a relative"
            )
        model.spec = model.backbone.spec = self.body(model.spec)
        for name, spec in model.head_specs.items():
            if getattr(spec, "of", "backbone") == "backbone":
                branch = Projected(plan, model.spec)
                initialise(branch, model.spec, seed=self.seed)
                model.heads[name].add_module(BRANCH, branch.to(model.table.weight.device))


class Pals(Branching):
    """Projected attention layers beside the layers; their code has 6 heads, the paper 12 [unverified]."""

    width: Size = 204
    heads: Size = 6

    def plan(self) -> Branch:
        return parse(Branch, {"width": self.width, "heads": self.heads}, where="strategy.pals")


class TopAttention(Branching):
    """Projected attention above the body: 6 layers with 12 heads in their code."""

    width: Size = 204
    heads: Size = 12
    layers: Size = 6

    def plan(self) -> Branch:
        fields = {"width": self.width, "heads": self.heads, "above": self.layers}
        return parse(Branch, fields, where="strategy.top_attention")
