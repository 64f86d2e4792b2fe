"""A model folder from anywhere: refused in one line by every verb, with nothing written; what it asks for is not done.

The files themselves are attacked in tests/train/test_safe.py, tests/train/test_sharded.py and tests/text.
"""

import json
import os
import struct
import sys
import typing
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel

import quire
from quire.cli import main
from quire.core.catalogue import Component
from quire.core.errors import BadInput, Ignored
from quire.core.example import World
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.paradigms.classify import Classify
from quire.predict.network import Network, _Facts
from quire.predict.writer import Writing
from quire.text.tokenizers import Tokenizer
from quire.train.safe import read_tensors, write_tensors
from quire.train.start import Base
from quire.train.weights import _Record, read_model

LABELS = ("bad", "fine", "good")
TEXTS = ["a good and lovely film", "bad bad bad film", "it is fine"]
MODEL, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"
WORDS = "bert.embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A classifier of BERT's as others write it, by the names of its files."""
    home = tmp_path_factory.mktemp("good") / "m"
    tokenizer = Tokenizer.train(TEXTS * 3, kind="wordpiece", size=60)
    task = Classify(labels=LABELS)
    spec = Backbone(vocab=tokenizer.vocab.size, depth=2, width=12, heads=3, ffn=20, positions=40)
    model = Model(spec, task.parts(spec, World(tokenizer.vocab)), seed=3)
    Network(model, task, tokenizer, length=30, how="head").save(home)
    (home / "quire.json").unlink()
    return {path.name: path.read_bytes() for path in home.iterdir()}


@pytest.fixture
def folder(files: dict[str, bytes], tmp_path: Path) -> Path:
    home = tmp_path / "m"
    home.mkdir()
    for name, content in files.items():
        (home / name).write_bytes(content)
    return home


def edited(name: str, **changes: Any) -> Callable[[Path], None]:
    """A JSON file with other fields."""

    def change(home: Path) -> None:
        content = json.loads((home / name).read_text("utf-8")) if (home / name).exists() else {}
        (home / name).write_text(json.dumps({**content, **changes}), encoding="utf-8")

    return change


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    """Other weights."""

    def apply(home: Path) -> None:
        found = read_tensors(home / MODEL)
        change(found)
        write_tensors(home / MODEL, found)

    return apply


def written(name: str, content: bytes) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        (home / name).write_bytes(content)

    return change


def pickled(home: Path) -> None:
    (home / MODEL).unlink()
    torch.save({WORDS: torch.zeros(2)}, home / "pytorch_model.bin")


def piped(home: Path) -> None:
    (home / MODEL).unlink()
    os.mkfifo(home / MODEL)


def sharded(place: str) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        (home / MODEL).rename(home.parent / "away.safetensors")
        (home / INDEX).write_text(json.dumps({"weight_map": {WORDS: place}}))

    return change


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a header beyond the file": (written(MODEL, struct.pack("<Q", 2**62) + b"{}"), "not an intact safetensors file"),
    "a header that is no JSON": (written(MODEL, struct.pack("<Q", 8) + b"nonsense"), "not an intact safetensors file"),
    "a pipe": (piped, "model.safetensors: not a plain file"),
    "a pickle alone": (pickled, "a pickle can run code .*; if you trust its source, open it with transformers"),
    "a shard outside": (
        sharded("../away.safetensors"),
        "'../away.safetensors' is not a safetensors file of",
    ),
    "a shard missing": (sharded("model-00001.safetensors"), "model-00001.safetensors: no such file"),
    "another shape": (
        edited(CONFIG, intermediate_size=21),
        r"the shape \[20, 12\], config.json asks for \[21, 12\]",
    ),
    "NaN": (tensors(lambda t: t[WORDS][3].fill_(torch.nan)), "word_embeddings.weight' holds NaN or infinity"),
    "infinity": (tensors(lambda t: t[WORDS][3].fill_(torch.inf)), "holds NaN or infinity"),
    "a tensor missing": (tensors(lambda t: t.pop(WORDS)), "that config.json asks for is missing"),
    "layers below zero": (edited(CONFIG, num_hidden_layers=-1), "depth: Input should be greater than 0"),
    "10^12 layers": (edited(CONFIG, num_hidden_layers=10**12), "depth: Input should be less than or equal to 1000"),
    "a wide table": (edited(CONFIG, vocab_size=10**12), "vocab: Input should be less than 2147483648"),
    "a size beyond memory": (
        edited(CONFIG, vocab_size=2**31 - 1, hidden_size=3 * 2**29),
        "sizes beyond all memory|shape",
    ),
    "a word for a size": (edited(CONFIG, hidden_size="wide"), "width: Input should be a valid integer"),
    "a list for all": (written(CONFIG, b"[]"), "config.json: expected an object"),
    "no JSON": (written(CONFIG, b"{"), "config.json: not valid JSON"),
    "JSON without end": (written(CONFIG, b'{"a":' * 100_000), "config.json: not valid JSON"),
    "NaN for a rate": (written(CONFIG, b'{"model_type":"bert","hidden_dropout_prob":NaN}'), "vocab_size is missing"),
    "no tokenizer": (written("tokenizer.json", b"[]"), "tokenizer.json: not a readable tokenizer"),
    "tokens without rows": (
        edited("added_tokens.json", **{f"<{i}>": 1000 + i for i in range(3)}),
        "is said to be 1000, and would be",
    ),
    "more tokens than rows": (
        edited("tokenizer_config.json", extra_special_tokens=["<one>", "<two>"]),
        "the tokenizer has .* tokens, the model .*; take the tokenizer that belongs to the model",
    ),
    "labels for other outputs": (edited(CONFIG, id2label={"0": "a"}), "id2label does not name the 3 outputs"),
    "labels twice": (edited(CONFIG, id2label={"0": "a", "1": "b", "2": "a"}), "2 different labels for 3 outputs"),
}


