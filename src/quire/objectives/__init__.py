"""Objectives: how to damage an example, what to ask, what to minimise. Each stands in its own file."""

from quire.objectives.base import Objective

__all__ = ["Objective"]
