"""A tokenizer and rows for the bridge."""

from typing import Any

import pytest
from tests.hf.theirs import LENGTH, SIZE

from quire.text.tokenizers import Tokenizer


@pytest.fixture(scope="session")
def tokenizer(texts: list[str]) -> Tokenizer:
    return Tokenizer.train(texts, kind="wordpiece", size=SIZE, longest=LENGTH)


@pytest.fixture(scope="session")
def rows(texts: list[str]) -> list[Any]:
    """Texts of many lengths."""
    return [text[: 9 * i + 1] for i, text in enumerate(texts[:9])]
