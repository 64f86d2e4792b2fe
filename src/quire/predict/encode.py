"""Texts to examples for a classifier."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from quire.core.answers import Item
from quire.core.config import Settings, parse
from quire.core.errors import BadInput
from quire.core.example import Example, World
from quire.core.spec import Backbone
from quire.paradigms.classify import SPECIALS, Classify
from quire.text.cut import Cut, cut
from quire.text.tokenizers import Tokenizer


class Reading(Settings):
    """How much of a text a network reads at a time: so many tokens with its special ones, and which."""

    length: Annotated[int, Field(ge=SPECIALS)]
    cut: Cut = "head"

    @model_validator(mode="after")
    def _window_holds(self) -> Self:
        if self.cut == "windows" and self.length == SPECIALS:
            raise ValueError(f"windows of {SPECIALS} tokens hold nothing but special ones; take more")
        return self

    @classmethod
    def of(cls, extra: Mapping[str, Any], backbone: Backbone, *, where: str) -> Self:
        """As it is written beside a network, else all that the network can read; BadInput for more than that."""
        told = {name: extra[name] for name in cls.model_fields if name in extra}
        found = parse(cls, {"length": backbone.positions, **told}, where=where)
        if found.length > backbone.positions:
            raise BadInput(f"{where}.length: {found.length}, and the model has {backbone.positions} positions; mend it")
        return found


def encode(
    task: Classify,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    length: int,
    how: Cut,
    labels: Sequence[str] | None = None,
) -> list[Example]:
    """One example a text, cut to `length` tokens with its special ones, or in windows of so many; with answers where
    labels are given."""
    world = World(tokenizer.vocab, length=length)
    passages = [cut(passage, limit=length - SPECIALS, how=how) for passage in tokenizer.encode(texts)]
    answers: Sequence[str | None] = [None] * len(passages) if labels is None else labels
    pairs = zip(passages, answers, strict=True)
    return [example for passage, label in pairs for example in task.format(Item((passage,)), label, world)]
