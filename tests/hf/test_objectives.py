"""Every objective, on a model of transformers: bridged, with the loss that Quire computes, or refused with a reason."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from tests.hf.theirs import LENGTH, quires_loss, same_loss, theirs

from quire.core.catalogue import Component, catalogue
from quire.core.errors import BadInput
from quire.hf import Bridge, Collator
from quire.objectives import Objective
from quire.text.tokenizers import Tokenizer

pytest.importorskip("transformers")
MLM: Mapping[str, Any] = {"mlm": {"select": {"spans": {"rate": 0.3}}}}
BRIDGED: Mapping[str, tuple[str, list[Any]]] = {
    "boundary": ("bert", [MLM, "boundary"]),
    "denoise": ("bart", ["denoise"]),
    "dim": ("bert", ["dim", {"mlm": {"weight": 0.5}}]),
    "lm": ("gpt2", ["lm"]),
    "mlm": ("bert", [MLM]),
    "neighbours": ("bert", ["neighbours"]),
    "pair": ("bert", [{"pair": {"negatives": ["swapped", "random"]}}, "mlm"]),
    "rtd": ("electra", ["rtd"]),
    "simcse": ("bert", ["simcse"]),
    "translate": ("bart", ["translate"]),
}
"""Objective -> the model that it is tried on, and beside which others."""
REFUSED = {
    "bilm": ("bert", ["bilm"], "directions that never meet"),
    "plm": ("xlnet", ["plm"], "second stream"),
    "point": ("bart", ["point"], "asks about reviews"),
}
LABELS = ("mlm", "lm", "denoise", "translate")
"""Those for which labels are enough."""


def paired(rows: list[Any]) -> list[Any]:
    return [{"text": row, "text_target": row[::-1]} for row in rows]


def test_every_objective_is_here() -> None:
    kind: type[Component] = Objective
    assert catalogue(kind).keys() == BRIDGED.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", BRIDGED)
def test_the_loss_is_the_one_that_quire_computes(
    name: str, tokenizer: Tokenizer, texts: list[str], rows: list[Any]
) -> None:
    kind, objectives = BRIDGED[name]
    bridge = Bridge(theirs(kind), tokenizer, objectives, length=LENGTH, corpus=texts, seed=5)
    loss = same_loss(bridge, paired(rows) if name == "translate" else rows)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.any() for p in bridge.host.heads.parameters())
    assert bridge.model.get_input_embeddings().weight.grad.any()


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_enough_where_the_head_is_theirs(
    name: str, tokenizer: Tokenizer, texts: list[str], rows: list[Any]
) -> None:
    kind, objectives = BRIDGED[name]
    asked: dict[str, Any] = {"length": LENGTH, "corpus": texts, "seed": 5}
    rows = paired(rows) if name == "translate" else rows
    model = theirs(kind)
    collated = Collator(tokenizer, objectives, **asked)(rows)
    loss = model(**collated).loss
    bridge = Bridge(model, tokenizer, objectives, **asked).eval()
    torch.testing.assert_close(loss, quires_loss(bridge, bridge.collate(rows)["batch"]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_bridged_says_why(name: str, tokenizer: Tokenizer) -> None:
    kind, objectives, says = REFUSED[name]
    with pytest.raises(BadInput, match=says):
        Bridge(theirs(kind), tokenizer, objectives, length=LENGTH)


@pytest.mark.parametrize("name", sorted(set(BRIDGED) - set(LABELS)))
def test_what_labels_cannot_say_is_refused(name: str, tokenizer: Tokenizer, texts: list[str]) -> None:
    with pytest.raises(BadInput, match="Bridge"):
        Collator(tokenizer, BRIDGED[name][1], length=LENGTH, corpus=texts)
