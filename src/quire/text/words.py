"""Where words begin: what whole-word masking needs, in any language.

Legend: L tokens of one text.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quire.core.errors import BadInput
from quire.core.example import Bools

Segmenter: TypeAlias = Callable[[str], Sequence[str]]
"""text -> its words, spaces included: the pieces joined are the text."""


def chinese() -> Segmenter:
    """The segmenter of rjieba (extra `zh`). It leaves other scripts, digits and spaces as runs of their own."""
    try:
        import rjieba
    except ImportError:
        raise BadInput("Chinese words need the package rjieba: pip install 'quire[zh]'") from None
    cut: Segmenter = rjieba.cut  # its dictionary is loaded once, at the first call
    return cut


def starts(offsets: Sequence[tuple[int, int]], text: str, segment: Segmenter) -> Bools:
    """True [L] where a token begins a word of `segment`; `offsets` [L] are (first, past last) characters in `text`.

    A token that spans words joins them, and so does one that shares a word with its neighbour (a character cut
    into bytes): a set of whole groups is then always a union of words. BadInput when the segmenter alters the text.
    """
    pieces = segment(text)
    if "".join(pieces) != text:
        raise BadInput(f"the segmenter's words, joined, are not the text {text[:40]!r}: it must keep every character")
    if not len(offsets):
        return np.zeros(0, dtype=bool)
    word = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    return _begins(np.asarray(offsets, dtype=np.int64), word)


def _begins(offsets: npt.NDArray[np.int64], word: npt.NDArray[np.int64]) -> Bools:
    """offsets [L, 2], word [characters] -> True [L] where the first character leaves the previous token's last word."""
    first = np.minimum(offsets[:, 0], len(word) - 1)
    last = np.maximum(offsets[:, 1] - 1, first)  # a token without characters of its own stands on the next one
    begins = np.ones(len(offsets), dtype=bool)
    begins[1:] = word[first[1:]] != word[last[:-1]]
    return begins


_ALONE = re.compile(r"[\u3400-\u9fff\u3040-\u30ff]")
_WORD = re.compile(r"[\u3400-\u9fff\u3040-\u30ff]|[^\W\u3400-\u9fff\u3040-\u30ff]+|\S")


def word_places(text: str) -> tuple[tuple[int, int], ...]:
    """The characters of each word: runs of letters with their marks or of digits, single Han characters and kana, other
    signs."""
    places: list[tuple[int, int]] = []
    for found in _WORD.finditer(text):
        begin, end = found.span()
        if places and places[-1][1] == begin and _belongs(text, begin):
            places[-1] = (places[-1][0], end)
        else:
            places.append((begin, end))
    return tuple(places)


def _belongs(text: str, at: int) -> bool:
    """Whether a character goes on with the word before it: a mark (a vowel sign, an accent), or a letter behind one."""
    if _combining(text[at]):
        return True
    return _combining(text[at - 1]) and text[at].isalnum() and not _ALONE.match(text[at])


def _combining(character: str) -> bool:
    """A mark that has no place of its own (Unicode's category M); `re` counts none as a letter."""
    return unicodedata.category(character).startswith("M")


def mostly_chinese(texts: Sequence[str]) -> bool:
    """Whether more than a third of the characters of the first 200 texts are Han: then blanks part no words."""
    sample = "".join(texts[:200])
    return sum("\u3400" <= character <= "\u9fff" for character in sample) > len(sample) / 3
