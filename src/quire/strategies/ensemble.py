"""Arms of several runs of one strategy: what K models say together, or the mean of them (Xu et al. 2020, "Improving
BERT Fine-Tuning via Self-Ensemble and Self-Distillation", section 3.1; its tables have K = 4).

vote     sum over k of p(y | x; theta_k): K models answer, and K are deployed
average  p(y | x; 1/K sum over k of theta_k): one model is deployed

Whether the paper adds probabilities or logits, and what its runs share beside the base, is unverified. Here
probabilities are added. Members of a vote differ in all that is drawn; those of an average in the order of data and in
dropout, and start from the same head: else the mean is of weights that mean different things.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field

from quire.adapt.arms import MEMBERS, kept
from quire.core.results import Cost, Run
from quire.predict import Predictor
from quire.predict.network import Network
from quire.predict.vote import Voting
from quire.strategies.compound import Compound

if TYPE_CHECKING:
    from quire.strategies.job import Tuning


class Ensemble(Compound):
    """K runs of a strategy, and what is made of them."""

    members: Annotated[int, Field(ge=2, le=100)] = 3
    """K."""

    @property
    def fits(self) -> int:
        return self.members

    def learnt(self, tuning: Tuning, *, rate: float, seed: int, home: Path) -> tuple[Predictor, Run]:
        """The first member is what the strategy alone learns with this seed; no two runs share another's seed."""
        runs, networks = [], []
        for number in range(self.members):
            place, own = home / MEMBERS / str(number), seed + number * tuning.settings.seeds
            drawn = self.drawn(arm=seed, member=own)
            runs.append(kept(place, partial(tuning.fitted, rate, own, place, drawn=drawn)))
            networks.append(Network.load(place / "model"))
        predictor = self.combined(networks)
        return predictor, Run(dev=tuning.bench.dev_score(predictor), cost=sum((run.cost for run in runs), Cost()))

    @abstractmethod
    def drawn(self, *, arm: int, member: int) -> int:
        """The seed of a member's fresh weights, from that of the arm's run and the member's own."""

    @abstractmethod
    def combined(self, networks: Sequence[Network]) -> Predictor:
        """What is kept of the members; their weights may be changed."""


class Vote(Ensemble):
    """The members' probabilities, added up."""

    def drawn(self, *, arm: int, member: int) -> int:
        return member

    def combined(self, networks: Sequence[Network]) -> Predictor:
        return Voting(networks)


class Average(Ensemble):
    """One network with the mean of the members' weights."""

    def drawn(self, *, arm: int, member: int) -> int:
        return arm

    def combined(self, networks: Sequence[Network]) -> Predictor:
        first, *_ = networks
        states = [network.model.state_dict() for network in networks]
        with torch.no_grad():
            for name, tensor in first.model.state_dict().items():
                if tensor.is_floating_point():  # what counts or names is equal in all
                    tensor.copy_(torch.stack([state[name] for state in states]).mean(dim=0))
        first.model.updates = {}  # a mean of products of low rank is no such product, and these are one member's
        return first
