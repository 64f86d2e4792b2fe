"""What tests of model folders share: a small body, drawn weights, a folder with them."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from quire.core.example import Vocab
from quire.core.heads import HeadSpec
from quire.core.spec import Backbone
from quire.text.tokenizers import Tokenizer
from quire.train.convert import export_tensors
from quire.train.families import read_config
from quire.train.families.base import shapes
from quire.train.start import Base, started
from quire.train.weights import save_model

BERT = Backbone(vocab=37, depth=3, width=12, heads=3, ffn=20, positions=11, segments=2)
VOCAB = Vocab(size=37, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)))


QUIET = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def drawn(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(7)
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


POOLER = drawn({"pooler.weight": (12, 12), "pooler.bias": (12,)})


def save(
    folder: Path,
    backbone: Backbone,
    heads: dict[str, HeadSpec],
    *,
    state: dict[str, Tensor] | None = None,
    saver: Callable[[Path], None] = lambda draft: None,
    vocab: Vocab = VOCAB,
    labels: list[str] | None = None,
) -> dict[str, Tensor]:
    state = state or drawn(shapes(backbone, heads))
    save_model(
        folder,
        backbone=backbone,
        heads=heads,
        state=state,
        labels=labels,
        tokenizer_saver=saver,
        card="",
        extra={},
        pooler=None if heads else POOLER,
        vocab=vocab,
    )
    return state


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


def there_and_back(folder: Path, name: str, sizes: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of a fresh model of theirs, read as a base and written again, and as they were."""
    kind = getattr(pytest.importorskip("transformers"), name)
    kind(kind.config_class(**sizes)).save_pretrained(folder)
    Tokenizer.train(["a b c d e f g"], kind="wordpiece", size=37, lowercase=True, longest=11).save(folder)
    files = Base.load(str(folder)).files
    assert not any("not used" in note for note in files.notes)
    assert same(started(files, files.heads, seed=1).cpu().state_dict(), files.state)
    family, _ = read_config(json.loads((folder / "config.json").read_text()), where=folder)
    tensors = load_file(folder / "model.safetensors")
    for table in (n for n in tensors if family.offset and re.search(r"(position_embeddings|embed_positions)\.w", n)):
        tensors[table][: family.offset] = 0  # rows that no token reaches
    back = export_tensors(files.state, backbone=files.backbone, heads=files.heads, pooler=files.pooler, family=family)
    return back, tensors
