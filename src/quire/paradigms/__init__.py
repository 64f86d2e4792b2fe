"""Paradigms: objectives that can also answer. Each stands in its own file."""

from quire.paradigms.base import Paradigm

__all__ = ["Paradigm"]
