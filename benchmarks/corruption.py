"""(e) Corruption: every recipe's objectives on the same text, beside the collators of transformers, on one core.

A turn damages some hundred examples of 512 tokens, the generator of each included. What transformers' collators do
for a batch of the same tokens stands beside it; they also pad and stack, which here `Batch.pack` does, outside.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.harness import Result, Row, Scale, Side, timed, versus
from benchmarks.text import Labelled
from quire import recipe
from quire.core.example import Example, World
from quire.core.random import rng
from quire.objectives import Objective
from quire.pretrain import Material
from quire.recipe import Recipe
from quire.text.grow import with_sentinels
from quire.text.tokenizers import Tokenizer
from quire.train.loop import Job
from quire.train.start import Base

LENGTH = 512
TOGETHER = 8
"""Sentences that are translated together."""
BATCH = 8
"""Examples that a collator takes at a time."""
SENTINELS = 100
"""As many as T5 has; the peer's vocabulary goes without."""
SENTENCES = 400
"""Sentences of a document: enough for many whole examples."""
TOKENS, WORDS, ORDER = (
    "DataCollatorForLanguageModeling",
    "DataCollatorForLanguageModeling, whole words",
    "DataCollatorForPermutationLanguageModeling",
)
TENSORS = ", torch tensors"
SAME = ("bert-base", "bert-wwm")
"""Recipes whose masking is the peer's own: there it is measured at its defaults, too, which return torch tensors."""
REMARKS = (
    f"Corruption: examples of up to {LENGTH} tokens, one core, no torch on our side; the peer's collator returns numpy "
    f"arrays, or where that is said torch tensors, its default. Its span, sentence and detection tasks and those for a "
    f"decoder do not exist: there its plain masks stand beside ours, which do more. Its permutation collator hides the "
    f"targets, ours does not.",
)


def measure(text: list[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """Every objective of every recipe that is pre-trained, a row each; later ones meet what earlier ones have done."""
    peers.require("transformers")
    sentences = [sentence for sentence, _ in text]
    documents = ["\n".join(sentences[i : i + SENTENCES]) for i in range(0, len(sentences), SENTENCES)]
    base.tokenizer.save(folder / "tokenizer")
    opened = peers.opened_tokenizer(folder / "tokenizer")
    tokenizer, _ = with_sentinels(base.tokenizer, SENTINELS)
    rows: list[Row] = []
    for name in recipe.names():
        job = _job(recipe.load(name), documents, tokenizer, folder)
        examples = [
            job.examples.example(i % len(job.examples), epoch=i // len(job.examples)) for i in range(scale.samples)
        ]
        for objective in job.objectives:
            nearest = _nearest(objective)
            names = [nearest, nearest + TENSORS] if name in SAME and objective.slot == "mlm" else [nearest]
            rows += versus(
                f"corruption {name}: {objective.slot}",
                Side("quire", timed(partial(_corrupted, objective, examples, job.world))),
                [Side(peer, timed(_collated(peer, examples, tokenizer, opened))) for peer in names],
                pairs=scale.pairs,
                unit="tokens",
                work=sum(map(len, examples)),
                flops=0,
            )
            examples = _corrupted(objective, examples, job.world)
    return Result(tuple(rows), (), REMARKS)


def _job(wanted: Recipe, documents: list[str], tokenizer: Tokenizer, folder: Path) -> Job:
    """The recipe's pre-training on these documents, in each of its languages."""
    sized = wanted.resized(depth=1, width=64, heads=2, ffn=64, length=LENGTH, tokenizer=wanted.data.tokenizer)
    lines = [line for document in documents for line in document.splitlines()]
    texts = documents
    if wanted.data.shape in ("parallel", "translation"):  # two of them fill an example
        texts = [" ".join(lines[i : i + TOGETHER]) for i in range(0, len(lines), TOGETHER)]
    home = folder / wanted.data.shape
    sized = sized.model_copy(update={"tasks": {}})  # they have texts of their own
    material = Material(sized, home, lambda: texts, by_language={name: lambda: texts for name in wanted.data.languages})
    material.tokenizer = tokenizer
    return material.job(steps=1, seed=0)


def _corrupted(objective: Objective, examples: Sequence[Example], world: World) -> list[Example]:
    """The generator of each example included, which a run makes once for all objectives."""
    return [objective.corrupt(example, world, rng(0, "corrupt", 0, i)) for i, example in enumerate(examples)]


def _nearest(objective: Objective) -> str:
    settings = str(objective.model_dump(mode="json"))
    return ORDER if objective.name() == "plm" else WORDS if "whole_word" in settings else TOKENS


def _collated(peer: str, examples: Sequence[Example], tokenizer: Tokenizer, opened: Any) -> Callable[[], object]:
    """The collator over the same tokens, as lists, which is how a data set of theirs gives them."""
    from transformers import DataCollatorForLanguageModeling, DataCollatorForPermutationLanguageModeling

    name, special = peer.removesuffix(TENSORS), sorted(tokenizer.vocab.special)
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
        opened,
        mlm_probability=0.15,
        whole_word_mask=name == WORDS,
        mask_replace_prob=1.0 if name == WORDS else 0.8,  # it knows no random tokens in whole words
        random_replace_prob=0.0 if name == WORDS else 0.1,
        return_tensors="pt" if peer.endswith(TENSORS) else "np",
    )
    size = 1 if name == WORDS else BATCH  # offsets are not padded there
    return lambda: [collator([dict(row) for row in rows[i : i + size]]) for i in range(0, len(rows), size)]
