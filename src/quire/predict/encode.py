"""Texts to examples for a classifier."""

from collections.abc import Sequence

from quire.core.example import Example, World
from quire.paradigms.classify import Classify
from quire.text.cut import Cut, cut
from quire.text.tokenizers import Tokenizer

SPECIALS = 2
"""[CLS] and [SEP] around a text."""


def encode(
    task: Classify,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    length: int,
    how: Cut,
    labels: Sequence[str] | None = None,
) -> list[Example]:
    """One example a text, cut to `length` tokens with its special ones; with answers where labels are given."""
    world = World(tokenizer.vocab)
    passages = [cut(passage, limit=length - SPECIALS, how=how) for passage in tokenizer.encode(texts)]
    answers: Sequence[str | None] = [None] * len(passages) if labels is None else labels
    return [task.format([passage], label, world) for passage, label in zip(passages, answers, strict=True)]
