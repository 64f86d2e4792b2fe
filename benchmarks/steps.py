"""(h) Training steps of ELECTRA, XLNet and T5: tokens a second, against transformers' models in a plain loop.

Legend: S sequences, L tokens of the longest of them, M targets of one, V vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import peers, pretraining
from benchmarks.harness import Result, Scale, versus
from benchmarks.plain import PLAIN, plain_training
from benchmarks.text import Labelled
from quire import recipe
from quire.core.example import IGNORE, Example, Ints, World
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.objectives import Objective, rtd
from quire.objectives.rtd import GENERATOR, Rtd
from quire.text.grow import with_sentinels
from quire.text.tokenizers import Tokenizer
from quire.train.feed import Fixed
from quire.train.loop import Job, planned
from quire.train.start import Base

SENTINELS = 100
REMARKS = (
    "ELECTRA, XLNet, T5: recipes electra-small, xlnet-base and t5-random-spans at the first size of the scale. Full "
    "blocks of equal length; rates of dropout, fused AdamW, clipping and schedule equal; fp32. transformers trains "
    "none of them: its models run in a plain loop, which gets its batches damaged; Quire damages them in its turn.",
    "ELECTRA: transformers' two models share one set of tables, and its fakes are drawn by Quire's sampler, at asked "
    "positions; its generator scores the vocabulary at all. XLNet: no memory; the peer has dropout at two places more "
    "in every layer and behind the last. T5: spans of three tokens on average, 15 %; a token is one of the whole text.",
)
Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class System:
    """How a system is trained, here and there."""

    recipe: str
    opened: Callable[[Model, Tokenizer, Path], Any]  # our model as transformers'
    inputs: Callable[[Sequence[Example], str], Inputs]  # what that is asked of damaged examples, by slot


def measure(text: list[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """Each in turn, at the first size of the scale."""
    peers.require("transformers")
    tokenizer, _ = with_sentinels(base.tokenizer, SENTINELS)
    blocks = pretraining.blocks([sentence for sentence, _ in text], base.tokenizer, scale)
    found = [_one(name, one, blocks, tokenizer, scale, folder / name) for name, one in SYSTEMS.items()]
    return Result(
        rows=tuple(row for result in found for row in result.rows),
        agreements=tuple(agreement for result in found for agreement in result.agreements),
        remarks=REMARKS,
    )


def _one(name: str, system: System, blocks: list[Example], tokenizer: Tokenizer, scale: Scale, folder: Path) -> Result:
    size, body = next(iter(scale.backbones.items()))
    title, world = f"{name} {size}", World(tokenizer.vocab, length=scale.length)
    spec, objective = _resized(system.recipe, body, tokenizer)
    model = Model(spec, planned([objective], spec, world))
    theirs = system.opened(model, tokenizer, folder)
    damaged = [objective.corrupt(block, world, rng("steps", i)) for i, block in enumerate(blocks)]
    rows = [{"input_ids": example.tokens, "example": example} for example in damaged]

    def collator(some: Sequence[Mapping[str, Any]]) -> Inputs:
        return system.inputs([row["example"] for row in some], objective.slot)

    first = damaged[: scale.batch]
    inputs = collator(rows[: scale.batch])
    with mock.patch.object(rtd, "sampled", _likeliest):  # a draw may fall on either side of a bound that is rounded
        agreements = peers.same_step(title, model, objective, first, theirs=theirs, inputs=inputs)
    job = Job(Fixed(blocks, title), (objective,), world, pretraining.plan(scale))
    found = versus(
        title,
        peers.our_training(model, job, skip=scale.skip),
        [plain_training(PLAIN, theirs, rows, collator, plan=job.plan, skip=scale.skip)],
        pairs=scale.pairs,
        unit="tokens",
        work=scale.steps * scale.batch * scale.length,
        flops=scale.steps * peers.necessary_flops(model, objective, first),
    )
    return Result(found, agreements)


def _resized(name: str, size: Backbone, tokenizer: Tokenizer) -> tuple[Backbone, Objective]:
    """A recipe's body at a size of the scale, and what it learns from.

    Its weights are drawn large: what a tiny one does wrong would hardly be seen in the loss.
    """
    wanted = recipe.load(name)
    assert wanted.backbone
    spec = wanted.backbone.resized(
        depth=size.depth,
        width=size.width,
        heads=size.heads,
        ffn=size.ffn,
        positions=size.positions,
        vocab=tokenizer.vocab.size,
    )
    return spec.model_copy(update={"init_std": size.width**-0.5}), wanted.objectives[0]


def _likeliest(logits_MV: Tensor) -> Tensor:
    return logits_MV.argmax(dim=-1)


class Electra(nn.Module):
    """transformers' generator and discriminator over the same tables, with ELECTRA's loss."""

    def __init__(self, generator: Any, discriminator: Any, *, weight: float) -> None:
        super().__init__()
        generator.electra.embeddings = discriminator.electra.embeddings
        generator.generator_lm_head.weight = discriminator.electra.embeddings.word_embeddings.weight
        self.generator, self.discriminator, self.weight = generator, discriminator, weight

    def forward(self, input_ids: Tensor, labels: Tensor) -> SimpleNamespace:
        """Both [S, L]; `labels` are the truth where the generator is asked."""
        guessed = self.generator(input_ids=input_ids, labels=labels)
        asked_SL = labels != IGNORE
        shown_SL = input_ids.masked_scatter(asked_SL, rtd.sampled(guessed.logits.detach()[asked_SL]))
        fake_SL = shown_SL != torch.where(asked_SL, labels, input_ids)
        detected = self.discriminator(input_ids=shown_SL, labels=fake_SL.long())
        return SimpleNamespace(loss=guessed.loss + self.weight * detected.loss)


def _electra(model: Model, tokenizer: Tokenizer, folder: Path) -> Electra:
    for body in ("backbone", GENERATOR):
        peers.write(folder / body, model, tokenizer, body=body)
    return Electra(
        peers.opened(folder / GENERATOR, "AutoModelForMaskedLM"),
        peers.opened(folder / "backbone", "AutoModelForPreTraining"),
        weight=Rtd().weight_detection,
    )


def _masked(examples: Sequence[Example], slot: str) -> Inputs:
    answers = [example.answers[slot] for example in examples]
    return {"input_ids": _tokens(examples), "labels": peers.padded(answers, fill=IGNORE)}


def _permuted(examples: Sequence[Example], slot: str) -> Inputs:
    """`perm_mask` [S, L, L] is 1 where i may not see j, `target_mapping` [S, M, L] says where targets stand."""
    targets = [(example.answers[slot] != IGNORE).nonzero()[0] for example in examples]
    places_SM = peers.padded(targets, fill=-1)
    answers: list[Ints] = [example.truth[at] for example, at in zip(examples, targets, strict=True)]
    length = len(examples[0])
    blind = [~example.sees.mask(length) | np.eye(length, dtype=bool) for example in examples]
    return {
        "input_ids": _tokens(examples),
        "token_type_ids": peers.padded([example.segments for example in examples], fill=0),
        "perm_mask": torch.from_numpy(np.stack(blind)).float(),
        "target_mapping": (places_SM.unsqueeze(-1) == torch.arange(length)).float(),
        "labels": peers.padded(answers, fill=IGNORE),
    }


def _written(examples: Sequence[Example], slot: str) -> Inputs:
    targets = [example.target.truth for example in examples if example.target is not None]
    everyone = [np.ones_like(example.tokens) for example in examples]
    return {
        "input_ids": _tokens(examples),
        "attention_mask": peers.padded(everyone, fill=0),
        "labels": peers.padded(targets, fill=IGNORE),
    }


def _tokens(examples: Sequence[Example]) -> Tensor:
    return peers.padded([example.tokens for example in examples], fill=0)


def _opened(model: Model, tokenizer: Tokenizer, folder: Path, *, auto: str) -> Any:
    return peers.opened(peers.write(folder, model, tokenizer), auto)


SYSTEMS = {
    "ELECTRA": System("electra-small", _electra, _masked),
    "XLNet": System("xlnet-base", partial(_opened, auto="AutoModelForCausalLM"), _permuted),
    "T5": System("t5-random-spans", partial(_opened, auto="AutoModelForSeq2SeqLM"), _written),
}
