"""What int8 costs what writes, told on a model that has learnt a little: one of random weights has nothing to lose.

Legend: M positions of a batch that are asked, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import torch

from benchmarks.harness import Scale
from benchmarks.text import Labelled
from quire.compress.quantize import DynamicInt8
from quire.core.example import Batch, Example, Passage, Vocab, World
from quire.core.random import rng
from quire.core.search import Search
from quire.nn.model import Model, Packed, Step
from quire.nn.search import prompts, write
from quire.objectives.lm import Lm
from quire.text.tokenizers import Tokenizer
from quire.train.feed import Fixed
from quire.train.loop import Job, fit
from quire.train.optim import TrainPlan

PIECES = 4_000
HELD_OUT, BATCH, BEGUN, WRITTEN = 10, 32, 6, 24
"""One sentence in so many is kept for the test; sentences of a batch; tokens of a prompt; tokens written at most."""
LM = Lm()


@dataclass(frozen=True)
class Fidelity:
    """Of fp32 and int8 on the same text, and how often they agree."""

    perplexity: float
    perplexity_int8: float
    same_next: float
    """Share of positions with the same likeliest token, behind the text as it stands."""
    same_written: float
    """Share of greedily written tokens that stand at the same place; behind the first other one few do."""


def remark(text: Sequence[Labelled], scale: Scale) -> str:
    """In words, after `scale.lessons` updates of the first backbone of the scale, as GPT-2 would have it."""
    sentences = [sentence for sentence, _ in text]
    tokenizer = Tokenizer.train(sentences, kind="wordpiece", size=PIECES)
    order = rng("fidelity").permutation(len(sentences))
    passages = tokenizer.encode([sentences[i] for i in order])
    held, learnt = passages[::HELD_OUT], [passage for i, passage in enumerate(passages) if i % HELD_OUT]
    model = _taught(learnt, tokenizer, scale)
    found = compared(model, DynamicInt8().apply(model, DynamicInt8().plan(model)), held, tokenizer.vocab)
    return (
        f"Writing in int8: a model of {model.parameter_count():,} weights after {scale.lessons} updates on "
        f"{len(learnt):,} sentences has a perplexity of {found.perplexity:.2f} on {len(held):,} others, in int8 "
        f"{found.perplexity_int8:.2f}; {found.same_next:.1%} of the likeliest tokens behind the same text are the "
        f"same, and {found.same_written:.1%} of up to {WRITTEN} that are written greedily."
    )


def _taught(passages: Sequence[Passage], tokenizer: Tokenizer, scale: Scale) -> Model:
    changes = {"vocab": tokenizer.vocab.size, "norm_first": True, "embedding_norm": False, "init": "gpt2"}
    size = next(iter(scale.backbones.values()))
    spec = size.model_copy(update={**changes, "activation": "gelu_tanh", "segments": 0, "norm_eps": 1e-5})
    world = World(tokenizer.vocab)
    shown = [_example(passage, tokenizer.vocab, spec.positions) for passage in passages]
    plan = TrainPlan(steps=scale.lessons, batch=BATCH, lr=1e-3)
    model = Model(spec, LM.parts(spec, world), seed=0)
    fit(model, Job(Fixed(shown, "fidelity"), (LM,), world, plan))
    return model.eval()


def _example(passage: Passage, vocab: Vocab, positions: int) -> Example:
    cut = slice(positions - 2)
    return Example.of(vocab, Passage(passage.tokens[cut], passage.starts[cut]))


def compared(full: Model, small: Model, passages: Sequence[Passage], vocab: Vocab) -> Fidelity:
    """Both models on texts that neither has seen."""
    nats = [0.0, 0.0]
    asked = same = 0
    for begin in range(0, len(passages), BATCH):
        some = [_example(passage, vocab, full.spec.positions) for passage in passages[begin : begin + BATCH]]
        batch = Packed(Batch.pack([LM.corrupt(example, World(vocab), rng(0)) for example in some]))
        with torch.inference_mode():
            steps = [Step(model, batch) for model in (full, small)]
            likeliest = [step.logits(LM.slot, head=LM.head).argmax(dim=-1) for step in steps]
            count = len(likeliest[0])
            nats = [so_far + float(LM.loss(step)) * count for so_far, step in zip(nats, steps, strict=True)]
        asked, same = asked + count, same + int((likeliest[0] == likeliest[1]).sum())
    perplexity, other = (exp(total / asked) for total in nats)
    return Fidelity(perplexity, other, same / asked, _written_alike(full, small, passages, vocab))


def _written_alike(full: Model, small: Model, passages: Sequence[Passage], vocab: Vocab) -> float:
    begun = [Passage(passage.tokens[:BEGUN], passage.starts[:BEGUN]) for passage in passages if len(passage)]
    search = Search(limit=min(WRITTEN, full.spec.positions - BEGUN - 1))
    texts = [write(model, prompts(vocab, begun), head=LM.head, search=search, end=vocab.sep) for model in (full, small)]
    pairs = [(one.tokens.tolist(), other.tokens.tolist()) for one, other in zip(*texts, strict=True)]
    same: int = sum(a == b for one, other in pairs for a, b in zip(one, other, strict=False))
    return same / max(sum(max(len(one), len(other)) for one, other in pairs), 1)
