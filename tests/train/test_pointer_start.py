"""A pointer on a base: over a decoder that it has, or a fresh one, with labels that begin as what they are called."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.train.folders import BERT, VOCAB, drawn, same

from quire.core.errors import BadInput
from quire.core.heads import HeadSpec, PointerHead
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.train.families.base import shapes
from quire.train.start import Base, started, with_decoder
from quire.train.weights import ModelFiles, read_model, save_model

BART = BERT.model_copy(update={"segments": 0, "decoder": 2, "norm_eps": 1e-5})
POINTER = PointerHead(vocab=37, end=3, labels=((5,), (6, 7)), special=(2, 3))
PARTS: dict[str, HeadSpec] = {"point": POINTER}


def files(backbone: Backbone, heads: dict[str, HeadSpec] | None = None) -> ModelFiles:
    return ModelFiles(backbone, heads or {}, drawn(shapes(backbone, heads or {})))


def saved(folder: Path, model: Model) -> ModelFiles:
    save_model(
        folder,
        backbone=model.spec,
        heads=model.head_specs,
        state=model.state_dict(),
        labels=None,
        tokenizer_saver=lambda draft: None,
        vocab=VOCAB,
        card="",
        extra={},
    )
    return read_model(folder)


@pytest.mark.parametrize("base", [files(BART), with_decoder(files(BERT), 1)], ids=["BART", "BERT"])
def test_it_stands_on_a_base_and_reads_back_equal(base: ModelFiles, tmp_path: Path) -> None:
    model = started(base, PARTS, seed=1)
    state, table = model.state_dict(), base.state["backbone.embeddings.tokens.weight"]
    assert all(torch.equal(state[name], tensor) for name, tensor in base.state.items())
    called = torch.stack([table[5], (table[6] + table[7]) / 2])
    torch.testing.assert_close(state["heads.point.labels.weight"], called)
    found = saved(tmp_path / "m", model)
    assert same(found.state, state)
    assert found.heads == PARTS
    assert found.backbone == model.spec


def test_labels_that_were_learnt_are_kept_and_others_begin_anew() -> None:
    learnt = files(BART, PARTS)
    kept = started(learnt, PARTS, seed=1).state_dict()
    assert torch.equal(kept["heads.point.labels.weight"], learnt.state["heads.point.labels.weight"])
    anew = started(learnt, {"point": POINTER.model_copy(update={"labels": ((8,), (9,))})}, seed=1).state_dict()
    rows = learnt.state["backbone.embeddings.tokens.weight"][[8, 9]]
    torch.testing.assert_close(anew["heads.point.labels.weight"], rows)


def test_a_fresh_decoder_stands_where_none_is() -> None:
    base = Base.load("minilm").files
    model = started(with_decoder(base, 2), PARTS, seed=3)
    assert model.spec.decoder == 2
    assert torch.equal(
        model.state_dict()["backbone.blocks.0.ffn.up.weight"], base.state["backbone.blocks.0.ffn.up.weight"]
    )
    with pytest.raises(BadInput, match="has a decoder of 2 layers"):
        with_decoder(files(BART), 1)
    relative = replace(files(BERT), backbone=BERT.model_copy(update={"position": "relative"}))
    with pytest.raises(BadInput, match=r"base under a fresh decoder: .*a decoder has no relative positions"):
        with_decoder(relative, 1)
