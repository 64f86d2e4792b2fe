"""(j) Two cores against one: training and embedding by two threads, and by two workers of one thread each.

Two threads share every product and wait for the slower; workers share the sentences and never wait, or the texts of an
update, and wait for each other's gradient.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from benchmarks import peers, pretraining
from benchmarks.harness import Clock, Result, Row, Scale, Side, agree, timed, versus
from benchmarks.text import Labelled
from quire.core.example import Example, World
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.predict.base import Floats
from quire.predict.features import Features
from quire.text.tokenizers import Tokenizer
from quire.train.feed import Fixed
from quire.train.loop import Job, fit, planned
from quire.train.machine import counted
from quire.train.start import Base, started
from quire.train.team import Team

CORES = 2
ONE = "one thread"
PARALLEL = "TOKENIZERS_PARALLELISM"
"""Read by the tokenizers at every call."""
TIMED = "seconds"
"""A file that the leader of a team leaves."""
Found = TypeVar("Found")
REMARKS = (
    f"Cores: every row is Quire against itself on one thread, so that the ratio is what {CORES} cores gain; shares of "
    f"the peak are of a product on {CORES} threads. Training as in pre-training; its workers are processes as torchrun "
    "starts them, half a batch each, their gradients added up by gloo. Embedding from text, tokenizing "
    "included, which has as many threads; each worker holds the model and gets its share of the sentences, and what "
    "goes to and fro is timed, starting it is not.",
)


def measure(text: list[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """Training of every backbone of the scale, then the embedding of its sentences."""
    sentences = [sentence for sentence, _ in text]
    blocks = pretraining.blocks(sentences, base.tokenizer, scale)
    with threads(CORES):
        rows = [row for name in scale.backbones for row in _trained(name, blocks, base.tokenizer, scale)]
        found = _embedded(sentences[: scale.sentences], base, scale, folder / "embedding")
    return Result((*rows, *found.rows), found.agreements, REMARKS)


def _trained(name: str, blocks: list[Example], tokenizer: Tokenizer, scale: Scale) -> tuple[Row, ...]:
    title, objective, world = f"pre-training {name}", pretraining.masked(), World(tokenizer.vocab)
    model = Model(scale.backbones[name], planned([objective], scale.backbones[name], world))
    job = Job(Fixed(blocks, title), (objective,), world, pretraining.plan(scale))
    side = peers.our_training(model, job, skip=scale.skip)
    shared = Side("quire", partial(by_workers, scale.backbones[name], job, scale.skip, number=CORES))
    batch = [objective.corrupt(block, world, rng("cores", i)) for i, block in enumerate(blocks[: scale.batch])]
    flops = scale.steps * peers.necessary_flops(model, objective, batch)
    return tuple(
        row
        for how, ours in (("threads", side), ("workers", shared))
        for row in versus(
            f"{title}, {CORES} {how}",
            ours,
            [Side(ONE, partial(alone, side.run))],
            pairs=scale.pairs,
            unit="tokens",
            work=scale.steps * scale.batch * scale.length,
            flops=flops,
        )
    )


def by_workers(spec: Backbone, job: Job, skip: int, *, number: int) -> float:
    """Seconds of the timed updates of so many processes that are a team, as the leader's clock has them."""
    with TemporaryDirectory() as folder:
        spawn(_member, (number, Path(folder), spec, job, skip), nprocs=number)  # type: ignore[no-untyped-call]
        return float((Path(folder) / TIMED).read_text())


def _member(rank: int, number: int, folder: Path, spec: Backbone, job: Job, skip: int) -> None:
    with threads(1):
        dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=number)
        clock = Clock()
        try:
            fit(Model(spec, planned(job.objectives, spec, job.world)), job, progress=clock, team=Team(rank, number))
        finally:
            dist.destroy_process_group()
        if rank == 0:
            (folder / TIMED).write_text(str(clock.seconds(skip)))


def _embedded(sentences: list[str], base: Base, scale: Scale, folder: Path) -> Result:
    longest = min(scale.longest, base.files.backbone.positions)
    model = started(base.files, {}, seed=0).eval()
    peers.write(folder, model, base.tokenizer)

    def ours() -> Floats:
        return vectors(model, base.tokenizer, sentences, longest)

    truth, flops = counted(partial(alone, ours))
    with Workers(folder, number=CORES, longest=longest) as workers:
        both: dict[str, Callable[[], Floats]] = {"threads": ours, "workers": lambda: workers.vectors(sentences)}
        agreements = [agree(f"embedding, {CORES} {name}", truth, embed()) for name, embed in both.items()]
        rows = [
            row
            for name, embed in both.items()
            for row in versus(
                f"embedding, {CORES} {name}",
                Side("quire", timed(embed)),
                [Side(ONE, timed(partial(alone, ours)))],
                pairs=scale.pairs,
                unit="sentences",
                work=len(sentences),
                flops=flops,
            )
        ]
    return Result(tuple(rows), tuple(agreements))


def vectors(model: Model, tokenizer: Tokenizer, sentences: Sequence[str], longest: int) -> Floats:
    """The means of their last states, a row each."""
    return Features.features(model, tokenizer, sentences, length=longest, how="head")


class Workers:
    """Processes that hold the model of a folder and have one thread each."""

    def __init__(self, folder: Path, *, number: int, longest: int) -> None:
        self.folder, self.number, self.longest = folder, number, longest
        self.lines: list[Connection] = []
        self.ending = ExitStack()

    def __enter__(self) -> Self:
        context = get_context("spawn")
        for _ in range(self.number):
            line, end = context.Pipe()
            process = context.Process(target=work, args=(end, self.folder, self.longest))
            process.start()
            end.close()
            self.ending.callback(process.join)
            self.ending.callback(line.send, None)
            self.lines.append(line)
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.close()

    def vectors(self, sentences: Sequence[str]) -> Floats:
        """What one process would give for all."""
        for number, line in enumerate(self.lines):
            line.send(sentences[number :: self.number])
        parts: list[Floats] = [line.recv() for line in self.lines]
        found = np.empty((len(sentences), parts[0].shape[1]), dtype=np.float32)
        for number, part in enumerate(parts):
            found[number :: self.number] = part
        return found


def work(line: Connection, folder: Path, longest: int) -> None:
    """Answer every list of sentences with its vectors, until None comes."""
    with threads(1):
        base = Base.load(str(folder))
        model = started(base.files, {}, seed=0).eval()
        while (sentences := line.recv()) is not None:
            line.send(vectors(model, base.tokenizer, sentences, longest))


def alone(what: Callable[[], Found]) -> Found:
    """What it gives, found by one thread."""
    with threads(1):
        return what()


@contextmanager
def threads(number: int) -> Iterator[None]:
    """So many for torch and, where it is one, for tokenizers while it lasts."""
    before, told = torch.get_num_threads(), os.environ.get(PARALLEL)
    try:
        torch.set_num_threads(number)
        os.environ[PARALLEL] = str(number > 1).lower()
        yield
    finally:
        torch.set_num_threads(before)
        if told is None:
            del os.environ[PARALLEL]
        else:
            os.environ[PARALLEL] = told
