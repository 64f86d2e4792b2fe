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
    task, examples = _task(text[: scale.samples], base, scale)
    model = started(base.files, planned([task], base.files.backbone, World(base.tokenizer.vocab)), seed=0)
    peers.write(folder / TITLE, model, base.tokenizer, labels=task.labels)
    theirs = peers.opened(folder / TITLE, "AutoModelForSequenceClassification")
    batch = examples[: scale.batch]
    labels = torch.tensor([int(example.answers[task.slot][0]) for example in batch])
    agreements = peers.same_training(TITLE, model, task, batch, theirs=theirs, labels=labels)
    plan = TrainPlan(steps=len(examples) // scale.batch, batch=scale.batch, lr=5e-5)
    ours = peers.our_training(model, Job(Fixed(examples, TITLE), (task,), World(base.tokenizer.vocab), plan), skip=0)
    rows, collator = _their_rows(task, examples), _collator(folder / TITLE)
    others = [
        peers.their_training(name, theirs, rows, collator, plan=plan, skip=0, sampling=sampling)
        for name, sampling in SAMPLING.items()
    ]
    others.append(plain_training(BUCKETS, theirs, rows, collator, plan=plan, skip=0))
    flops = peers.necessary_flops(model, task, examples)
    found = versus(TITLE, ours, others, pairs=scale.pairs, unit="samples", work=len(examples), flops=flops)
    return Result(found, agreements, REMARKS)


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


def _collator(folder: Path) -> Any:
    from transformers import DataCollatorWithPadding

    return DataCollatorWithPadding(peers.opened_tokenizer(folder))
