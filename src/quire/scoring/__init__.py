"""How right what is said about reviews is: the scores of the released code, quirks included, and corrected ones."""

from quire.scoring.base import Scores

__all__ = ["Scores"]
