"""(e) Corruption: every recipe's objectives on the same text, beside the collators of transformers, on one core.

A turn damages some hundred examples of 512 tokens, the generator of each included. What transformers' collators do
for a batch of the same tokens stands beside it; they also pad and stack, which here `Batch.pack` does, outside.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.harness import Result, Row, Scale, Side, timed, versus
from benchmarks.text import Labelled
from quire import recipe
from quire.core.example import Example
from quire.core.random import rng
from quire.pretrain import Material
from quire.recipe import Recipe
from quire.text.tokenizers import Tokenizer
from quire.train.loop import Job
from quire.train.start import Base

LENGTH = 512
EXAMPLES = 200
BATCH = 8
"""Examples that a collator takes at a time."""
SENTENCES = 60
"""Sentences of a document: enough for a whole example."""
TOKENS, WORDS, ORDER = (
    "DataCollatorForLanguageModeling",
    "DataCollatorForLanguageModeling, whole words",
    "DataCollatorForPermutationLanguageModeling",
)
REMARKS = (
    f"Corruption: {EXAMPLES} examples of up to {LENGTH} tokens a turn, one core, no torch on our side; the peer's "
    f"collator returns numpy arrays. Its span, sentence and detection tasks do not exist: there its plain masks stand "
    f"beside ours, which do more. Its permutation collator hides the targets, ours does not.",
)


def measure(text: list[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """Every recipe that is pre-trained, one row each."""
    peers.require("transformers")
    sentences = [sentence for sentence, _ in text]
    documents = ["\n".join(sentences[i : i + SENTENCES]) for i in range(0, len(sentences), SENTENCES)]
    base.tokenizer.save(folder / "tokenizer")
    opened = peers.opened_tokenizer(folder / "tokenizer")
    rows: list[Row] = []
    for name in recipe.names():
        job = _job(recipe.load(name), documents, base.tokenizer, folder)
        examples = [job.examples.example(i, epoch=i // len(job.examples)) for i in _cycle(len(job.examples))]
        peer = _nearest(job)
        theirs = _collated(peer, examples, base.tokenizer, opened)
        rows += versus(
            f"corruption {name}",
            Side("quire", timed(_corrupting(job, examples))),
            [Side(peer, timed(theirs))],
            pairs=scale.pairs,
            unit="tokens",
            work=sum(map(len, examples)),
            flops=0,
        )
    return Result(tuple(rows), (), REMARKS)


def _cycle(count: int) -> list[int]:
    return [i % count for i in range(EXAMPLES)]


def _job(wanted: Recipe, documents: list[str], tokenizer: Tokenizer, folder: Path) -> Job:
    """The recipe's pre-training on these documents, in each of its languages."""
    sized = wanted.resized(depth=1, width=64, heads=2, ffn=64, length=LENGTH, tokenizer=wanted.data.tokenizer)
    texts = (
        [sentence for document in documents for sentence in document.splitlines()]
        if wanted.data.shape == "parallel"
        else documents
    )
    home = folder / wanted.data.shape
    material = Material(sized, home, lambda: texts, by_language={name: lambda: texts for name in wanted.data.languages})
    material.tokenizer = tokenizer
    return material.job(steps=1, seed=0)


def _corrupting(job: Job, examples: Sequence[Example]) -> Callable[[], None]:
    def work() -> None:
        for i, example in enumerate(examples):
            draw = rng(0, "corrupt", 0, i)
            for objective in job.objectives:
                example = objective.corrupt(example, job.world, draw)

    return work


def _nearest(job: Job) -> str:
    asked = str([objective.model_dump(mode="json") for objective in job.objectives])
    return ORDER if "plm" in asked else WORDS if "whole_word" in asked else TOKENS


def _collated(name: str, examples: Sequence[Example], tokenizer: Tokenizer, opened: Any) -> Callable[[], object]:
    """The collator over the same tokens, as lists, which is how a data set of theirs gives them."""
    from transformers import DataCollatorForLanguageModeling, DataCollatorForPermutationLanguageModeling

    special = sorted(tokenizer.vocab.special)
    rows: list[dict[str, Any]] = []
    for example in examples:
        tokens = example.truth[: len(example) // 2 * 2]  # the permutation collator wants even lengths
        row: dict[str, Any] = {"input_ids": tokens.tolist()}
        if name != ORDER:
            row["special_tokens_mask"] = np.isin(tokens, special).astype(int).tolist()
        if name == WORDS:  # a word begins where an offset does not follow the one before
            ends = np.cumsum(np.where(example.starts[: len(tokens)], 2, 1))
            row["offset_mapping"] = [(int(end) - 1, int(end)) for end in ends]
        rows.append(row)
    if name == ORDER:
        order = DataCollatorForPermutationLanguageModeling(tokenizer=opened)
        even = [row["input_ids"] for row in rows]
        return lambda: [order.numpy_call(even[i : i + BATCH]) for i in range(0, len(even), BATCH)]
    collator = DataCollatorForLanguageModeling(
        opened, mlm_probability=0.15, whole_word_mask=name == WORDS, return_tensors="np"
    )
    size = 1 if name == WORDS else BATCH  # offsets are not padded there
    return lambda: [collator([dict(row) for row in rows[i : i + size]]) for i in range(0, len(rows), size)]
