"""From a padded module to an ONNX file, by torch's exporter, with nothing in it but the graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch

from quire.core.errors import BadInput
from quire.export.subject import Padded

OPSET = 18
"""Known to every runtime of the last years. Opset 23 has attention as one operator, but runtimes differ about its mask
and quantisers do not know it."""
NEEDED = ("onnx", "onnxruntime", "onnxscript")


def require() -> None:
    """BadInput, in one line, when a package of the extra is not installed."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise BadInput(f"--onnx: {', '.join(missing)} not installed; `pip install 'quire[onnx]'`")


def write_graph(graph: Padded, path: Path) -> None:
    """Trace `graph` and write the file; the axes `batch` and `length` take any size from 1 on."""
    import onnx

    inputs = tuple(torch.ones(2, 3, dtype=torch.int64) for _ in graph.inputs)  # one for two would be traced as one
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    with quiet():
        program = torch.onnx.export(
            graph.eval(),
            inputs,
            input_names=graph.inputs,
            output_names=graph.outputs,
            dynamic_shapes=tuple(axes for _ in graph.inputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    for place in (*proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.value_info, proto.graph):
        place.doc_string = ""
        del place.metadata_props[:]  # the lines of our source that a node came from
    onnx.save(proto, path)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the remarks of exporters and quantisers, which tell a person nothing about the model."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
