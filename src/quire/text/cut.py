"""What is kept of a text that is longer than the model reads at a time."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np

from quire.core.example import Passage
from quire.core.heads import MOST

Piece: TypeAlias = Literal["head", "tail", "head+tail"]
"""What is read in one piece."""
Cut: TypeAlias = Literal[Piece, "windows"]
"""Or all of it, a window at a time."""

KEPT: Mapping[Cut, str] = {
    "head": "the beginning",
    "tail": "the end",
    "head+tail": "a quarter from the beginning and the rest from the end",
    "windows": f"all that {MOST} windows of that length hold, each read by itself",
}
"""What each way of cutting keeps of a text that is too long."""


def cut(passage: Passage, *, limit: int, how: Cut) -> Passage:
    """At most `limit` tokens: the first, the last, or a quarter from the head and the rest from the tail.

    The quarter is Sun et al. 2019 (section 5.3.1): 128 of 510 tokens from the head, 382 from the tail. What is read in
    windows stays whole.
    """
    if len(passage) <= limit or how == "windows":
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


def in_windows(passage: Passage, *, room: int, most: int) -> list[Passage]:
    """The passage, or the beginning of it that `most` windows hold, in as few runs of at most `room` tokens as can be.

    They do not overlap, as the fractions of Sun et al. 2019 (section 5.3.1), and are of one length, give or take a
    token, so that none is a remainder of a few.
    """
    kept = passage[: most * room]
    count = max(-(-len(kept) // room), 1)
    return [kept[a:b] for a, b in pairwise(len(kept) * number // count for number in range(count + 1))]
