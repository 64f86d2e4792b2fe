"""The text that arms are pre-trained on, and the part of it that none of them sees."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

from quire.text.audit import normalised

ONE_IN = 20
"""One document in so many is held out."""


class Part:
    """The documents of a corpus that are held out, or all others: decided by each text alone, so equal texts stay
    together and the parts are the same in every run."""

    def __init__(self, texts: Callable[[], Iterable[str]], *, held_out: bool) -> None:
        self.texts, self.held_out = texts, held_out

    def __call__(self) -> Iterator[str]:
        return (text for text in self.texts() if _is_held_out(text) == self.held_out)


def _is_held_out(text: str) -> bool:
    digest = hashlib.sha256(normalised(text).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:4], "little") % ONE_IN == 0
