"""What is kept of a text that is longer than the model reads."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from quire.core.example import Passage

Cut: TypeAlias = Literal["head", "tail", "head+tail"]


def cut(passage: Passage, *, limit: int, how: Cut) -> Passage:
    """At most `limit` tokens: the first, the last, or a quarter from the head and the rest from the tail.

    The quarter is Sun et al. 2019 (section 5.3.1): 128 of 510 tokens from the head, 382 from the tail.
    """
    if len(passage) <= limit:
        return passage
    if how == "head":
        return passage[:limit]
    if how == "tail":
        return passage[len(passage) - limit :]
    head = limit // 4
    front, back = passage[:head], passage[len(passage) - (limit - head) :]
    return Passage(
        np.concatenate([front.tokens, back.tokens]),
        np.concatenate([front.starts, back.starts]),
        passage.document,
    )


def together(passages: Sequence[Passage], *, limit: int) -> list[Passage]:
    """The first tokens of each, so many that all are at most `limit`: a long text gives way before a short one."""
    each = next((n for n in range(limit, 0, -1) if sum(min(len(text), n) for text in passages) <= limit), 0)
    return [text[:each] for text in passages]
