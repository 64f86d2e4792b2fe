"""What a person's files ask, in whatever format they stand, and the same as tokens.

Legend: L tokens of a text, W words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from quire.core.answers import Answer, Item, Tree
from quire.core.errors import BadInput
from quire.core.example import Bools, Ints, Passage
from quire.text.tokenizers import Tokenizer


@dataclass(frozen=True)
class Problem:
    """A text, a pair, or a question and its passage; the answer where it is known; and the place, like `dev.tsv:17`."""

    texts: tuple[str, ...]
    answer: Answer | None
    where: str
    words: tuple[tuple[int, int], ...] | None = None
    """Of the last text, where words are asked about: the first character of each, and that behind its last."""
    accepted: tuple[str, ...] = ()
    """Of a question about a passage: all texts that are right."""

    @classmethod
    def of_words(cls, words: Sequence[str], answer: Answer | None, where: str) -> "Problem":
        """A text that is given word by word; they are joined by blanks. BadInput for a word that is blank."""
        if not words or any(not word.strip() for word in words):
            raise BadInput(f"{where}: a word is blank, or there is none; remove the row")
        ends = np.cumsum([len(word) + 1 for word in words]) - 1
        places = tuple((int(end) - len(word), int(end)) for word, end in zip(words, ends, strict=True))
        return cls((" ".join(words),), answer, where, places)

    def told(self, answer: Answer) -> Any:
        """An answer as a person reads it, in JSON: spans with their characters, a tree word by word."""
        match answer:
            case frozenset():
                assert self.words is not None
                return [
                    {
                        "start": self.words[span.start][0],
                        "end": self.words[span.end - 1][1],
                        "label": span.label,
                        "text": self.quoted(span.start, span.end),
                    }
                    for span in sorted(answer)
                ]
            case Tree(heads, relations):
                words = [self.word(number) for number in range(len(heads))]
                rows = zip(words, heads, relations, strict=True)
                return [{"word": word, "head": head, "relation": relation} for word, head, relation in rows]
        return answer

    def word(self, number: int) -> str:
        """A word of the last text."""
        return self.quoted(number, number + 1)

    def quoted(self, start: int, end: int) -> str:
        """The last text from word `start` to word `end` - 1."""
        assert self.words is not None
        return self.texts[-1][self.words[start][0] : self.words[end - 1][1]]


def items(problems: Sequence[Problem], tokenizer: Tokenizer) -> list[Item]:
    """The same as tokens, special ones left out and nothing cut."""
    plain = [text for problem in problems for text in (problem.texts if problem.words is None else problem.texts[:-1])]
    whole = iter(tokenizer.encode(plain))
    read = iter(tokenizer.located([problem.texts[-1] for problem in problems if problem.words is not None]))
    found = []
    for problem in problems:
        if problem.words is None:
            found.append(Item(tuple(next(whole) for _ in problem.texts)))
            continue
        before = [next(whole) for _ in problem.texts[:-1]]
        tokens, offsets = next(read)
        first = first_tokens(offsets, problem.words, len(problem.texts[-1]))
        found.append(Item((*before, Passage(tokens, _starts(first, len(tokens)))), first))
    return found


def first_tokens(offsets_L2: Ints, words: Sequence[tuple[int, int]], characters: int) -> Ints:
    """[W] the first token that stands for a character of each word and of none before it; -1 where there is none.

    A token that covers several words is the first one's alone. Blanks between words belong to nobody.
    """
    word_of = np.full(characters + 1, -1, dtype=np.int64)
    for number, (start, end) in enumerate(words):
        word_of[start:end] = number
    first = np.full(len(words), -1, dtype=np.int64)
    for token in reversed(range(len(offsets_L2))):
        start, end = offsets_L2[token].tolist()
        covered = word_of[start:end]
        if len(own := covered[covered >= 0]):
            first[own[0]] = token
    return first


def in_order(places: Sequence[tuple[int, int]], length: int) -> bool:
    """Whether words stand one behind another in a text of so many characters, none of them empty."""
    inside = all(0 <= start < end <= length for start, end in places)
    return inside and all(one[1] <= two[0] for one, two in pairwise(places))


def _starts(first_W: Ints, length: int) -> Bools:
    begins: Bools = np.zeros(length, dtype=bool)
    begins[first_W[first_W >= 0]] = True
    begins[:1] = True
    return begins
