"""Model folders of every kind of backbone and head: a family of transformers' where one says all, else our names."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Passage, Vocab
from quire.core.spec import (
    Backbone,
    BoundaryHead,
    DetectionHead,
    HeadSpec,
    Parts,
    SequenceHead,
    Star,
    TokenHead,
    VectorHead,
)
from quire.nn.model import Model, Packed, Step
from quire.train.families.base import shapes
from quire.train.weights import read_model, save_model, standing

BERT = Backbone(vocab=37, depth=3, width=12, heads=3, ffn=20, positions=11, segments=2)
MODERN = Backbone(
    vocab=37, depth=3, width=12, heads=3, ffn=20, positions=11, segments=0, dropout=0, attention_dropout=0,
    position="rotary", norm_first=True, gated=True, bias=False, window=2, global_every=2, norm_eps=1e-5,
    rotary_base=160_000, rotary_base_local=10_000,
)  # fmt: skip
LINGUAL = Backbone(vocab=37, depth=3, width=12, heads=3, ffn=48, positions=11, segments=0, languages=3)
VOCAB = Vocab(size=37, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)))


def drawn(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(7)
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


POOLER = drawn({"pooler.weight": (12, 12), "pooler.bias": (12,)})


def save(
    folder: Path, backbone: Backbone, heads: dict[str, HeadSpec], *, state: dict[str, Tensor] | None = None
) -> dict[str, Tensor]:
    state = state or drawn(shapes(backbone, heads))
    save_model(
        folder,
        backbone=backbone,
        heads=heads,
        state=state,
        labels=None,
        tokenizer_saver=lambda draft: None,
        card="",
        extra={},
        pooler=None if heads else POOLER,
        pad=5,
    )
    return state


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


BACKBONES: dict[str, tuple[Backbone, str]] = {
    "BERT": (BERT, "bert"),
    "ReLU": (BERT.model_copy(update={"activation": "relu"}), "bert"),
    "ALBERT": (BERT.model_copy(update={"groups": 1, "embedding": 8, "activation": "gelu_tanh"}), "albert"),
    "narrow tables": (BERT.model_copy(update={"embedding": 8}), "electra"),
    "sharing, wide": (BERT.model_copy(update={"groups": 3}), "bert"),
    "sharing, wide, one block": (BERT.model_copy(update={"groups": 1}), "quire"),
    "ModernBERT": (MODERN, "modernbert"),
    "ModernBERT, all global": (MODERN.model_copy(update={"window": None, "global_every": None}), "modernbert"),
    "ModernBERT, all local": (MODERN.model_copy(update={"global_every": None}), "modernbert"),
    "ModernBERT, rare global": (MODERN.model_copy(update={"global_every": 9}), "modernbert"),
    "ModernBERT with RMSNorm": (MODERN.model_copy(update={"norm": "rms"}), "quire"),
    "ModernBERT with shared blocks": (MODERN.model_copy(update={"groups": 1}), "quire"),
    "XLM": (LINGUAL, "xlm"),
    "XLM, sinusoids": (LINGUAL.model_copy(update={"position": "sinusoidal"}), "xlm"),
    "XLM with segments": (LINGUAL.model_copy(update={"segments": 2}), "quire"),
    "no positions": (BERT.model_copy(update={"position": "none"}), "quire"),
    "scores": (BERT.model_copy(update={"score": "additive"}), "quire"),
    "a window": (BERT.model_copy(update={"window": 2}), "quire"),
    "a star": (Star(vocab=37, depth=2, width=12, heads=3, positions=11, ring=True, segments=0), "quire"),
}
EVERY_HEAD: dict[str, HeadSpec] = {
    "mlm": TokenHead(),
    "plain": TokenHead(transform=False),
    "pair": SequenceHead(outputs=2),
    "order": SequenceHead(outputs=3),
    "rtd": DetectionHead(),
    "boundary": BoundaryHead(longest=4, place_width=5),
    "vector": VectorHead(),
    "state": VectorHead(dense=False),
}


@pytest.mark.parametrize("heads", [{}, EVERY_HEAD], ids=["bare", "every head"])
@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_and_head_reads_back_equal(tmp_path: Path, name: str, heads: dict[str, HeadSpec]) -> None:
    backbone, model_type = BACKBONES[name]
    state = save(tmp_path / "m", backbone, heads)
    files = read_model(tmp_path / "m")
    if not heads:  # else the family with the most places for them
        assert json.loads((tmp_path / "m" / "config.json").read_text())["model_type"] == model_type
    assert (files.backbone, dict(files.heads)) == (backbone, heads)
    assert same(files.state, state)
    assert heads or same(files.pooler, POOLER)
    assert not any("not used" in note for note in files.notes)
    Model(files.backbone, files.heads).load_state_dict(dict(files.state))  # names are the model's own


def test_a_folder_in_our_names_without_its_record_says_so(tmp_path: Path) -> None:
    save(tmp_path / "m", BACKBONES["a star"][0], {})
    (tmp_path / "m" / "quire.json").unlink()
    with pytest.raises(BadInput, match=r"m: no quire\.json, which describes a model in Quire's own names"):
        read_model(tmp_path / "m")


def test_a_generator_is_a_folder_of_its_own(tmp_path: Path) -> None:
    small = BERT.model_copy(update={"embedding": 12, "width": 6, "ffn": 5, "depth": 1})
    parts: Parts = {"generator": small, "guess": TokenHead(of="generator"), "rtd": DetectionHead()}
    model = Model(BERT, parts, seed=3)
    for body, model_type in (("backbone", "ElectraForPreTraining"), ("generator", "ElectraForMaskedLM")):
        backbone, heads, state = standing(model, body)
        save(tmp_path / body, backbone, heads, state=state)
        assert json.loads((tmp_path / body / "config.json").read_text())["architectures"] == [model_type]
        files = read_model(tmp_path / body)
        assert (files.backbone, files.heads) == (backbone, heads)
        alone = Model(files.backbone, files.heads)
        alone.load_state_dict(dict(files.state))
        batch = Packed(Batch.pack([Example.of(VOCAB, Passage(np.array([7, 8, 9]), np.ones(3, dtype=bool)))]))
        head, slot = ("rtd", "rtd") if body == "backbone" else ("guess", "guess")
        ours = Step(model.eval(), batch, by=body).scores(head, torch.arange(5))
        torch.testing.assert_close(Step(alone.eval(), batch).scores(slot, torch.arange(5)), ours, atol=0, rtol=0)
