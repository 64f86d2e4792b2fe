"""GPT (Radford et al. 2018): norms after each sum, none on the embeddings; read left to right, as GPT-2."""

from collections.abc import Mapping
from typing import Any

from quire.core.spec import Backbone
from quire.train.families.base import Family
from quire.train.families.gpt2 import IDS, LAYER, SCORES, SIZES

_ACTIVATIONS = {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}  # their gelu is tanh's


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    act = config.get("afn", "gelu")
    if act not in _ACTIVATIONS:
        raise ValueError(f"afn {act!r} is not supported; known: {', '.join(_ACTIVATIONS)}")
    return {"ffn": 4 * config["n_embd"], "activation": _ACTIVATIONS[act]}


def _write(backbone: Backbone) -> dict[str, Any]:
    names = {ours: theirs for theirs, ours in reversed(_ACTIVATIONS.items())}
    return {"afn": names.get(backbone.activation, backbone.activation), "embd_pdrop": backbone.dropout}


GPT = Family(
    model_type="openai-gpt",
    prefix="transformer.",
    architectures=(("OpenAIGPTLMHeadModel", ("lm",)), ("OpenAIGPTModel", ())),
    fields=SIZES,
    fixed={"segments": 0, "embedding_norm": False, "norm_eps": 1e-5},
    read=_read,
    write=_write,
    activation="",
    body={"embeddings.tokens.*": "tokens_embed.*", "embeddings.positions.*": "positions_embed.*", **LAYER},
    scores=SCORES,
    heads={"lm": {"weight": "lm_head.weight"}},
    causal=True,
    typed=False,
    tied={"lm_head.weight": "tokens_embed.weight"},
    unowned=("position_ids", "h.#.attn.bias"),
    ids=IDS,
)
