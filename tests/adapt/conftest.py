"""A person's files at toy size: reviews whose label a word gives away, text of the domain, a base of two layers."""

import csv
from pathlib import Path

import numpy as np
import pytest

from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.text.tokenizers import Tokenizer
from quire.train.weights import save_model

WORDS = ("the", "phone", "camera", "battery", "screen", "book", "was", "is", "really", "very", "with", "for", "my")
TELLING = {"good": ["great", "lovely", "superb"], "bad": ["awful", "broken", "sad"]}


def review(label: str, seed: int) -> str:
    """A sentence of four to ten words with one that tells the label."""
    draw = np.random.default_rng(seed)
    words = list(draw.choice(WORDS, draw.integers(4, 10)))
    words.insert(int(draw.integers(len(words))), str(draw.choice(TELLING[label])))
    return " ".join(words)


@pytest.fixture(scope="session")
def rows() -> list[tuple[str, str]]:
    """Eighty labelled reviews, all different."""
    made = {review(label, 2 * i + k): label for i in range(60) for k, label in enumerate(TELLING)}
    return list(made.items())[:80]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> Path:
    """A folder with reviews.csv, domain.txt and base/."""
    folder = tmp_path_factory.mktemp("person")
    with (folder / "reviews.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    domain = [review(label, 1000 + i) for i in range(60) for label in TELLING]
    (folder / "domain.txt").write_text("\n".join(domain), encoding="utf-8")
    tokenizer = Tokenizer.train([*domain, *(text for text, _ in rows)], kind="wordpiece", size=120, longest=48)
    spec = Backbone(vocab=tokenizer.vocab.size, depth=2, width=32, heads=2, ffn=64, positions=48, dropout=0.1)
    save_model(
        folder / "base",
        backbone=spec,
        heads={},
        state=Model(spec, {}, seed=1).state_dict(),
        labels=None,
        tokenizer_saver=tokenizer.save,
        card="",
        extra={},
        vocab=tokenizer.vocab,
    )
    return folder
