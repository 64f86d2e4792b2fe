"""(l) What a corpus costs over its size: seconds from nothing to the first update, again from a checkpoint, and memory.

The corpus is a small one as token shards, many times over: as large on disk as one that was written from text.
"""

import hashlib
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from shutil import rmtree
from typing import Literal

import numpy as np

from benchmarks import memory, pretraining
from benchmarks.harness import Clock, Curve, Result, Scale
from benchmarks.text import Labelled
from quire import recipe
from quire.core.errors import Stopped
from quire.core.example import Ints
from quire.pretrain import Material
from quire.pretrain.material import SPECIALS
from quire.text import writing
from quire.text.packing import SentencePairs
from quire.text.shards import File, Index, Shards
from quire.train.loop import fit, rehearse
from quire.train.signals import StopRequest
from quire.train.start import Base

SHAPES: tuple[Literal["blocks", "documents", "sentence-pairs"], ...] = ("blocks", "documents", "sentence-pairs")
BOUNDS = ("documents", "sentences")
REMARKS = (
    "Corpora: megabytes of shards, the text of the benchmark many times over, warm in the file cache. A start is all "
    "that `quire pretrain` does once tokenizer and shards are there, to the end of the first update of a tiny model; a "
    "resumption is the same with a checkpoint. Where pairs of sentences begin is found once for a corpus and kept "
    "beside it: that has rows of its own. Memory at the peak has pages of the corpus that the system may take back at "
    "any time; without files it is the peak less all pages of files that are there at the end. Each is a process of "
    "its own; of what it imports only what is imported late is counted.",
)


@dataclass(frozen=True)
class Started:
    """What one start cost: seconds, and bytes that memory rose by: at its peak, and pages of files at the end."""

    seconds: float
    peak: int
    files: int


@dataclass(frozen=True)
class Walk:
    """The first look for pairs of sentences in the corpus of a folder."""

    folder: Path
    length: int

    def run(self) -> Started:
        """As long as no start has been there."""
        gauge = memory.Gauge()
        gauge.start()
        files, begin = memory.resident("RssFile"), time.perf_counter()
        room = self.length - SPECIALS["sentence-pairs"]
        pairs = SentencePairs(Shards.open(self.folder / "corpus"), length=room, seed=0)
        assert len(pairs)
        return Started(time.perf_counter() - begin, gauge.risen(), memory.resident("RssFile") - files)


@dataclass(frozen=True)
class Start:
    """A tiny model on the corpus of a folder."""

    folder: Path
    shape: Literal["blocks", "documents", "sentence-pairs"]
    length: int
    stopping: bool  # after the first update, which is then saved

    def run(self) -> Started:
        """Go on from a checkpoint where there is one."""
        clock, gauge, stop = Clock(), memory.Gauge(), StopRequest()
        stop.reason = "the benchmark" if self.stopping else ""
        gauge.start()
        files, begin = memory.resident("RssFile"), time.perf_counter()
        material = Material(self.recipe(), self.folder, lambda: ())
        job = material.job(steps=2, seed=0)
        model = material.model(job)
        rehearse(job)
        with suppress(Stopped):
            fit(model, job, folder=self.folder / self.shape, progress=clock, stop=stop)
        return Started(clock.ticks[1] - begin, gauge.risen(), memory.resident("RssFile") - files)

    def recipe(self) -> recipe.Recipe:
        """BERT's masks over the shape, with a checkpoint after every update."""
        whole = recipe.load("bert-base")
        tiny = whole.resized(depth=1, width=32, heads=2, ffn=64, length=self.length, tokenizer=whole.data.tokenizer)
        update = {
            "data": tiny.data.model_copy(update={"shape": self.shape}),
            "objectives": (pretraining.masked(),),
            "train": tiny.train.model_copy(update={"batch": 8, "checkpoint_every": 1}),
        }
        return tiny.model_copy(update=update)


def measure(text: Sequence[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """Each shape at each size; the disk holds one corpus at a time."""
    small = written(text, base, folder / "small")
    found: dict[str, dict[int, list[float]]] = {}
    for size in scale.corpora:
        home = folder / f"{size}"
        base.tokenizer.save(home / "tokenizer")
        enlarged(small, home / "corpus", size=size)
        walk = memory.alone(Walk(home, scale.length).run)
        taken = {"seconds": walk.seconds, "memory without files, MB": (walk.peak - walk.files) / 1e6}
        for name, figure in taken.items():
            found.setdefault(f"where pairs begin, once: {name}", {})[size // 10**6] = [figure]
        for shape in SHAPES:
            for _ in range(scale.pairs):
                first, again = (memory.alone(Start(home, shape, scale.length, stop).run) for stop in (True, False))
                figures = {
                    "start, seconds": first.seconds,
                    "resumption, seconds": again.seconds,
                    "memory at the peak, MB": first.peak / 1e6,
                    "memory without files, MB": (first.peak - first.files) / 1e6,
                }
                for name, figure in figures.items():
                    found.setdefault(f"{shape}: {name}", {}).setdefault(size // 10**6, []).append(figure)
                rmtree(home / shape)
        rmtree(home)
    curves = tuple(Curve.of(title, "MB of shards", points) for title, points in found.items())
    return Result((), (), REMARKS, curves=curves)


def written(text: Sequence[Labelled], base: Base, folder: Path) -> Shards:
    """The text as shards, a document for each label in a row."""
    documents = ("\n".join(sentence for sentence, _ in rows) for _, rows in groupby(text, key=lambda row: row[1]))
    return writing.write(folder, documents, tokenizer=base.tokenizer)


def enlarged(small: Shards, folder: Path, *, size: int) -> Shards:
    """A corpus many times over, until its tokens take `size` bytes or more."""
    old = small.index
    tokens = [name for name in old.files if re.match(r"(tokens|starts)-", name)]
    times = -(-size // sum(old.files[name].bytes for name in tokens))
    folder.mkdir()
    files = {name: _copied(folder / name, [(small.folder / name).read_bytes()] * times) for name in tokens}
    for name, bounds in zip(BOUNDS, (small.document_bounds, small.sentence_bounds), strict=True):
        files[f"{name}.bin"] = _copied(folder / f"{name}.bin", _moved(bounds, times))
    files["counts.bin"] = _copied(folder / "counts.bin", [(times * small.unigram_counts()).astype("<i8").tobytes()])
    index = Index(
        tokens=times * old.tokens,
        documents=times * old.documents,
        sentences=times * old.sentences,
        skipped=times * old.skipped,
        dtype=old.dtype,
        vocabulary=old.vocabulary,
        tokenizer=old.tokenizer,
        shards=[times * count for count in old.shards],
        files=files,
    )
    index = index.model_copy(update={"fingerprint": index.total()})
    (folder / "index.json").write_text(index.model_dump_json(), encoding="utf-8")
    return Shards.open(folder)


def _moved(bounds: Ints, times: int) -> list[bytes]:
    """The same bounds in each copy of the corpus, and its end."""
    length = bounds[-1]
    copies = [(bounds[:-1] + i * length).astype("<i8").tobytes() for i in range(times)]
    return [*copies, np.array([times * length], dtype="<i8").tobytes()]


def _copied(path: Path, pieces: Sequence[bytes]) -> File:
    """They, one behind the other, as a file of a corpus."""
    total = hashlib.sha256()
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
            total.update(piece)
    return File(bytes=sum(map(len, pieces)), sha256=total.hexdigest())
