"""Folders of shards open as those with one file do, and an index that is not true is one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.nn.parity import drawn
from tests.train.folders import BERT, QUIET, VOCAB, same, save
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Passage
from quire.core.heads import TokenHead
from quire.nn.model import Model, Packed, Step
from quire.train.safe import read_tensors, write_tensors
from quire.train.weights import read_model

MODEL, INDEX = "model.safetensors", "model.safetensors.index.json"
ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
WORDS = "embeddings.word_embeddings.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of BERT's in two shards."""
    home = tmp_path / "m"
    save(home, BERT, {})
    (home / "quire.json").unlink()
    tensors = read_tensors(home / MODEL)
    (home / MODEL).rename(tmp_path / MODEL)
    place = {name: TWO if name == WORDS or "layer.2" in name else ONE for name in tensors}
    for shard in (ONE, TWO):
        write_tensors(home / shard, {name: tensors[name] for name in tensors if place[name] == shard})
    (home / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": place}))
    return home


def test_shards_are_one_model(folder: Path) -> None:
    sharded = read_model(folder)
    (folder.parent / MODEL).rename(folder / MODEL)
    whole = read_model(folder)
    assert (sharded.backbone, sharded.heads, sharded.notes) == (whole.backbone, whole.heads, whole.notes)
    assert same(sharded.state, whole.state)
    assert same(sharded.pooler, whole.pooler)


def test_links_of_the_hubs_cache_are_followed(folder: Path) -> None:
    expected = read_model(folder).state
    cache = folder.parent / "models--a--b"
    (cache / "blobs").mkdir(parents=True)
    (cache / "snapshots" / "0f").mkdir(parents=True)
    for i, path in enumerate(sorted(folder.iterdir())):
        path.rename(cache / "blobs" / f"b{i}")
        (cache / "snapshots" / "0f" / path.name).symlink_to(Path("../../blobs") / f"b{i}")
    assert same(read_model(cache / "snapshots" / "0f").state, expected)
    (folder.parent / "short").symlink_to(cache / "snapshots" / "0f")
    assert same(read_model(folder.parent / "short").state, expected)


def _renamed(shard: str) -> Callable[[Path], None]:
    """An index that calls the second shard so, which then lies in the parent folder."""

    def change(folder: Path) -> None:
        (folder / TWO).rename(folder.parent / TWO)
        _index(folder, lambda place: {n: shard if s == TWO else s for n, s in place.items()})

    return change


def _index(folder: Path, change: Callable[[dict[str, str]], object]) -> None:
    content = json.loads((folder / INDEX).read_text())
    (folder / INDEX).write_text(json.dumps({**content, "weight_map": change(content["weight_map"])}))


def _linked(folder: Path) -> None:
    (folder / TWO).rename(folder.parent / TWO)
    (folder / TWO).symlink_to(folder.parent / TWO)


def _with(shard: str, **tensors: Tensor) -> Callable[[Path], None]:
    return lambda folder: write_tensors(folder / shard, {**read_tensors(folder / shard), **tensors})


OUTSIDE = "is not a safetensors file of this folder; do not trust this model"
BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "above": (_renamed(f"../{TWO}"), OUTSIDE),
    "in and out again": (_renamed(f"a/../../{TWO}"), OUTSIDE),
    "absolute": (_renamed(f"/etc/{TWO}"), OUTSIDE),
    "a folder": (_renamed(".."), OUTSIDE),
    "no name at all": (_renamed(f"a\0{TWO}"), OUTSIDE),
    "no text at all": (_renamed(f"\ud800{TWO}"), OUTSIDE),
    "a link that leads out": (_linked, OUTSIDE),
    "a pickle by its name": (_renamed("pytorch_model.bin"), OUTSIDE),
    "a link to itself": (
        lambda f: (f / ONE).rename(f / TWO).with_name(ONE).symlink_to(ONE),
        f"{ONE}: no such file, but .* fetch",
    ),
    "a missing shard": (lambda f: (f / TWO).unlink(), f"{TWO}: no such file, but .* fetch"),
    "a shard too few": (lambda f: _index(f, lambda place: dict.fromkeys(place, ONE)), f"{ONE}: lacks 'embeddings.word"),
    "a promise": (lambda f: _index(f, lambda place: {**place, "x": TWO}), f"{TWO}: lacks 'x', which the index names"),
    "a surprise": (_with(TWO, x=torch.ones(2)), f"{TWO}: holds 'x', which the index does not name"),
    "twice": (_with(ONE, **{WORDS: torch.ones(37, 12)}), f"{ONE}: holds '{WORDS}', which the index places elsewhere"),
    "no map": (lambda f: (f / INDEX).write_text("[]"), "no weight_map from names to files"),
    "no names of files": (lambda f: _index(f, lambda place: {**place, "x": None}), "no weight_map from names to files"),
    "an empty map": (lambda f: _index(f, lambda place: {}), "that config.json asks for is missing"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_index_that_is_not_true_is_one_line(folder: Path, name: str) -> None:
    change, message = BAD[name]
    change(folder)
    with pytest.raises(BadInput, match=message) as caught:
        read_model(folder)
    assert "\n" not in str(caught.value)


@QUIET
def test_shards_of_transformers_give_their_logits(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=37, hidden_size=15, num_hidden_layers=3, num_attention_heads=3, intermediate_size=13,
        max_position_embeddings=11,
    )  # fmt: skip
    theirs = drawn(transformers.BertForMaskedLM(config), 5)
    theirs.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    files = read_model(tmp_path)
    assert files.heads == {"mlm": TokenHead()}
    model = Model(files.backbone, files.heads).eval()
    model.load_state_dict(dict(files.state))
    packed = Packed(Batch.pack([Example.of(VOCAB, Passage(np.arange(7, 16), np.ones(9, dtype=bool)))]))
    ours = Step(model, packed).scores("mlm", torch.arange(11))
    torch.testing.assert_close(ours, theirs(packed.tokens[None]).logits[0], atol=1e-5, rtol=1e-5)
