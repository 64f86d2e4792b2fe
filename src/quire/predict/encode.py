"""Texts to examples for a classifier."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from quire.core.answers import Item
from quire.core.config import Settings, parse
from quire.core.errors import BadInput
from quire.core.example import Example, Passage, World
from quire.core.spec import Backbone
from quire.paradigms import Paradigm
from quire.paradigms.classify import SPECIALS, Classify
from quire.text.cut import Cut, cut
from quire.text.joined import parts
from quire.text.problems import Problem, items
from quire.text.tokenizers import Tokenizer


class Reading(Settings):
    """How much of a text a network reads at a time: so many tokens with its special ones, and which."""

    length: Annotated[int, Field(ge=SPECIALS)]
    cut: Cut = "head"
    pairs: bool = False
    """Whether texts are pairs."""

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
    """One example a text or `Pair`, cut to `length` tokens with its special ones, or a text in windows of so many; with
    answers where labels are given."""
    world = World(tokenizer.vocab, length=length)
    read = items([Problem(parts(text), None, "") for text in texts], tokenizer)
    answers: Sequence[str | None] = [None] * len(read) if labels is None else labels
    posed = zip(fitted(read, task, world, how=how), answers, strict=True)
    return [example for item, label in posed for example in task.format(item, label, world)]


def fitted(read: Sequence[Item], paradigm: Paradigm, world: World, *, how: Cut) -> list[Item]:
    """The items, each cut to what the paradigm has room for."""
    return [replace(item, passages=_fitted(item, room=paradigm.room(item, world), how=how)) for item in read]


def _fitted(item: Item, *, room: int, how: Cut) -> tuple[Passage, ...]:
    """The texts of an item, cut until they have `room` for all their tokens: the longest are cut first."""
    left, limits = max(room, 0), [0] * len(item.passages)
    for place, i in enumerate(sorted(range(len(limits)), key=lambda i: len(item.passages[i]))):
        limits[i] = min(len(item.passages[i]), left // (len(limits) - place))
        left -= limits[i]
    how = "head" if how == "windows" and len(limits) > 1 else how
    return tuple(cut(passage, limit=limit, how=how) for passage, limit in zip(item.passages, limits, strict=True))
