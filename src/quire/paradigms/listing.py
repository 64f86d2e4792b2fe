"""A list of spans in writing: what may come next, and what has been named so far.

    name [SEP] words of the text [SEP] name [SEP] words of the text [SEP] ... [SEP]

Spans stand in the order of their first words, shorter ones first where two begin alike. A run of words stands for the
first place where it may, behind the span before it: whoever writes a list and whoever reads it find the same.

Legend: K tokens of a text.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import NamedTuple


class Named(NamedTuple):
    """The number of a name, and a run of the text from its first token to that behind its last."""

    name: int
    start: int
    end: int


@dataclass(frozen=True)
class Source:
    """What a list is made of: names, none of them empty, and a text [K]; neither holds the token `sep`."""

    names: Sequence[tuple[int, ...]]
    text: Sequence[int]
    begins: Sequence[int]
    """The first tokens of its words, ascending from 0; each word ends where the next one begins."""
    sep: int

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """The tokens behind the words."""
        return (*self.begins[1:], len(self.text))


class Listing:
    """A list of at most `limit` tokens, its last [SEP] among them; there is always something that may come next."""

    name: int | None
    """Whose words are being written, if a name stands there."""
    written: list[int]
    """Of a name, or of words."""
    names: list[tuple[int, ...]]
    """Those that begin so."""
    places: list[int]
    """Where the text goes on so."""
    shortest: float
    """What the shortest span costs beside its name."""

    def __init__(self, source: Source, *, limit: int) -> None:
        if limit < 1:
            raise ValueError("a list has one token at least, its end")
        self.source, self.left, self.ended = source, limit, False
        self.found: list[Named] = []
        self._begin()

    @classmethod
    def read(cls, source: Source, tokens: Iterable[int]) -> list[Named]:
        """The spans that a list names, as far as it is one."""
        row = list(tokens)
        listing = cls(source, limit=len(row) + 2)  # of a row that was cut, what stands in it
        for token in row:
            if listing.ended or token not in listing.allowed():
                break
            listing.put(token)
        return listing.found

    def allowed(self) -> list[int]:
        """The tokens that may come next, ascending; none behind the end."""
        size, sep = len(self.written), self.source.sep
        if self.ended:
            return []
        if self.name is None:
            fitting = [n for n in self.names if len(n) - size + 1 + self.shortest <= self.left]
            found = {name[size] if size < len(name) else sep for name in fitting} | (set() if size else {sep})
        else:
            longer = (place for place in self.places if self._cost(place, size + 1) + 1 <= self.left)
            found = {self.source.text[place + size] for place in longer} | ({sep} if self._whole() else set())
        return sorted(found)

    def put(self, token: int) -> None:
        """Write one of these."""
        self.left -= 1
        if token != self.source.sep:
            self._go_on(token)
        elif self.name is not None:
            start, *_ = self._whole()
            self.found.append(Named(self.name, start, start + len(self.written)))
            self._begin()
        elif self.written:
            self.name, self.written = self.source.names.index(tuple(self.written)), []
        else:
            self.ended = True

    def _begin(self) -> None:
        """A name may come, or the end."""
        self.name, self.written = None, []
        self.names, self.places = list(self.source.names), list(self.source.begins)
        self.shortest = min((self._cost(place, 0) for place in self.places), default=inf)

    def _go_on(self, token: int) -> None:
        size = len(self.written)
        self.written.append(token)
        if self.name is None:
            self.names = [name for name in self.names if name[size : size + 1] == (token,)]
        else:
            fitting = (place for place in self.places if self._cost(place, size + 1) <= self.left)
            self.places = [place for place in fitting if self.source.text[place + size] == token]

    def _whole(self) -> list[int]:
        """The places where what is written are whole words."""
        return [place for place in self.places if self._cost(place, len(self.written)) == 2]

    def _cost(self, place: int, size: int) -> float:
        """Tokens from the one numbered `size` of a run that begins at `place`, if it ends as soon as it may, with the
        [SEP] behind it and that of the list; infinite where it may not."""
        last = self.found[-1] if self.found else Named(0, 0, 0)
        if place < last.start:
            return inf
        least = place + max(size, 1)
        number = bisect_left(self.source.ends, max(least, last.end + 1) if place == last.start else least)
        return self.source.ends[number] - place - size + 2 if number < len(self.source.ends) else inf
