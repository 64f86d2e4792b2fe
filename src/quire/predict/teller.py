"""What tells what reviews say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from quire.core.opinions import Review
from quire.nn.model import Model
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

    @abstractmethod
    def reviews(self, texts: Sequence[str]) -> list[Review]:
        """Several texts, likewise; BadInput for one without words."""

    @abstractmethod
    def cut_share(self, texts: Sequence[str]) -> float:
        """The share of texts that are longer than what is read of them."""

    @abstractmethod
    def save(self, folder: Path, *, card: str = "") -> None:
        """Write a model folder that `quire.predict.opened` opens."""
