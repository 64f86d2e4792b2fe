"""(a) Masked language modelling from scratch: tokens a second, against transformers' Trainer and its MLM collator,
and against a plain loop with the same model and collator."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.harness import Result, Scale, timed, versus
from benchmarks.plain import PLAIN, plain_training
from benchmarks.text import Labelled
from quire.core.errors import BadInput
from quire.core.example import IGNORE, Example, Passage, Vocab, World
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.noise.select import Bernoulli
from quire.objectives.mlm import Mlm
from quire.text.tokenizers import Tokenizer
from quire.train.feed import Fixed
from quire.train.loop import Job, planned
from quire.train.optim import TrainPlan
from quire.train.start import Base

RATE = 0.15
PACKAGES = ("transformers", "accelerate")
TRAINER = "Trainer"
AUTO = "AutoModelForMaskedLM"
REMARKS = (
    "Pre-training: full blocks of equal length on both sides, so nothing is won by leaving out padding; masks drawn "
    "anew for every block by the side's own code, a coin of 0.15 for each token, 80/10/10; dropout, AdamW, clipping "
    "and schedule equal; fp32; no logs, no checkpoints, start-up and the first updates of a turn not timed.",
    "Pre-training: the peer scores the vocabulary, and computes the last block, at every position, Quire where "
    "something is asked; shares of the peak count for both what Quire computes. Batches are made from ids in memory.",
)


def measure(text: list[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """Every backbone of the scale, on blocks of the text cut by the base's tokenizer."""
    peers.require(*PACKAGES)
    cut = blocks([sentence for sentence, _ in text], base.tokenizer, scale)
    found = [
        Both(name, spec, cut, base.tokenizer, scale, folder / name).measured() for name, spec in scale.backbones.items()
    ]
    return Result(
        rows=tuple(row for result in found for row in result.rows),
        agreements=tuple(agreement for result in found for agreement in result.agreements),
        remarks=(*REMARKS, *(remark for result in found for remark in result.remarks)),
    )


def blocks(sentences: list[str], tokenizer: Tokenizer, scale: Scale) -> list[Example]:
    """The text as blocks of `scale.length` with their special tokens; as many as fill whole batches."""
    passages = tokenizer.encode(sentences)
    tokens, starts = (np.concatenate(parts) for parts in zip(*((p.tokens, p.starts) for p in passages), strict=True))
    room = scale.length - 2
    count = len(tokens) // room // scale.batch * scale.batch
    if count == 0:
        raise BadInput(f"the text has {len(tokens):,} tokens, fewer than a batch; take a longer one with --data")
    cuts = [slice(i * room, (i + 1) * room) for i in range(count)]
    return [Example.of(tokenizer.vocab, Passage(tokens[cut], starts[cut])) for cut in cuts]


def masked() -> Mlm:
    """What is asked on both sides."""
    return Mlm(select=Bernoulli(rate=RATE))


def plan(scale: Scale) -> TrainPlan:
    """The updates of a turn."""
    return TrainPlan(steps=scale.skip + scale.steps, batch=scale.batch, lr=1e-4)


class Both:
    """One backbone on both sides, found to compute the same; the peer's is in `folder` too."""

    def __init__(
        self, name: str, spec: Backbone, blocks: list[Example], tokenizer: Tokenizer, scale: Scale, folder: Path
    ) -> None:
        self.title, self.objective, self.world = f"pre-training {name}", masked(), World(tokenizer.vocab)
        self.scale, self.folder = scale, folder
        self.job = Job(Fixed(blocks, self.title), (self.objective,), self.world, plan(scale))
        self.rows = their_rows(blocks, self.world.vocab)
        self.model = Model(spec, planned([self.objective], spec, self.world))
        self.theirs = peers.opened(peers.write(folder, self.model, tokenizer), AUTO)
        drawn = [
            self.objective.corrupt(b, self.world, rng("benchmark", i)) for i, b in enumerate(blocks[: scale.batch])
        ]
        labels = peers.padded([example.answers[self.objective.slot] for example in drawn], fill=IGNORE)
        self.agreements = peers.same_training(
            self.title, self.model, self.objective, drawn, theirs=self.theirs, labels=labels
        )
        self.necessary = peers.necessary_flops(self.model, self.objective, drawn)

    def measured(self) -> Result:
        """Turns of Quire's loop, of the Trainer and of a plain loop."""
        scale, job, collate = self.scale, self.job, collator(self.folder)
        others = [
            peers.their_training(TRAINER, self.theirs, self.rows, collate, plan=job.plan, skip=scale.skip),
            plain_training(PLAIN, self.theirs, self.rows, collate, plan=job.plan, skip=scale.skip),
        ]
        found = versus(
            self.title,
            peers.our_training(self.model, job, skip=scale.skip),
            others,
            pairs=scale.pairs,
            unit="tokens",
            work=scale.steps * scale.batch * scale.length,
            flops=scale.steps * self.necessary,
        )
        update = float(np.median([pair.ours for row in found for pair in row.pairs])) / scale.steps
        share = f"{_making(self.job) / update:.1%}"
        return Result(
            found, self.agreements, (f"{self.title}: making a batch, damage included, is {share} of a step.",)
        )


def _making(job: Job) -> float:
    """Seconds for the batch of an update."""
    feed = job.feed()
    making = timed(lambda: [feed.at(t) for t in range(job.plan.steps)])
    return making() / job.plan.steps


def their_rows(blocks: list[Example], vocab: Vocab) -> list[dict[str, list[int]]]:
    """The same blocks as a tokenizer of transformers would give them, the mask of special tokens included."""
    special = sorted(vocab.special)
    return [
        {"input_ids": block.truth.tolist(), "special_tokens_mask": np.isin(block.truth, special).astype(int).tolist()}
        for block in blocks
    ]


def collator(folder: Path) -> Any:
    """The peer's, which masks as `masked` does."""
    from transformers import DataCollatorForLanguageModeling

    return DataCollatorForLanguageModeling(peers.opened_tokenizer(folder), mlm_probability=RATE)
