"""What a task asks about, and what can be answered: structures that every paradigm of a task shares.

label    a string: the class of a text, or of a pair
number   a float: how alike two texts are
spans    a set of `Span`: named entities, chunks, the answer in a passage (one or none)
tree     a `Tree`: who depends on whom

Scores are computed on these, never on what a paradigm makes of them.

Legend: W words of a text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from quire.core.example import Ints, Passage

Kind: TypeAlias = Literal["label", "number", "spans", "tree"]
Task: TypeAlias = Literal["label", "number", "spans", "reading", "tree"]
"""What is asked for: the answers to `reading`, questions about a passage, are spans, one or none."""


@dataclass(frozen=True, order=True)
class Span:
    """Words `start` to `end` - 1 of a text, and what they are."""

    start: int
    end: int
    label: str

    @property
    def place(self) -> str:
        """For a person, who counts from one: "word 3 (LOC)", "words 3 to 4 (LOC)"."""
        words = f"words {self.start + 1} to {self.end}" if self.end - self.start > 1 else f"word {self.end}"
        return f"{words} ({self.label})"


@dataclass(frozen=True)
class Tree:
    """The head of each word, counted from 1, with 0 for the root, and the relation to it."""

    heads: tuple[int, ...]
    relations: tuple[str, ...]

    def fault(self) -> str | None:
        """Why this is no tree, or None."""
        if len(self.heads) != len(self.relations):
            return f"{len(self.heads)} heads and {len(self.relations)} relations"
        for word, head in enumerate(self.heads, start=1):
            if not 0 <= head <= len(self.heads):
                return f"word {word} has the head {head}, and there are {len(self.heads)} words"
        if (roots := [word for word, head in enumerate(self.heads, start=1) if head == 0]) and len(roots) > 1:
            return f"words {roots[0]} and {roots[1]} are both roots"
        if self.heads and not roots:
            return "no word is the root"
        for word in range(1, len(self.heads) + 1):
            seen, at = {word}, word
            while at := self.heads[at - 1]:
                if at in seen:
                    return f"word {at} is its own ancestor"
                seen.add(at)
        return None


Spans: TypeAlias = frozenset[Span]
Answer: TypeAlias = str | float | Spans | Tree


class Inexpressible(Exception):
    """A paradigm has no form for this answer: a crossing span in a row of tags, two answers where one is asked."""


@dataclass(frozen=True)
class Item:
    """What a question is about, as tokens: a text, a pair, or a question and its passage.

    Where words are asked about, they are those of the last text: `first` [W] is the token that begins each, or -1
    where a word has no token of its own.
    """

    passages: tuple[Passage, ...]
    first: Ints | None = None

    @property
    def words(self) -> Ints:
        """[W]; ValueError where nobody counted them."""
        if self.first is None:
            raise ValueError("a text whose words were not counted")
        return self.first


def windows(length: int, *, room: int) -> Sequence[slice]:
    """Runs of at most `room` tokens that cover `length` of them; each but the first begins half a run after another.

    ValueError for a room of less than two.
    """
    if room < 2:
        raise ValueError(f"room for {room} tokens")
    if length <= room:
        return [slice(0, length)]
    starts = range(0, length - room + room // 2, room // 2)
    return [slice(min(start, length - room), min(start, length - room) + room) for start in starts]


def best_window(token: int, among: Sequence[slice]) -> int:
    """Which window a token is read in: that where most stands on its poorer side, the first among equals."""
    return max(
        (number for number, window in enumerate(among) if window.start <= token < window.stop),
        key=lambda number: min(token - among[number].start, among[number].stop - 1 - token),
    )
