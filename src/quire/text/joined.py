"""Two texts that are judged together, as one string: what compares, counts and shows texts need not know of pairs."""

from collections.abc import Sequence


class Pair(str):
    """Both texts one below the other; `parts` are what a network reads apart, `[CLS] first [SEP] second [SEP]`."""

    __slots__ = ("parts",)

    parts: tuple[str, str]

    def __new__(cls, first: str, second: str) -> "Pair":
        pair = super().__new__(cls, f"{first}\n{second}")
        pair.parts = (first, second)
        return pair

    def __reduce__(self) -> tuple[type["Pair"], tuple[str, str]]:
        """A copy is a pair too."""
        return Pair, self.parts


def joined(texts: Sequence[str]) -> str:
    """A text as it is, two as a pair."""
    return Pair(*texts) if len(texts) > 1 else texts[0]


def parts(text: str) -> tuple[str, ...]:
    """The texts of a pair, or the text alone: `joined(parts(text)) == text`."""
    return text.parts if isinstance(text, Pair) else (text,)
