"""(h) The same encoder as a graph that onnxruntime runs: sentences a second, in fp32 and in int8, beside ours.

Legend: S sequences of a batch, W width.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks import peers
from benchmarks.harness import Result, Row, Scale, Side, agree, timed, versus
from benchmarks.text import Labelled
from quire.compress.quantize import DynamicInt8
from quire.core.example import Batch
from quire.export.acceptance import Say
from quire.export.graph import require, write_graph
from quire.export.int8 import WAYS, Yardstick, quantise
from quire.export.runtime import Runtime
from quire.export.subject import Subject, subject
from quire.nn.model import Model
from quire.predict.base import Floats
from quire.predict.features import Features
from quire.train.machine import counted
from quire.train.start import Base, started

TITLE = "onnx"
FP32 = "onnxruntime"
INT8 = {way.name: f"onnxruntime int8, {way.name}" for way in WAYS}
OURS_INT8 = "quire int8"
SETTINGS = {"together": 1, "one by one": 10}
"""How texts come, and the share of the sentences that a turn has then: one in so many."""
REMARKS = (
    "ONNX: the mean of the last states, from text to vector; Quire packs sentences by length, a graph gets them sorted "
    "by length, padded, in batches; one by one is a sentence a call on either side.",
)

Embed = Callable[[Sequence[str]], Floats]


def measure(text: list[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """All sentences again and again, together and one by one."""
    require()
    sentences = [sentence for sentence, _ in text[: scale.sentences]]
    model = started(base.files, {}, seed=0).eval()
    found = subject(peers.write(folder / "model", model, base.tokenizer, pooler=base.files.pooler))
    sides = _sides(found, model, scale, folder)
    ours = sides.pop("quire")
    truth, necessary = counted(lambda: ours(sentences))
    agreements = (agree(f"{TITLE}: quire, {FP32}", truth, sides[FP32](sentences)),)
    yardstick = Yardstick(truth, (), [])
    small = {name: yardstick.cosine(embed(sentences)) for name, embed in sides.items() if name != FP32}
    remarks = tuple(f"ONNX: mean cosine of {name} to fp32: {cosine:.4f}." for name, cosine in small.items())
    rows: list[Row] = []
    for setting, share in SETTINGS.items():
        some = sentences[::share]
        turn = _together if setting == "together" else _one_by_one
        rows += versus(
            f"{TITLE}, {setting}",
            Side("quire", timed(partial(turn, ours, some))),
            [Side(name, timed(partial(turn, embed, some))) for name, embed in sides.items()],
            pairs=scale.pairs,
            unit="sentences",
            work=len(some),
            flops=necessary * len(some) // len(sentences),
        )
    return Result(tuple(rows), agreements, (*REMARKS, *remarks))


def _together(embed: Embed, sentences: Sequence[str]) -> None:
    embed(sentences)


def _one_by_one(embed: Embed, sentences: Sequence[str]) -> None:
    for sentence in sentences:
        embed([sentence])


def _sides(found: Subject, model: Model, scale: Scale, folder: Path) -> dict[str, Embed]:
    longest = min(scale.longest, found.length)
    small = DynamicInt8().apply(model, DynamicInt8().plan(model))
    write_graph(found.graph, folder / "model.onnx")
    paths = {FP32: folder / "model.onnx"}
    for way in WAYS:
        name = INT8[way.name]
        paths[name] = folder / f"{way.name}.onnx"
        quantise(paths[FP32], paths[name], way)
    threads = torch.get_num_threads()
    graphs = {name: Runtime(path, threads=threads) for name, path in paths.items()}
    ours: dict[str, Embed] = {
        name: partial(_ours, whole, found, longest) for name, whole in {"quire": model, OURS_INT8: small}.items()
    }
    return ours | {name: partial(_padded, say, found, scale.batch, longest) for name, say in graphs.items()}


def _ours(model: Model, found: Subject, longest: int, sentences: Sequence[str]) -> Floats:
    return Features.features(model, found.tokenizer, sentences, length=longest, how="head")


def _padded(say: Say, found: Subject, batch: int, longest: int, sentences: Sequence[str]) -> Floats:
    """Sorted by length, in batches; back in the order they came."""
    examples = replace(found, length=longest).examples(sentences)
    order = np.argsort([len(example) for example in examples], kind="stable")
    pieces = []
    for start in range(0, len(order), batch):
        packed = Batch.pack([examples[i] for i in order[start : start + batch]])
        pieces.append(say(packed)[-1][np.argsort(packed.order)])
    return np.asarray(np.concatenate(pieces)[np.argsort(order)], dtype=np.float32)
