"""What tells what reviews say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

from quire.core.errors import BadInput
from quire.core.opinions import Review
from quire.nn.model import Model
from quire.text.absa.own import unread
from quire.text.tokenizers import Tokenizer


class Teller(ABC):
    """Texts in, reviews with their opinions out; saved as a model folder."""

    model: Model
    tokenizer: Tokenizer
    length: int
    """Tokens that are read at a time, special ones included."""

    def __call__(self, text: str) -> Review:
        """The text as a review with what it says."""
        (review,) = self.reviews([text])
        return review

    def reviews(self, texts: Sequence[str]) -> list[Review]:
        """Several texts, likewise; BadInput for one without words."""
        return self.answered(blank(texts))

    @abstractmethod
    def answered(self, reviews: Sequence[Review]) -> list[Review]:
        """The same reviews with what the model says of them, each opinion once, instead of what they say."""

    @property
    def of_aspects(self) -> bool:
        """Whether it is asked about aspects, those of the opinions of a review."""
        return False

    @abstractmethod
    def cut_share(self, texts: Sequence[str]) -> float:
        """The share of texts that are longer than what is read of them."""

    @abstractmethod
    def save(self, folder: Path, *, card: str = "") -> None:
        """Write a model folder that `quire.predict.opened` opens."""


def blank(texts: Sequence[str]) -> list[Review]:
    """Texts as reviews of which nothing is told yet; BadInput for what is no text, and for one without words."""
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise BadInput(f"reviews: {texts!r:.40} is no list of texts; give a list, or a single text to the model itself")
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise BadInput(f"text {number}: {text!r:.40} is no text; give a string, and several to `reviews`")
    return unread(texts)
