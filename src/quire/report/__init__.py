"""A study as one HTML file that a person likes to read, and as a model card."""

from quire.report.card import model_card
from quire.report.page import render

__all__ = ["model_card", "render"]
