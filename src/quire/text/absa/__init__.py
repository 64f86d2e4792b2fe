"""Files of aspect-based sentiment analysis, each format in its own file; all give `Review`s."""

from quire.text.absa.opening import compared, read_reviews, refuse_pooled

__all__ = ["compared", "read_reviews", "refuse_pooled"]
