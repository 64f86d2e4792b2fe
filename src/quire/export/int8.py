"""int8 weights in an ONNX graph: several ways are tried, and the fastest that loses little enough is kept.

Weights are int8 with a scale for each channel or for the matrix, inputs are quantised on the way (onnxruntime's dynamic
quantisation). On processors that add pairs of products in 16 bits (x86 without VNNI) products of unsigned inputs and
signed weights can saturate: 7 bits for the weights, or unsigned ones, keep from that, and which of them is quickest
differs from processor to processor. So all are measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quire.adapt.measure import speedup
from quire.core.config import Settings
from quire.export.acceptance import Say, batches, one_by_one, rows
from quire.export.graph import quiet
from quire.export.runtime import Runtime
from quire.export.subject import Subject
from quire.predict.base import Floats


class Way(Settings):
    """How weights are written."""

    name: str
    signed: bool
    by_channel: bool = True
    seven_bits: bool = False


WAYS = (
    Way(name="unsigned, by channel", signed=False),
    Way(name="signed in 7 bits, by channel", signed=True, seven_bits=True),
    Way(name="signed, by channel", signed=True),
    Way(name="unsigned, by matrix", signed=False, by_channel=False),
)


class Tried(Settings):
    """One way beside the fp32 graph."""

    way: str
    loss: float
    """Points: see `Yardstick`."""
    cosine: float
    """The mean over texts, of scores or vectors."""
    speed: float
    slowest: float
    """Times the speed of fp32, a text at a time, one thread: the median of pairs, and their lower quartile."""
    bytes: int

    def good(self, max_loss: float) -> bool:
        """Whether it is measurably faster, and loses no more than is allowed."""
        return self.slowest > 1 and self.loss <= max_loss


@dataclass(frozen=True)
class Yardstick:
    """What int8 may cost, in points.

    With labelled texts accuracy that is lost; without labels the share of texts that get another label; of an encoder
    100 (1 - the mean cosine of the texts' vectors).
    """

    truth: Floats
    labels: Sequence[str]
    """Of the columns; none for an encoder."""
    gold: Sequence[str]

    @property
    def allowed(self) -> float:
        """Unless a person says otherwise."""
        return 0.5 if self.gold and self.labels else 1.0

    def cosine(self, found: Floats) -> float:
        """The mean over rows."""
        norms = np.linalg.norm(self.truth, axis=1) * np.linalg.norm(found, axis=1)
        return float(np.mean((self.truth * found).sum(axis=1) / norms))

    def loss(self, found: Floats) -> float:
        """Points."""
        if not self.labels:
            return 100 * (1 - self.cosine(found))
        before, after = (np.array(self.labels)[rows.argmax(axis=1)] for rows in (self.truth, found))
        if self.gold:
            gold = np.array(self.gold)
            return 100 * float(np.mean(before == gold) - np.mean(after == gold))
        return 100 * float(np.mean(before != after))


def quantise(path: Path, into: Path, way: Way) -> None:
    """Write the graph at `path` with int8 weights of linear layers and tables."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(path, load_external_data=False).graph
    learnt = {tensor.name for tensor in graph.initializer}
    states = [node.name for node in graph.node if node.op_type == "Gather" and node.input[0] not in learnt]
    with quiet():
        quantize_dynamic(
            path,
            into,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            per_channel=way.by_channel,
            reduce_range=way.seven_bits,
            weight_type=QuantType.QInt8 if way.signed else QuantType.QUInt8,
            nodes_to_exclude=states,
        )


def attempt(subject: Subject, fp32: Path, into: Path, way: Way, yardstick: Yardstick, texts: Sequence[str]) -> Tried:
    """Write one way to `into` and measure it."""
    quantise(fp32, into, way)
    slow, fast = Runtime(fp32), Runtime(into)
    found = rows(fast, batches(subject, texts))
    lower, median, _ = speedup(one_by_one(subject, slow), one_by_one(subject, fast), texts)
    return Tried(
        way=way.name,
        loss=yardstick.loss(found),
        cosine=yardstick.cosine(found),
        speed=median,
        slowest=lower,
        bytes=into.stat().st_size,
    )


def best(tried: Sequence[Tried], *, max_loss: float) -> Tried | None:
    """The fastest good one; of two within a twentieth the one that loses less, since clocks are not that exact."""
    good = [one for one in tried if one.good(max_loss)]
    top = max((one.speed for one in good), default=0.0)
    return min((one for one in good if one.speed >= 0.95 * top), key=lambda one: -one.cosine, default=None)


def yardstick(subject: Subject, say: Say, texts: Sequence[str], gold: Sequence[str]) -> Yardstick:
    """What fp32 says of the texts."""
    return Yardstick(rows(say, batches(subject, texts)), subject.labels, gold)
