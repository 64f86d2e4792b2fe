"""Compressors: smaller or faster models from a model. Each stands in its own file."""

from quire.compress.base import Compressor

__all__ = ["Compressor"]
