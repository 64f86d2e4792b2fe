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
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from quire.core.catalogue import Component
from quire.predict import Predictor
from quire.predict.network import Network
from quire.predict.vote import Voting
from quire.tuning import Strategy
from quire.tuning.full import Full


class Ensemble(Component):
    """K runs of a strategy, and what is made of them."""

    home: ClassVar[str] = "quire.strategies.ensemble"

    members: Annotated[int, Field(ge=2, le=100)] = 3
    """K."""
    over: Strategy = Full()
    """How each member is fitted."""

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
        return first
