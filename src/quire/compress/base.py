"""What a compressor is: first a plan, which can be printed and tested, then a new model."""

from abc import abstractmethod
from typing import ClassVar, Generic, TypeVar

from quire.core.catalogue import Component
from quire.nn.model import Model

Plan = TypeVar("Plan")


class Compressor(Component, Generic[Plan]):
    """`apply(model, plan(model))` is a new model; the old one stays as it was."""

    home: ClassVar[str] = "quire.compress"

    @abstractmethod
    def plan(self, model: Model) -> Plan:
        """What will be done, as data."""

    @abstractmethod
    def apply(self, model: Model, plan: Plan) -> Model:
        """The compressed model, which answers, saves and loads like any other."""