@pytest.fixture(params=HOSTILE)
def hostile(request: pytest.FixtureRequest, folder: Path) -> tuple[Path, str]:
    change, message = HOSTILE[request.param]
    change(folder)
    return folder, message


def test_the_folder_is_good_before(folder: Path) -> None:
    assert quire.load(folder)(TEXTS[0]).label in LABELS
    Base.load(str(folder))


def test_the_library_refuses_it_in_one_line(hostile: tuple[Path, str]) -> None:
    folder, message = hostile
    for open_it in (quire.load, lambda path: Base.load(str(path))):
        with pytest.raises(BadInput, match=message) as caught:
            open_it(folder)
        assert str(folder) in str(caught.value)
        assert "\n" not in str(caught.value)


VERBS = {
    "predict": ["predict", "{m}", "a film"],
    "evaluate": ["evaluate", "{m}", "--data", "{csv}"],
    "adapt": ["adapt", "--train", "{csv}", "--base", "{m}", "--out", "{out}"],
    "pretrain": ["pretrain", "bert-base", "--corpus", "{txt}", "--start", "{m}", "--out", "{out}"],
}


def run(monkeypatch: pytest.MonkeyPatch, verb: str, folder: Path) -> int:
    """The exit code of a verb on a folder, with data that are good."""
    home = folder.parent
    (home / "texts.csv").write_text(
        "text,label\n" + "".join(f"{i} {t},{LABELS[i % 3]}\n" for i, t in enumerate(TEXTS * 20))
    )
    (home / "texts.txt").write_text("\n".join(f"{i} {text}." for i, text in enumerate(TEXTS * 20)))
    places = {"m": folder, "csv": home / "texts.csv", "txt": home / "texts.txt", "out": home / "out"}
    monkeypatch.setattr(sys, "argv", ["quire", *(part.format(**places) for part in VERBS[verb])])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize("verb", VERBS)
def test_the_command_line_says_it_exits_2_and_leaves_nothing(
    verb: str, hostile: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = hostile
    assert run(monkeypatch, verb, folder) == 2
    told = capsys.readouterr()
    assert told.err.startswith("quire: ")
    assert told.err.count("\n") == 1
    assert not told.out
    left = {path.name for path in folder.parent.iterdir()} - {"away.safetensors"}
    assert left == {"m", "texts.csv", "texts.txt"}


ASKS: dict[str, tuple[dict[str, Any], str]] = {
    "auto_map": ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map ignored: Quire runs no code of a folder"),
    "code": (
        {"custom_pipelines": {"x": {"impl": "evil.Pipe"}}, "trust_remote_code": True},
        "custom_pipelines, trust_re",
    ),
    "attention": ({"_attn_implementation": "flash_attention_2"}, "_attn_implementation ignored: Quire computes"),
}


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("asked", ASKS)
def test_what_a_folder_asks_for_is_ignored_with_a_word(asked: str, name: str, folder: Path) -> None:
    fields, message = ASKS[asked]
    (folder / "evil.py").write_text("raise SystemExit('run')")
    edited(name, **fields)(folder)
    with pytest.warns(Ignored, match=f"{name}: {message}") as caught:
        model = quire.load(folder)
    assert len(caught) == 1
    assert model(TEXTS[0]).label in LABELS


def test_what_is_not_asked_for_says_nothing(folder: Path) -> None:
    edited("config.json", auto_map=None, trust_remote_code=False, attn_implementation="")(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quire.load(folder)


def test_the_command_line_says_it_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edited("config.json", auto_map={"AutoModel": "evil.Model"})(folder)
    shown = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run(monkeypatch, "predict", folder) == 0
    told = capsys.readouterr()
    assert told.err == f"quire: {folder / 'config.json'}: auto_map ignored: Quire runs no code of a folder\n"
    assert told.out.count("\n") == 1
    assert warnings.showwarning is shown


def kinds(record: Any, seen: set[Any]) -> Iterator[type]:
    """Components of any class that a record can hold, which a file could name for import."""
    if isinstance(record, type) and issubclass(record, BaseModel) and record not in seen:
        seen.add(record)
        if issubclass(record, Component) and "home" in record.__dict__:
            yield record
        for field in record.model_fields.values():
            yield from kinds(field.annotation, seen)
    for part in typing.get_args(record):
        yield from kinds(part, seen)


@pytest.mark.parametrize("record", [_Record, _Facts, Writing, Classify])
def test_no_record_of_a_model_folder_names_a_class_to_import(record: type) -> None:
    seen: set[Any] = set()
    assert not list(kinds(record, seen))
    assert seen


def test_labels_say_the_same_in_both_directions_or_it_is_said(folder: Path) -> None:
    edited("config.json", label2id={"bad": 2, "fine": 1, "good": 0})(folder)
    with pytest.warns(Ignored, match="label2id ignored: it does not say what id2label says"):
        assert read_model(folder).labels == list(LABELS)
