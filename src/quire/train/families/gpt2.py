"""GPT-2 (Radford et al. 2019): norms before, one after the last layer, matrices that are transposed.

A body of it has no visibility of its own. Its head over the vocabulary costs nothing, for it is tied and has no bias;
so every folder has it, as `lm`, and this says that the body reads left to right.
"""

from collections.abc import Mapping
from typing import Any

from quire.core.heads import TokenHead
from quire.core.spec import Backbone
from quire.train.families.base import Family

SCORES = tuple(TokenHead(transform=False, bias=False, tied=tied) for tied in (False, True))
IDS = {"pad_token_id": "pad", "bos_token_id": "cls", "eos_token_id": "sep"}
SIZES = {
    "vocab": "vocab_size",
    "depth": "n_layer",
    "width": "n_embd",
    "heads": "n_head",
    "positions": "n_positions",
    "dropout": "resid_pdrop",
    "attention_dropout": "attn_pdrop",
    "norm_eps": "layer_norm_epsilon",
    "init_std": "initializer_range",
}
LAYER = {
    "blocks.#.attention.qkv.*": "h.#.attn.c_attn.*:'",
    "blocks.#.attention.out.*": "h.#.attn.c_proj.*:'",
    "blocks.#.attention_norm.*": "h.#.ln_1.*",
    "blocks.#.ffn.up.*": "h.#.mlp.c_fc.*:'",
    "blocks.#.ffn.down.*": "h.#.mlp.c_proj.*:'",
    "blocks.#.ffn_norm.*": "h.#.ln_2.*",
}


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"ffn": config.get("n_inner") or 4 * config["n_embd"]}


def _write(backbone: Backbone) -> dict[str, Any]:
    return {"n_inner": backbone.ffn, "embd_pdrop": backbone.dropout}


GPT2 = Family(
    model_type="gpt2",
    prefix="transformer.",
    architectures=(("GPT2LMHeadModel", ("lm",)), ("GPT2Model", ())),
    fields=SIZES,
    fixed={"segments": 0, "norm_first": True, "embedding_norm": False, "norm_eps": 1e-5, "init": "gpt2"},
    fine={
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "reorder_and_upcast_attn": (False,),
    },
    read=_read,
    write=_write,
    activation="activation_function",
    default_activation="gelu_new",
    activations=("gelu_tanh", "gelu", "relu", "silu"),
    body={"embeddings.tokens.*": "wte.*", "embeddings.positions.*": "wpe.*", **LAYER, "norm.*": "ln_f.*"},
    scores=SCORES,
    heads={"lm": {"weight": "lm_head.weight"}},
    causal=True,
    typed=False,
    tied={"lm_head.weight": "wte.weight"},
    unowned=("h.#.attn.bias", "h.#.attn.masked_bias"),
    ids=IDS,
)
