"""onnxruntime beside ours: the same batch, padded. Legend: B sequences, L the longest, N tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from quire.core.example import Batch, Ints
from quire.predict.base import Floats


class Runtime:
    """An ONNX file that answers batches as `Subject.truth` does."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = [found.name for found in self.session.get_inputs()]

    def __call__(self, batch: Batch) -> tuple[Floats, ...]:
        """Scores [B, C], or states [N, W] and their means [B, W], in the packed order."""
        asked = padded(batch, self.inputs)
        real_BL = asked["attention_mask"] > 0
        return tuple(found[real_BL] if found.ndim == 3 else found for found in self.session.run(None, asked))


def padded(batch: Batch, inputs: Sequence[str]) -> Mapping[str, Ints]:
    """What a graph reads [B, L], in the packed order; padding behind holds a token that the mask must hide."""
    real_BL = np.arange(batch.lengths.max()) < batch.lengths[:, None]
    values = {"input_ids": batch.tokens, "attention_mask": np.ones_like(batch.tokens), "token_type_ids": batch.segments}
    found = {}
    for name in inputs:
        found[name] = np.full(real_BL.shape, 1 if name == "input_ids" else 0)
        found[name][real_BL] = values[name]
    return found
