"""A person's files of every task at toy size, each of which a word gives away, and a base of two layers."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from quire.adapt import measure
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.text.tokenizers import Tokenizer
from quire.train.progress import Silent
from quire.train.signals import StopRequest
from quire.train.weights import save_model

THINGS = ("phone", "camera", "battery", "screen", "book")
SAID = ("the", "was", "is", "really", "very", "with", "for")
PEOPLE = ("ada", "bo", "cy", "di")
PLACES = ("rome", "oslo", "cairo")


def sentence(draw: Rng, *more: str) -> list[str]:
    words = [*draw.choice([*THINGS, *SAID], int(draw.integers(3, 7))), *more]
    return [str(word) for word in draw.permutation(words)]


def tagged(words: Sequence[str]) -> list[str]:
    """Names of people and places, each a word."""
    return ["B-PER" if word in PEOPLE else "B-LOC" if word in PLACES else "O" for word in words]


@pytest.fixture(scope="session")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """reviews.csv, pairs.csv, names.conll, questions.json, trees.conllu and base/."""
    folder, draw = tmp_path_factory.mktemp("person"), rng("shift")
    reviews = [(" ".join(sentence(draw, ["awful", "great"][i % 2], str(i))), ["bad", "good"][i % 2]) for i in range(80)]
    pairs = [(" ".join(sentence(draw, f"a{i}")), "high great" if i % 2 else "low", f"{i % 2}.5") for i in range(60)]
    _table(folder / "reviews.csv", [("text", "label"), *reviews])
    _table(folder / "pairs.csv", [("text", "other", "label"), *pairs])
    named = [sentence(draw, str(draw.choice(PEOPLE)), str(draw.choice(PLACES)), f"n{i}") for i in range(80)]
    blocks = ["".join(f"{word} {tag}\n" for word, tag in zip(w, tagged(w), strict=True)) for w in named]
    (folder / "names.conll").write_text("\n".join(blocks), encoding="utf-8")
    (folder / "trees.conllu").write_text("".join(_tree(words) for words in named), encoding="utf-8")
    _questions(folder / "questions.json", named)
    texts = [*(text for text, _ in reviews), *(" ".join(w) for w in named), "where who low high great per loc good bad"]
    tokenizer = Tokenizer.train([*texts, *texts], kind="wordpiece", size=300, longest=64)
    spec = Backbone(vocab=tokenizer.vocab.size, depth=2, width=32, heads=2, ffn=64, positions=64, dropout=0.0)
    spec = spec.model_copy(update={"init_std": 0.1, "attention_dropout": 0.0})
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


class _Ending(Silent):
    """Asks for a stop after so many updates."""

    def __init__(self, stop: StopRequest, updates: int) -> None:
        self.stop, self.left = stop, updates

    def update(self, done: int, figures: str = "") -> None:
        self.left -= 1
        if not self.left:
            self.stop.reason = "a test"


@pytest.fixture
def after() -> Callable[[int], dict[str, Any]]:
    """Arguments that stop a run after so many updates."""

    def made(updates: int) -> dict[str, Any]:
        stop = StopRequest()
        return {"stop": stop, "progress": _Ending(stop, updates)}

    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "SECONDS", 0.05)
    monkeypatch.setattr("quire.shift.job.LEAST", 1)


def _table(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _tree(words: Sequence[str]) -> str:
    """Every word hangs on the one before; names are told apart by their relation."""
    kinds = ["root" if not i else tag.removeprefix("B-").lower() for i, tag in enumerate(tagged(words))]
    rows = (f"{i + 1}\t{w}\t_\t_\t_\t_\t{i}\t{k}\t_\t_\n" for i, (w, k) in enumerate(zip(words, kinds, strict=True)))
    return "".join(rows) + "\n"


def _questions(path: Path, named: Sequence[Sequence[str]]) -> None:
    """Who, and where: the answer is a word of the passage; every fifth question has none."""
    paragraphs = []
    for i, words in enumerate(named):
        kept = [word for word in words if word not in PEOPLE] if i % 5 == 0 else list(words)
        context = " ".join(kept)
        name = next((word for word in kept if word in PEOPLE), "")
        answers = [{"text": name, "answer_start": f" {context} ".find(f" {name} ")}] if name else []
        asked = {"id": str(i), "question": "who is", "answers": answers, "is_impossible": not name}
        paragraphs.append({"context": context, "qas": [asked]})
    path.write_text(
        json.dumps({"version": "2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}), encoding="utf-8"
    )
