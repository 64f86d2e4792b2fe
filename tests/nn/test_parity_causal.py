"""Parity of what reads left to right: GPT and GPT-2 against transformers, at odd sizes, packed against padded."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nn.parity import close, drawn, mirrored, padded, same_gradients

from quire.core.example import IGNORE, Batch, Example
from quire.core.random import rng
from quire.nn.losses import cross_entropy
from quire.nn.model import Packed, Step

transformers = pytest.importorskip("transformers")
VOCAB, POSITIONS, PAD = 23, 11, 1
SIZES = st.fixed_dictionaries(
    {
        "n_head": st.sampled_from([1, 3, 5]),
        "head_width": st.sampled_from([1, 3, 8]),
        "n_layer": st.integers(1, 3),
        "n_inner": st.sampled_from([None, 7, 33]),
        "act": st.sampled_from(["gelu", "gelu_new", "relu", "silu"]),
        "layer_norm_epsilon": st.sampled_from([1e-5, 1e-2]),
        "key": st.integers(0, 99),
    }
)
FEW = settings(max_examples=8)
FAMILIES = pytest.mark.parametrize("family", ["GPT2", "OpenAIGPT"])


def built(family: str, task: str, sizes: dict[str, Any]) -> Any:
    """Their model with every parameter drawn."""
    sizes = dict(sizes)
    key, act, width = sizes.pop("key"), sizes.pop("act"), sizes["n_head"] * sizes.pop("head_width")
    if family == "GPT2":
        sizes["activation_function"] = act
    else:
        sizes.pop("n_inner")  # always four times the width
        sizes["afn"] = act.removesuffix("_new")  # their gelu is the tanh's
    config = getattr(transformers, f"{family}Config")(
        vocab_size=VOCAB, n_positions=POSITIONS, n_embd=width, pad_token_id=PAD, **sizes
    )
    return drawn(getattr(transformers, family + task)(config), key)


def examples(key: int) -> list[Example]:
    """Lengths are mixed, with 1 and the maximum; some tokens are asked for, each from those before it."""
    draw, made = rng("parity", key), []
    for length in draw.permutation([*draw.integers(1, POSITIONS + 1, size=3), POSITIONS, 1]):
        tokens, free = draw.integers(2, VOCAB, size=length), np.ones(length, dtype=bool)
        example = Example(tokens, tokens, free, free, np.zeros(length, dtype=np.int64))
        made.append(example.foretell("lm", draw.random(length) < 0.7))
    return made


@FAMILIES
@given(sizes=SIZES)
@FEW
def test_states(family: str, sizes: dict[str, Any]) -> None:
    theirs, asked = built(family, "Model", sizes), examples(sizes["key"])
    batch = Batch.pack(asked)
    rows = [example.tokens for example in asked]
    answered = theirs(
        input_ids=padded(rows, PAD, length=POSITIONS),
        attention_mask=padded([np.ones_like(row) for row in rows], 0, length=POSITIONS),
    )
    close(batch, Step(mirrored(theirs), Packed(batch)).encode(), answered.last_hidden_state)


@FAMILIES
@given(sizes=SIZES)
@FEW
def test_every_token_is_told_from_those_before(family: str, sizes: dict[str, Any]) -> None:
    theirs, asked = built(family, "LMHeadModel", sizes), examples(sizes["key"])
    batch = Batch.pack(asked)
    rows = [example.tokens for example in asked]
    wanted = [np.where(np.append(True, e.answers["lm"][:-1] != IGNORE), e.truth, IGNORE) for e in asked]
    answered = theirs(
        input_ids=padded(rows, PAD, length=POSITIONS),
        attention_mask=padded([np.ones_like(row) for row in rows], 0, length=POSITIONS),
        labels=padded(wanted, IGNORE, length=POSITIONS),  # theirs are moved by one inside
    )
    model = mirrored(theirs)
    step = Step(model, Packed(batch))
    close(batch, step.scores("lm", torch.arange(len(batch.tokens))), answered.logits)
    loss = cross_entropy(step.logits("lm"), step.answers("lm"))
    same_gradients(model, theirs, (loss, answered.loss), theirs.config.to_dict())
