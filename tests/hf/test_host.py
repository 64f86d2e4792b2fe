"""Families of transformers as hosts: which states heads read, who sees whom, where tokens stand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.hf.theirs import LENGTH, same_loss, theirs

from quire.core.errors import BadInput
from quire.core.example import Example
from quire.core.visibility import Backward, Causal, Full, Prefix, Visibility
from quire.hf import Bridge, Collator
from quire.text.tokenizers import Tokenizer

pytest.importorskip("transformers")
SPANS: list[Any] = [{"mlm": {"select": {"spans": {"rate": 0.3}}}}, {"boundary": {"weight": 0.5}}]
ENCODERS = ("albert", "bert", "distilbert", "modernbert", "mpnet", "roberta", "xlm", "xlnet")
UNILM: tuple[Visibility, ...] = (Full(), Prefix(4), Causal(), Backward())


@pytest.mark.parametrize("kind", ENCODERS)
def test_heads_of_ours_read_their_last_states(kind: str, tokenizer: Tokenizer, rows: list[Any]) -> None:
    same_loss(Bridge(theirs(kind), tokenizer, SPANS, length=LENGTH), rows)


@pytest.mark.parametrize(("kind", "objective"), [("gpt", {"lm": {}}), ("t5", {"denoise": {"start": "pad"}})])
def test_the_other_families_say_what_ours_say(kind: str, objective: Any, tokenizer: Tokenizer, rows: list[Any]) -> None:
    if kind == "t5":
        objective["denoise"] |= {"scaled": True}
    same_loss(Bridge(theirs(kind), tokenizer, [objective], length=LENGTH), rows)


@pytest.mark.parametrize("kind", ["bert-both", "deberta", "roberta-odd"])
def test_any_model_with_a_head_over_the_vocabulary_will_do(kind: str, tokenizer: Tokenizer, rows: list[Any]) -> None:
    """DeBERTa is no family of Quire's, nor is a RoBERTa that pads with 0: theirs alone can tell what is right."""
    model = theirs(kind)
    given = Collator(tokenizer, SPANS[:1], length=LENGTH)(rows)
    answers = given.pop("labels").flatten()
    told = model(**given)
    scores = told.logits if "logits" in told else told.prediction_logits
    bridge = Bridge(model, tokenizer, SPANS[:1], length=LENGTH).eval()
    loss = bridge(bridge.collate(rows)["batch"])["loss"]
    torch.testing.assert_close(loss, F.cross_entropy(scores.flatten(0, 1), answers), atol=1e-5, rtol=1e-5)
    both = Bridge(model, tokenizer, SPANS, length=LENGTH).eval()
    assert both(both.collate(rows)["batch"])["loss"] > loss


def test_a_bare_body_gets_a_head_of_ours(tokenizer: Tokenizer, rows: list[Any]) -> None:
    bridge = Bridge(theirs("bert-bare"), tokenizer, SPANS, length=LENGTH)
    assert bridge.host.heads.keys() == {"mlm", "boundary"}
    same_loss(bridge, rows)


def laid(tokenizer: Tokenizer, rows: list[Any]) -> list[Example]:
    return [Example.of(tokenizer.vocab, *tokenizer.encode([row, row[:5]])) for row in rows]


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_unilms_masks_are_followed(kind: str, tokenizer: Tokenizer, rows: list[Any]) -> None:
    """Four ways to see in one batch, of a body that sees all by itself and of one that sees the past."""
    mixed = [replace(e, sees=UNILM[i % 4]) for i, e in enumerate(laid(tokenizer, rows[1:6]))]
    bridge = Bridge(theirs(kind), tokenizer, ["mlm"], length=LENGTH)
    causal = [replace(e, sees=Causal()) for e in mixed]
    assert not torch.isclose(same_loss(bridge, mixed), same_loss(bridge, causal), rtol=1e-3)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("kind", ["xlnet", "mobilebert", "modernbert", "deberta"])
