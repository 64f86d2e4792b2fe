"""Parity of encoder-decoders: BART and T5 against transformers, at odd sizes, packed against padded.

Distances of T5 reach far beyond the buckets that stand for one distance each, and beyond the furthest.
"""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nn.parity import close, drawn, mirrored, padded, same_gradients
from torch import nn

from quire.core.example import IGNORE, Batch, Example
from quire.core.random import rng
from quire.nn.losses import cross_entropy
from quire.nn.model import Packed, Step

transformers = pytest.importorskip("transformers")
VOCAB, LENGTH, PAD, END = 23, 19, 0, 1
SIZES = st.fixed_dictionaries(
    {
        "heads": st.sampled_from([1, 3, 5]),
        "head_width": st.sampled_from([1, 3, 8]),
        "depth": st.integers(1, 2),
        "decoder": st.integers(1, 3),
        "ffn": st.sampled_from([7, 33]),
        "act": st.sampled_from(["gelu", "gelu_new", "relu", "silu"]),
        "scale": st.booleans(),
        "width": st.sampled_from([5, 12]),
        "buckets": st.sampled_from([4, 5, 7, 8]),
        "furthest": st.sampled_from([5, 12]),
        "eps": st.sampled_from([1e-6, 1e-2]),
        "key": st.integers(0, 99),
    }
)
FEW = settings(max_examples=8)
FAMILIES = pytest.mark.parametrize("family", ["BART", "T5", "T5 v1.1"])


def built(family: str, task: str, sizes: dict[str, Any]) -> Any:
    """Their model with every parameter drawn."""
    if family == "BART":
        config = transformers.BartConfig(
            vocab_size=VOCAB,
            d_model=sizes["heads"] * sizes["head_width"],
            max_position_embeddings=LENGTH,
            encoder_layers=sizes["depth"],
            decoder_layers=sizes["decoder"],
            **{f"{side}_attention_heads": sizes["heads"] for side in ("encoder", "decoder")},
            **{f"{side}_ffn_dim": sizes["ffn"] for side in ("encoder", "decoder")},
            activation_function=sizes["act"],
            scale_embedding=sizes["scale"],
            pad_token_id=PAD,
            eos_token_id=END,
            decoder_start_token_id=END,
        )
        theirs = drawn(getattr(transformers, f"Bart{task}")(config), sizes["key"])
        if task == "ForConditionalGeneration":
            theirs.final_logits_bias.normal_(generator=torch.Generator().manual_seed(sizes["key"]))
        return theirs
    gated, act = family == "T5 v1.1", sizes["act"]
    config = transformers.T5Config(
        vocab_size=VOCAB,
        d_model=sizes["width"],
        d_kv=sizes["head_width"],
        d_ff=sizes["ffn"],
        num_layers=sizes["depth"],
        num_decoder_layers=sizes["decoder"],
        num_heads=sizes["heads"],
        relative_attention_num_buckets=sizes["buckets"],
        relative_attention_max_distance=sizes["furthest"],
        layer_norm_epsilon=sizes["eps"],
        feed_forward_proj="gated-gelu" if gated and "gelu" in act else f"gated-{act}" if gated else act,
        tie_word_embeddings=not gated,
        pad_token_id=PAD,
        eos_token_id=END,
        decoder_start_token_id=PAD,
    )
    theirs = getattr(transformers, f"T5{task}")(config)
    if gated and task == "ForConditionalGeneration" and sizes["scale"]:
        theirs.lm_head.weight = nn.Parameter(theirs.lm_head.weight.clone())  # as a folder with two matrices is read
    return drawn(theirs, sizes["key"])


def pairs(key: int, *, start: int) -> list[Example]:
    """Sources and what is written beside them, of all lengths from 1 to the maximum, in no order."""
    draw = rng("parity", key)
    sources, targets = (draw.permutation([*draw.integers(1, LENGTH + 1, size=3), LENGTH, 1]) for _ in range(2))
    made = []
    for length, written in zip(sources, targets, strict=True):
        tokens, free = draw.integers(2, VOCAB, size=length), np.ones(length, dtype=bool)
        target = Example.written("write", draw.integers(2, VOCAB, size=written), start=start)
        made.append(Example(tokens, tokens, free, free, np.zeros(length, dtype=np.int64)).recast(tokens, target))
    return made


def sources(asked: list[Example]) -> dict[str, torch.Tensor]:
    rows = [example.tokens for example in asked]
    return {
        "input_ids": padded(rows, PAD, length=LENGTH),
        "attention_mask": padded([np.ones_like(row) for row in rows], 0, length=LENGTH),
    }


def targets(asked: list[Example]) -> list[Example]:
    return [example.target for example in asked if example.target is not None]


@FAMILIES
@given(sizes=SIZES)
@FEW
def test_states_of_both_sides(family: str, sizes: dict[str, Any]) -> None:
    theirs, asked = built(family, "Model", sizes), pairs(sizes["key"], start=PAD)
    batch = Batch.pack(asked)
    assert batch.target is not None
    shown = padded([target.tokens for target in targets(asked)], PAD, length=LENGTH)
    answered = theirs(**sources(asked), decoder_input_ids=shown)
    step = Step(mirrored(theirs), Packed(batch))
    close(batch, step.encode(), answered.encoder_last_hidden_state)
    close(batch.target, step.target.encode(), answered.last_hidden_state)


@FAMILIES
@given(sizes=SIZES)
@FEW
def test_what_is_written_is_told_from_the_source(family: str, sizes: dict[str, Any]) -> None:
    """Theirs makes what the decoder sees out of the labels."""
    theirs = built(family, "ForConditionalGeneration", sizes)
    asked = pairs(sizes["key"], start=theirs.config.decoder_start_token_id)
    batch = Batch.pack(asked)
    assert batch.target is not None
    answered = theirs(**sources(asked), labels=padded([t.truth for t in targets(asked)], IGNORE, length=LENGTH))
    model = mirrored(theirs)
    step = Step(model, Packed(batch)).target
    close(batch.target, step.scores("write", torch.arange(len(batch.target.tokens))), answered.logits)
    loss = cross_entropy(step.logits("write"), step.answers("write"))
    same_gradients(model, theirs, (loss, answered.loss), theirs.config.to_dict())
