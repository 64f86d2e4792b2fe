"""Replaced token detection: ELECTRA (Clark et al. 2020, section 3; survey: RTD).

L = L_MLM(generator) + weight_detection * L_detection(discriminator)

L_MLM        mean over asked positions of - log p_G(truth | masked text)
L_detection  mean over all positions of - log p_D(label | text with fakes), label 1: replaced, 0: original

The survey's y counts the other way round (1: original); labels here are those of the release and of transformers.

Legend: N positions of all sequences, M asked positions, V vocabulary, W width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Example, World
from quire.core.heads import DetectionHead, HeadSpec, TokenHead
from quire.core.random import Rng
from quire.core.spec import Backbone
from quire.nn.losses import cross_entropy, token_health
from quire.nn.model import Step
from quire.noise.rewrite import InPlace, Mask
from quire.noise.select import Select, WithReplacement
from quire.objectives.base import Objective

GENERATOR, GUESS = "generator", "generator_mlm"
"""The generator's body and its head."""
HEAD_WIDTH = 64


@dataclass(frozen=True)
class Round:
    """One round of the game: what the generator guessed and what the discriminator said of its fakes."""

    guesses_MV: Tensor
    truth_M: Tensor
    suspicion_N: Tensor
    """The discriminator's scores; above 0 it takes a token for a fake."""
    fake_N: Tensor
    """Which tokens really differ from the text."""

    @cached_property
    def generator_loss(self) -> Tensor:
        return cross_entropy(self.guesses_MV, self.truth_M)

    @cached_property
    def detection_loss(self) -> Tensor:
        return F.binary_cross_entropy_with_logits(self.suspicion_N.float(), self.fake_N.float())


class Rtd(Objective):
    """A small generator fills masks with samples; the backbone says of every token whether it was replaced.

    The backbone is the discriminator and is what is fine-tuned. A sample that hits the truth counts as original. No
    gradient flows through the samples: the discriminator reaches the generator through the shared embeddings alone.

    Two things of the release (google-research/electra) are left out. Where it draws a position twice, it asks there
    twice and shows the mean of two sampled ids, a token that nobody sampled; here such a position is asked once. And it
    asks for int((rate + 0.005) * longest) tokens at most, which from 100 tokens on is never less than the rate.

    Beside another objective the generator sees what that one damaged, the discriminator too, and there it counts as
    original. Losses of micro-batches (`accumulate`) are weighed by their asked tokens: exact for the generator, for the
    discriminator up to the rounding of the count that is asked of each sequence.
    """

    select: Select = WithReplacement()
    rewrite: InPlace = Mask(mask=0.85, random=0.0)
    generator: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Width of the generator as a share of the backbone's: 1/4 for the small model, 1/3 for the base one."""
    weight_detection: Annotated[float, Field(gt=0)] = 50.0

    def parts(self, backbone: Backbone, world: World) -> Mapping[str, HeadSpec | Backbone]:
        if "embedding" in backbone.meaningless:
            raise BadInput(f"a generator shares the tables at another width, which {backbone.called} cannot; take mlm")
        return {
            GENERATOR: smaller(backbone, share=self.generator),
            GUESS: TokenHead(of=GENERATOR),
            self.slot: DetectionHead(),
        }

    def corrupt(self, example: Example, world: World, rng: Rng) -> Example:
        where = self.select.choose(example.free, example.starts, rng)
        return example.ask(self.slot, where, self.rewrite.apply(example.tokens, where, world.vocab, rng))

    def loss(self, step: Step) -> Tensor:
        if not len(step.asked(self.slot)):
            return cross_entropy(step.states(step.asked(self.slot)), step.answers(self.slot))
        played = self.play(step)
        step.note(f"{self.slot}_generator", played.generator_loss)
        step.note(f"{self.slot}_detection", played.detection_loss)
        return played.generator_loss + self.weight_detection * played.detection_loss

    def health(self, step: Step) -> Mapping[str, float]:
        """Of the generator what `token_health` says; then `fake_rate`, the share of tokens really replaced, `detected`,
        the share of fakes found, and `flagged`, the share of tokens taken for fakes."""
        if not len(step.asked(self.slot)):
            return {}
        played = self.play(step)
        flagged_N = played.suspicion_N > 0
        return {
            **token_health(played.guesses_MV, played.truth_M),
            "fake_rate": float(played.fake_N.float().mean()),
            "detected": float(flagged_N[played.fake_N].float().mean()) if played.fake_N.any() else 1.0,
            "flagged": float(flagged_N.float().mean()),
        }

    def play(self, step: Step) -> Round:
        """Generate, replace, detect. Samples come from torch's generator, in evaluation too."""
        at_M, truth_M = step.asked(self.slot), step.answers(self.slot)
        guesses_MV = step.view(step.batch, by=GENERATOR).scores(GUESS, at_M)
        sampled_M = sampled(guesses_MV.detach())
        tokens_N = step.batch.tokens.index_copy(0, at_M, sampled_M)  # every mask is asked: none is left
        fake_N = torch.zeros_like(tokens_N, dtype=torch.bool).index_copy(0, at_M, sampled_M != truth_M)
        view = step.view(step.batch.showing(tokens_N))
        view.encode()
        everywhere_N = torch.arange(len(tokens_N), device=tokens_N.device)
        return Round(guesses_MV, truth_M, view.scores(self.slot, everywhere_N), fake_N)


def smaller(backbone: Backbone, *, share: float) -> Backbone:
    """The generator: as deep, `share` as wide, heads of 64, feed-forward 4 times the width, the backbone's embeddings.

    The width is rounded to an even multiple of its heads.
    """
    heads = max(1, round(backbone.width * share) // HEAD_WIDTH)
    width = max(1, round(backbone.width * share / (2 * heads))) * 2 * heads
    changes = {"width": width, "heads": heads, "ffn": 4 * width, "embedding": backbone.embedding_width}
    alone = {"head_width": None, "decoder": None}
    kept = {name: size for name, size in {**alone, **changes}.items() if name not in backbone.meaningless}
    return type(backbone).model_validate({**backbone.model_dump(), **kept})


def sampled(logits_MV: Tensor) -> Tensor:
    """A token [M] for each row from softmax(logits), by inverting its distribution function.

    The release adds Gumbel noise and takes the largest: the same distribution with V random numbers a row, not one,
    which takes ten times as long at V = 8,000.
    """
    below_MV = logits_MV.float().softmax(dim=-1).cumsum(dim=-1)
    draw_M1 = torch.rand(len(below_MV), 1, device=below_MV.device) * below_MV[:, -1:]
    return torch.searchsorted(below_MV, draw_M1, right=True).clamp(max=below_MV.shape[1] - 1).squeeze(-1)
