"""Models as other libraries open them."""

from quire.export.sentences import SentencePool, export_sentences

__all__ = ["SentencePool", "export_sentences"]
