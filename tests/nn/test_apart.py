"""Blocks that stand apart are to every body what sequences of their own are."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from quire.core.config import parse
from quire.core.example import Batch, Example, Ints
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.core.visibility import Apart
from quire.nn.model import Model, Packed

SIZES = (5, 1, 8)
TRANSFORMER: dict[str, Any] = {"depth": 2, "width": 24, "heads": 3, "ffn": 20}
KINDS: dict[str, dict[str, Any]] = {
    "transformer": TRANSFORMER,
    "relative": {**TRANSFORMER, "position": "relative", "segments": 0},
    "lstm": {"kind": "lstm", "depth": 2, "width": 24, "embedding": 12, "directions": "joined"},
    "star": {"kind": "star", "depth": 2, "width": 24, "heads": 3},
}


def of(tokens: Ints, sizes: tuple[int, ...] = ()) -> Example:
    example = Example(tokens, tokens, tokens > 0, tokens > 0, np.zeros_like(tokens))
    if not sizes:
        return example
    return replace(example, sees=Apart(sizes), positions=np.concatenate([np.arange(n) for n in sizes]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_of_blocks_is_its_blocks_one_by_one(kind: str) -> None:
    model = Model(parse(Backbone, {"vocab": 60, "positions": 64, **KINDS[kind]}, where=kind), {}, seed=3).eval()
    tokens, company = rng("apart").integers(5, 60, size=sum(SIZES)), of(np.arange(7, 16))
    batch = Batch.pack([company, of(tokens, SIZES)])
    with torch.inference_mode():
        whole = model(Packed(batch))[len(company) :]
        parts = [model(Packed(Batch.pack([of(part)]))) for part in np.split(tokens, np.cumsum(SIZES)[:-1])]
    torch.testing.assert_close(whole, torch.cat(parts), atol=1e-5, rtol=1e-4)
