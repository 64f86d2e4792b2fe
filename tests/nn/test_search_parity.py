"""transformers' `generate` is the oracle: the same weights write the same tokens, greedily and with a beam.

Theirs gets one source at a time, ours all together. Limits are long enough for some texts to end and some to be cut.
"""

from typing import Any

import numpy as np
import pytest
import torch
from tests.nn.parity import drawn, mirrored

from quire.core.example import Example, Ints
from quire.core.random import rng
from quire.core.search import Search
from quire.core.visibility import Causal
from quire.nn.model import Model
from quire.nn.search import write

transformers = pytest.importorskip("transformers")
VOCAB, PAD, END, LIMIT = 23, 0, 1, 14
SEARCHES = {
    "greedy": Search(limit=LIMIT),
    "greedy, least": Search(limit=LIMIT, least=6),
    **{
        f"beam {beam}, penalty {penalty:g}": Search(limit=LIMIT, beam=beam, length_penalty=penalty)
        for beam in (2, 3, 4)
        for penalty in (0.0, 1.0, 2.0)
    },
    "beam 3, least": Search(limit=LIMIT, beam=3, length_penalty=1.0, least=5),
}


def gpt2() -> Any:
    config = transformers.GPT2Config(
        vocab_size=VOCAB, n_embd=15, n_head=3, n_layer=2, n_inner=13, n_positions=40, eos_token_id=END
    )
    return transformers.GPT2LMHeadModel(config)


def bart() -> Any:
    sizes = {f"{side}_{what}": 3 for side in ("encoder", "decoder") for what in ("layers", "attention_heads")}
    widths = {f"{side}_ffn_dim": 13 for side in ("encoder", "decoder")}
    ids = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": END, "forced_eos_token_id": None}
    config = transformers.BartConfig(
        vocab_size=VOCAB, d_model=15, max_position_embeddings=40, scale_embedding=True, **sizes, **widths, **ids
    )
    return transformers.BartForConditionalGeneration(config)


def t5() -> Any:
    config = transformers.T5Config(
        vocab_size=VOCAB, d_model=12, d_kv=5, d_ff=13, num_layers=2, num_decoder_layers=2, num_heads=3,
        relative_attention_num_buckets=8, relative_attention_max_distance=12,
        pad_token_id=PAD, eos_token_id=END, decoder_start_token_id=PAD,
    )  # fmt: skip
    return transformers.T5ForConditionalGeneration(config)


FAMILIES = {"GPT-2": (gpt2, None, 37), "BART": (bart, END, 22), "T5": (t5, PAD, 12)}
"""A model of theirs, what its decoder begins with, and a seed whose weights end texts at different times."""


@pytest.fixture(scope="module", params=FAMILIES)
def both(request: pytest.FixtureRequest) -> tuple[Any, Model, list[Example]]:
    build, start, key = FAMILIES[request.param]
    theirs = drawn(build(), key)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if parameter.ndim == 1 and name.endswith("weight"):
                parameter += 1  # gains about 0 would leave little to tell
    return theirs, mirrored(theirs), [source(n, start, key) for key, n in enumerate((5, 1, 9, 5, 3, 7, 2, 6))]


def source(length: int, start: int | None, key: int) -> Example:
    ids = rng("generate", key).integers(2, VOCAB, size=length)
    read = Example(ids, ids, ids > 0, ids > 0, np.zeros_like(ids), sees=Causal())
    nothing = np.array([END])
    return read if start is None else read.recast(ids, Example.written("lm", nothing, start=start))


def generated(theirs: Any, ids: Ints, search: Search) -> list[int]:
    """What they write behind the prompt or for the source, without the start and the end."""
    shown = torch.from_numpy(ids)[None]
    settings = {
        "num_beams": search.beam,
        "length_penalty": search.length_penalty,
        "min_new_tokens": search.least or None,
        "max_new_tokens": search.limit,
    }
    with torch.no_grad():
        found = theirs.generate(
            shown,
            attention_mask=torch.ones_like(shown),
            do_sample=False,
            early_stopping=False,
            pad_token_id=PAD,
            eos_token_id=END,
            **settings,
        )[0].tolist()
    behind: list[int] = found[1 if theirs.config.is_encoder_decoder else len(ids) :]
    return behind[: behind.index(END)] if END in behind else behind


@pytest.mark.parametrize("way", SEARCHES)
def test_the_same_tokens(both: tuple[Any, Model, list[Example]], way: str) -> None:
    theirs, ours, sources = both
    found = write(ours, sources, head=next(iter(ours.head_specs)), search=SEARCHES[way], end=END)
    expected = [generated(theirs, one.tokens, SEARCHES[way]) for one in sources]
    assert [one.tokens.tolist() for one in found] == expected


@pytest.mark.parametrize("way", ["greedy", "beam 3, penalty 1", "beam 4, penalty 2"])
def test_some_texts_end_and_some_are_cut(both: tuple[Any, Model, list[Example]], way: str) -> None:
    """What is compared above is worth it."""
    _, ours, sources = both
    found = write(ours, sources, head=next(iter(ours.head_specs)), search=SEARCHES[way], end=END)
    assert len({len(one.tokens) for one in found}) > 1
