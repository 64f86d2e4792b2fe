"""The seven subtasks of aspect-based sentiment analysis as sequences of words and polarities (Yan et al. 2021, "A
Unified Generative Framework for Aspect-Based Sentiment Analysis", section 3.1; survey: ABSA as Sequence Generation).

          asked of                written, for each opinion in order
ae        a review                aspect
oe        a review                words of opinion
alsc      an aspect of a review   polarity, once
aoe       an aspect of a review   words of opinion
aesc      a review                aspect, polarity
pair      a review                aspect, words of opinion
triplet   a review                aspect, words of opinion, polarity

A run of words is written as its first and its last word. What is asked about an aspect begins with that aspect, which
is shown and not asked for. Opinions stand in the order of their aspects, then of their own words, each once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from quire.core.opinions import POLARITIES, Opinion, Polarity, Words

Subtask: TypeAlias = Literal["ae", "oe", "alsc", "aoe", "aesc", "pair", "triplet"]
SUBTASKS: tuple[Subtask, ...] = get_args(Subtask)
Part: TypeAlias = Literal["aspect", "opinion", "polarity"]
PARTS: Mapping[Subtask, tuple[Part, ...]] = {
    "ae": ("aspect",),
    "oe": ("opinion",),
    "alsc": ("polarity",),
    "aoe": ("opinion",),
    "aesc": ("aspect", "polarity"),
    "pair": ("aspect", "opinion"),
    "triplet": ("aspect", "opinion", "polarity"),
}
"""What is written of an opinion."""
OF_ASPECT: frozenset[Subtask] = frozenset({"alsc", "aoe"})
"""Those that are asked about an aspect."""
Symbol: TypeAlias = int | str
"""A word by its number, or a label by its name: a polarity, or what else a vocabulary has."""


@dataclass(frozen=True)
class Told:
    """What a sequence says: opinions in the order in which they are said, and how many pieces of it say nothing.

    `unended` tells whether the last of these is a piece that breaks off; the released code does not count it.
    """

    opinions: tuple[Opinion, ...]
    invalid: int = 0
    unended: bool = False


@dataclass(frozen=True)
class Question:
    """A subtask, and the aspect that it is asked about, for one that is. ValueError where only one of them is so."""

    subtask: Subtask
    aspect: Words | None = None

    def __post_init__(self) -> None:
        if (self.subtask in OF_ASPECT) != (self.aspect is not None):
            raise ValueError(
                f"{self.subtask} is asked about {'an aspect' if self.aspect is None else 'a whole review'}"
            )

    @property
    def parts(self) -> tuple[Part, ...]:
        return PARTS[self.subtask]

    @property
    def prefix(self) -> tuple[int, ...]:
        """What is shown and not asked for."""
        return () if self.aspect is None else _edges(self.aspect)

    @property
    def once(self) -> bool:
        """Whether there is one answer, no more and no less."""
        return self.subtask == "alsc"

    def answer(self, opinions: Iterable[Opinion]) -> tuple[Opinion, ...]:
        """What of a review's opinions it asks for: those that have all parts, without their others, each once."""
        about = [said for said in opinions if self.aspect is None or said.aspect == self.aspect]
        whole = [said for said in about if all(getattr(said, part) is not None for part in self.parts)]
        return tuple(sorted({self._of({part: getattr(said, part) for part in self.parts}) for said in whole}))

    def encode(self, opinions: Iterable[Opinion]) -> tuple[Symbol, ...]:
        """What is written behind the prefix, without its end. ValueError for two polarities where one is asked for."""
        found = self.answer(opinions)
        if self.once and len(found) > 1:
            raise ValueError(f"{self.subtask}: one aspect has {len(found)} polarities")
        return tuple(symbol for said in found for part in self.parts for symbol in _symbols(getattr(said, part)))

    def decode(self, symbols: Sequence[Symbol]) -> Told:
        """The opinions that a sequence tells, whatever it is.

        A label ends a piece of it, and where no polarity is written, so does the last word of an opinion. A piece that
        is too long or too short for an opinion, or in which a run ends before it begins, says nothing.
        """
        found: list[Opinion | None] = []
        piece: list[Symbol] = []
        for symbol in symbols:
            piece.append(symbol)
            if isinstance(symbol, str) or ("polarity" not in self.parts and len(piece) == self.size):
                found.append(self._read(piece))
                piece = []
        told = [said for said in found if said is not None]
        told = told[:1] if self.once else told
        invalid = len(found) - len(told) + bool(piece)
        return Told(tuple(told), invalid, bool(piece))

    @property
    def size(self) -> int:
        """Symbols of an opinion."""
        return sum(1 if part == "polarity" else 2 for part in self.parts)

    def _read(self, piece: Sequence[Symbol]) -> Opinion | None:
        if len(piece) != self.size:
            return None
        said: dict[str, Words | Polarity] = {}
        left = list(piece)
        for part in self.parts:
            read = _polarity if part == "polarity" else _words
            if (found := read(left)) is None:
                return None
            said[part] = found
        return self._of(said)

    def _of(self, said: Mapping[str, object]) -> Opinion:
        return Opinion(**{"aspect": self.aspect, **said})  # type: ignore[arg-type]


def questions(subtask: Subtask, opinions: Iterable[Opinion]) -> list[Question]:
    """What a subtask asks of a review that says this: one question, or one about each aspect it has an answer for."""
    if subtask not in OF_ASPECT:
        return [Question(subtask)]
    (part,) = PARTS[subtask]
    about = {said.aspect for said in opinions if said.aspect is not None and getattr(said, part) is not None}
    return [Question(subtask, aspect) for aspect in sorted(about)]


def _edges(words: Words) -> tuple[int, int]:
    return words[0], words[1] - 1


def _symbols(part: Words | Polarity) -> tuple[Symbol, ...]:
    return (part,) if isinstance(part, str) else _edges(part)


def _words(left: list[Symbol]) -> Words | None:
    first, last = left.pop(0), left.pop(0)
    return (first, last + 1) if isinstance(first, int) and isinstance(last, int) and first <= last else None


def _polarity(left: list[Symbol]) -> Polarity | None:
    found = left.pop(0)
    return next((polarity for polarity in POLARITIES if polarity == found), None)
