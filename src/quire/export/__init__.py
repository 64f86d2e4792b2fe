"""Models as others run them: folders that other libraries open, and graphs that need no library of models."""

from quire.export.job import Outcome, export_onnx
from quire.export.lora import export_lora
from quire.export.sentences import SentencePool, export_sentences

__all__ = ["Outcome", "SentencePool", "export_lora", "export_onnx", "export_sentences"]
