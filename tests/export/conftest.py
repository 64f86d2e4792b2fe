"""A small classifier in a folder, and the same exported once for all tests."""

from pathlib import Path

import pytest

from quire.core.example import World
from quire.core.spec import Backbone
from quire.export import Outcome, export_onnx
from quire.nn.model import Model
from quire.paradigms.classify import Classify
from quire.predict.network import Network
from quire.text.tokenizers import Tokenizer

LABELS = ("差", 'so "so"', "good")
LENGTH = 17
TEXTS = [
    "a good and lovely film, 很好",
    "bad bad bad: 很差的酒店",
    "it is fine. 还可以吧",
    "[SEP] in a text is text, [CLS] too",
    "good film, bad hotel; it is fine and lovely. 很好 很差的 酒店 还可以吧 bad bad good it a and film fine 吧",
    "good",
    "",
]


@pytest.fixture(scope="session")
def network() -> Network:
    tokenizer = Tokenizer.train(TEXTS[:3] * 3, kind="wordpiece", size=80)
    task = Classify(labels=LABELS)
    spec = Backbone(vocab=tokenizer.vocab.size, depth=2, width=24, heads=3, ffn=20, positions=23, init_std=0.3)
    model = Model(spec, task.parts(spec, World(tokenizer.vocab)), seed=3)
    return Network(model, task, tokenizer, length=LENGTH, how="head+tail")


@pytest.fixture(scope="session")
def folder(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier's model folder."""
    home = tmp_path_factory.mktemp("classifier") / "model"
    network.save(home, card="# Its card\n")
    return home


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of texts, one a line."""
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("\n".join(text for text in TEXTS if text), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def exported(folder: Path, reviews: Path) -> Outcome:
    """The classifier, exported with int8 that may lose anything."""
    return export_onnx(folder, texts=reviews, int8=True, max_loss=100)
