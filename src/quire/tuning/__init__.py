"""Strategies: which parameters learn, how fast, and what else is minimised. Each stands in its own file."""

from quire.tuning.base import Group, Strategy

__all__ = ["Group", "Strategy"]
