"""(b) Fine-tuning a small base on sentences of varied length: samples a second, against transformers' Trainer
and a plain loop over length buckets."""

from pathlib import Path
from typing import Any

import torch

from benchmarks import peers
from benchmarks.harness import Result, Scale, versus
from benchmarks.plain import BUCKETS, plain_training
from benchmarks.text import Labelled
from quire.core.errors import BadInput
from quire.core.example import Example, World
from quire.paradigms.classify import Classify
from quire.predict.encode import encode
from quire.train.feed import Fixed
from quire.train.loop import Job, planned
from quire.train.optim import TrainPlan
from quire.train.start import Base, started

TITLE = "fine-tuning"
AUTO = "AutoModelForSequenceClassification"
PACKAGES = ("transformers", "accelerate")
SAMPLING = {"Trainer": "random", "Trainer, group_by_length": "group_by_length"}
REMARKS = (
    "Fine-tuning: a turn is one epoch over the same tokenized sentences, in each side's own random order. Head, "
    "dropout, AdamW, clipping and schedule equal; fp32; no logs, no checkpoints, no evaluation; tokenizing and "
    "start-up not timed.",
    "Fine-tuning: the peer pads each batch to its longest sentence and computes the last block at every position, "
    "Quire packs and computes it at the first; shares of the peak count for both what Quire computes. The plain loop "
    "sorts all sentences by length, cuts them into batches, and shuffles these.",
)


def measure(text: list[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """One epoch after the other, against the Trainer's default order, its grouping by length, and a plain loop."""
    peers.require(*PACKAGES)
    return Both(text, base, scale, folder / TITLE).measured(pairs=scale.pairs)


class Both:
    """The base with a fresh head on both sides, found to compute the same; the peer's is in `folder` too."""

    def __init__(self, text: list[Labelled], base: Base, scale: Scale, folder: Path) -> None:
        self.folder, world = folder, World(base.tokenizer.vocab)
        self.task, self.examples = _task(text[: scale.samples], base, scale)
        plan = TrainPlan(steps=len(self.examples) // scale.batch, batch=scale.batch, lr=5e-5)
        self.job = Job(Fixed(self.examples, TITLE), (self.task,), world, plan)
        self.model = started(base.files, planned([self.task], base.files.backbone, world), seed=0)
        peers.write(folder, self.model, base.tokenizer, labels=self.task.labels)
        self.theirs = peers.opened(folder, AUTO)
        self.rows = _their_rows(self.task, self.examples)
        labels = torch.tensor([row["labels"] for row in self.rows[: scale.batch]])
        first = self.examples[: scale.batch]
        self.agreements = peers.same_training(TITLE, self.model, self.task, first, theirs=self.theirs, labels=labels)

    def measured(self, *, pairs: int) -> Result:
        """Epochs of Quire's loop, of the Trainer's two orders and of a plain loop."""
        plan, collate = self.job.plan, collator(self.folder)
        others = [
            peers.their_training(name, self.theirs, self.rows, collate, plan=plan, skip=0, sampling=sampling)
            for name, sampling in SAMPLING.items()
        ]
        found = versus(
            TITLE,
            peers.our_training(self.model, self.job, skip=0),
            [*others, plain_training(BUCKETS, self.theirs, self.rows, collate, plan=plan, skip=0)],
            pairs=pairs,
            unit="samples",
            work=len(self.examples),
            flops=peers.necessary_flops(self.model, self.task, self.examples),
        )
        return Result(found, self.agreements, REMARKS)


def _task(text: list[Labelled], base: Base, scale: Scale) -> tuple[Classify, list[Example]]:
    """The labels of the text as a task, and as many examples as fill whole batches."""
    whole = text[: len(text) // scale.batch * scale.batch]
    sentences, labels = [sentence for sentence, _ in whole], [label for _, label in whole]
    if len(set(labels)) < 2:
        raise BadInput("fine-tuning needs a batch of sentences with two labels or more; take another text with --data")
    task = Classify(labels=tuple(sorted(set(labels))))
    longest = min(scale.longest, base.files.backbone.positions)
    return task, encode(task, base.tokenizer, sentences, length=longest, how="head", labels=labels)


def _their_rows(task: Classify, examples: list[Example]) -> list[dict[str, Any]]:
    return [{"input_ids": e.tokens.tolist(), "labels": int(e.answers[task.slot][0])} for e in examples]


def collator(folder: Path) -> Any:
    """It pads a batch to its longest sentence."""
    from transformers import DataCollatorWithPadding

    return DataCollatorWithPadding(peers.opened_tokenizer(folder))
