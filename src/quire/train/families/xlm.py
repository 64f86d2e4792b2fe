"""XLM (Lample and Conneau 2019): languages are added to the embeddings, and the states themselves meet the decoder."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from quire.core.heads import TokenHead
from quire.core.spec import Backbone
from quire.nn.positions import sinusoids
from quire.train.families.base import Family

_QKV = ("attentions.#.q_lin.*", "attentions.#.k_lin.*", "attentions.#.v_lin.*")


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    languages = config.get("n_langs", 1)
    return {
        "vocab": config.get("vocab_size", config.get("n_words")),
        "ffn": 4 * config["emb_dim"],
        "languages": languages if languages != 1 and config.get("use_lang_emb", True) else 0,
        "position": "sinusoidal" if config.get("sinusoidal_embeddings", False) else "learned",
        "activation": "gelu" if config.get("gelu_activation", True) else "relu",
    }


def _write(backbone: Backbone) -> dict[str, Any]:
    return {
        "vocab_size": backbone.vocab,
        "n_langs": backbone.languages or 1,
        "use_lang_emb": backbone.languages > 0,
        "sinusoidal_embeddings": backbone.position == "sinusoidal",
        "gelu_activation": backbone.activation == "gelu",
    }


def _positions(backbone: Backbone) -> Tensor | None:
    learned = backbone.position != "sinusoidal"
    return None if learned else sinusoids(torch.arange(backbone.positions), width=backbone.width)


XLM = Family(
    model_type="xlm",
    prefix="transformer.",
    architectures=(("XLMWithLMHeadModel", ("mlm",)), ("XLMModel", ())),
    fields={
        "depth": "n_layers",
        "width": "emb_dim",
        "heads": "n_heads",
        "positions": "max_position_embeddings",
        "dropout": "dropout",
        "attention_dropout": "attention_dropout",
        "norm_eps": "layer_norm_eps",
        "init_std": "init_std",
    },
    fixed={"segments": 0},
    fine={"causal": (False,), "asm": (False,), "is_encoder": (True,)},
    read=_read,
    write=_write,
    computed={"position_embeddings.weight": _positions},
    activation="",
    body={
        "embeddings.tokens.*": "embeddings.*",
        "embeddings.positions.*": "position_embeddings.*",
        "embeddings.languages.*": "lang_embeddings.*",
        "embeddings.norm.*": "layer_norm_emb.*",
        "blocks.#.attention.qkv.*": " ".join(_QKV),
        "blocks.#.attention.out.*": "attentions.#.out_lin.*",
        "blocks.#.attention_norm.*": "layer_norm1.#.*",
        "blocks.#.ffn.up.*": "ffns.#.lin1.*",
        "blocks.#.ffn.down.*": "ffns.#.lin2.*",
        "blocks.#.ffn_norm.*": "layer_norm2.#.*",
    },
    scores=(TokenHead(transform=False, tied=False), TokenHead(transform=False)),
    heads={"mlm": {"weight": "pred_layer.proj.weight", "bias": "pred_layer.proj.bias"}},
    typed=False,
    tied={"pred_layer.proj.weight": "embeddings.weight"},
    unowned=("position_ids",),
)
