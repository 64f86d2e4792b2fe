"""What int8 costs a classifier, told on a real task: the base fine-tuned on SST-2, and its test sentences."""

from dataclasses import dataclass

import numpy as np

from benchmarks.harness import Scale
from quire import data
from quire.core.example import World
from quire.paradigms.classify import Classify
from quire.predict.encode import encode
from quire.predict.network import Int8Network, Network
from quire.text.records import Record
from quire.train.feed import Fixed
from quire.train.loop import Job, fit, planned
from quire.train.optim import TrainPlan
from quire.train.start import Base, started

TASK = "sst2-sentences"
RATE = 1e-4


@dataclass(frozen=True)
class Accuracy:
    """Of fp32 and int8 on the same sentences, and how often they say the same."""

    full: float
    int8: float
    same: float


def remark(base: Base, scale: Scale, *, longest: int) -> str:
    """In words, after one pass over the first `scale.reviews` training sentences."""
    learnt, judged = (_rows(split)[: scale.reviews] for split in ("train", "test"))
    network = taught(learnt, base, scale, longest=longest)
    found = compared(network, judged)
    return (
        f"Classification in int8: the base after one pass over {len(learnt):,} sentences of SST-2 has an accuracy of "
        f"{found.full:.2%} on {len(judged):,} test sentences, in int8 {found.int8:.2%}; {found.same:.2%} of answers "
        "are the same."
    )


def _rows(split: str) -> list[Record]:
    return [record for record in data.load(TASK, split) if record.label]


def taught(rows: list[Record], base: Base, scale: Scale, *, longest: int) -> Network:
    """The base with a head of two classes or more, after a pass over the rows."""
    texts, labels = [row.text for row in rows], [str(row.label) for row in rows]
    task = Classify(labels=tuple(sorted({*labels})))
    examples = encode(task, base.tokenizer, texts, length=longest, how="head", labels=labels)
    world = World(base.tokenizer.vocab)
    model = started(base.files, planned([task], base.files.backbone, world), seed=0)
    plan = TrainPlan(steps=-(-len(examples) // scale.batch), batch=scale.batch, lr=RATE)
    fit(model, Job(Fixed(examples, TASK), (task,), world, plan))
    return Network(model.eval(), task, base.tokenizer, length=longest, how="head")


def compared(network: Network, rows: list[Record]) -> Accuracy:
    """A network and the same in int8."""
    texts, truth = [row.text for row in rows], [network.task.labels.index(str(row.label)) for row in rows]
    full, int8 = (one.probabilities(texts).argmax(1) for one in (network, Int8Network.quantised(network)))
    return Accuracy(float(np.mean(full == truth)), float(np.mean(int8 == truth)), float(np.mean(full == int8)))