def test_masks_are_refused_where_they_would_not_be_all(kind: str, tokenizer: Tokenizer, rows: list[Any]) -> None:
    """MobileBERT adds up neighbouring tokens before any mask, ModernBERT has windows."""
    bridge = Bridge(theirs(kind), tokenizer, ["mlm"], length=LENGTH)
    mixed = [replace(e, sees=Prefix(2)) for e in laid(tokenizer, rows[1:4])]
    with pytest.raises(BadInput, match="takes no other mask"):
        bridge(bridge.collate(mixed)["batch"])


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm"])
def test_positions_and_languages_of_translations(kind: str, tokenizer: Tokenizer, rows: list[Any]) -> None:
    """XLM's TLM: the translation counts from 0 again."""
    pairs = []
    for example in laid(tokenizer, rows[1:6]):
        places = np.concatenate([np.arange((example.segments == i).sum()) for i in (0, 1)])
        pairs.append(replace(example, positions=places, languages=example.segments, segments=0 * example.segments))
    bridge = Bridge(theirs(kind), tokenizer, ["mlm"], length=LENGTH)
    same_loss(bridge, pairs)


def test_positions_are_refused_where_nobody_knows_them(tokenizer: Tokenizer, rows: list[Any]) -> None:
    bridge = Bridge(theirs("xlnet"), tokenizer, ["mlm"], length=LENGTH)
    moved = [replace(e, positions=np.arange(len(e)) + 1) for e in laid(tokenizer, rows[1:3])]
    with pytest.raises(BadInput, match="positions"):
        bridge(bridge.collate(moved)["batch"])


def test_mass_writes_a_fragment_in_its_place(tokenizer: Tokenizer, rows: list[Any]) -> None:
    """What a decoder writes stands in the middle, and it does not look at the masks of the source."""
    mass = {"denoise": {"select": {"fragment": {"rate": 0.5}}, "rewrite": "mask", "write": "fragment"}}
    bridge = Bridge(theirs("bart"), tokenizer, [mass], length=LENGTH)
    with torch.no_grad():
        for name, parameter in bridge.model.named_parameters():
            parameter *= 5 if "encoder_attn." in name or "norm.weight" in name else 1
    batch = bridge.collate(rows[2:])["batch"]
    assert batch.target is not None
    assert batch.target.positions.max() > batch.target.lengths.max()
    assert not torch.isclose(
        bridge.eval()(batch)["loss"], bridge(replace(batch, hidden=None))["loss"], rtol=0, atol=3e-4
    )
    same_loss(bridge, rows[2:])


def test_half_precision_is_that_of_the_model(tokenizer: Tokenizer, rows: list[Any]) -> None:
    bridge = Bridge(theirs("bert").to(torch.bfloat16), tokenizer, SPANS, length=LENGTH)
    mixed = [replace(e, sees=Prefix(2)) for e in laid(tokenizer, rows[1:4])]
    assert torch.isfinite(bridge(bridge.collate(mixed)["batch"])["loss"])


def test_what_a_decoder_begins_with_is_the_models_own(tokenizer: Tokenizer) -> None:
    with pytest.raises(BadInput, match="decoder_start_token_id is 0; set another start"):
        Bridge(theirs("t5"), tokenizer, ["denoise"], length=LENGTH)


def test_what_does_not_fit_is_told(tokenizer: Tokenizer, rows: list[Any]) -> None:
    with pytest.raises(BadInput, match="length 49: BertForMaskedLM has 48 positions"):
        Bridge(theirs("bert"), tokenizer, ["mlm"], length=49)
    bridge = Bridge(theirs("bert"), tokenizer, ["mlm"], length=LENGTH)
    third = [replace(e, segments=e.segments + 2) for e in laid(tokenizer, rows[1:3])]
    with pytest.raises(BadInput, match="segment 3: BertForMaskedLM has 3"):
        bridge(bridge.collate(third)["batch"])
    with pytest.raises(BadInput, match="resize_token_embeddings"):
        Bridge(theirs("bert"), Tokenizer.train(rows * 9, kind="bpe", size=310), ["mlm"], length=LENGTH)
