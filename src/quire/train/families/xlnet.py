"""XLNet (Yang et al. 2019): matrices with an axis of heads, and biases of content, position and segment."""

from collections.abc import Mapping
from typing import Any

from quire.core.heads import TokenHead
from quire.core.spec import Backbone
from quire.train.families.base import Family

_LAYER = "layer.#."
_REL = "layer.#.rel_attn."
_LENGTH = "n_positions"  # ours: theirs has no limit, and would take no max_position_embeddings


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    rate = config.get("dropout", 0.1)
    return {"positions": config.get(_LENGTH, 512), "dropout": rate, "attention_dropout": rate}


def _write(backbone: Backbone) -> dict[str, Any]:
    return {_LENGTH: backbone.positions, "dropout": backbone.dropout}


XLNET = Family(
    model_type="xlnet",
    prefix="transformer.",
    architectures=(
        ("XLNetLMHeadModel", ("mlm", "query")),
        ("XLNetLMHeadModel", ("mlm",)),
        ("XLNetModel", ("query",)),
        ("XLNetModel", ()),
    ),
    fields={
        "vocab": "vocab_size",
        "depth": "n_layer",
        "width": "d_model",
        "heads": "n_head",
        "ffn": "d_inner",
        "norm_eps": "layer_norm_eps",
        "init_std": "initializer_range",
    },
    fixed={"position": "relative", "embedding_norm": False},
    fine={"attn_type": ("bi",), "bi_data": (False,), "clamp_len": (-1,), "same_length": (False,), "untie_r": (True,)},
    read=_read,
    write=_write,
    activation="ff_activation",
    body={
        "embeddings.tokens.*": "word_embedding.*",
        "blocks.#.attention.qkv.weight": f"{_REL}q:WHD' {_REL}k:WHD' {_REL}v:WHD'",
        "blocks.#.attention.distance.weight": _REL + "r:WHD'",
        "blocks.#.attention.out.weight": _REL + "o:WHD",
        "blocks.#.attention.u": _REL + "r_w_bias:HD",
        "blocks.#.attention.v": _REL + "r_r_bias:HD",
        "blocks.#.attention.s": _REL + "r_s_bias:HD",
        "blocks.#.attention.segments": _REL + "seg_embed:2HD",
        "blocks.#.attention_norm.*": _REL + "layer_norm.*",
        "blocks.#.ffn.up.*": _LAYER + "ff.layer_1.*",
        "blocks.#.ffn.down.*": _LAYER + "ff.layer_2.*",
        "blocks.#.ffn_norm.*": _LAYER + "ff.layer_norm.*",
    },
    lent={"vector": "mask_emb:11W"},
    scores=(TokenHead(transform=False, tied=False), TokenHead(transform=False)),
    heads={"mlm": {"weight": "lm_loss.weight", "bias": "lm_loss.bias"}, "query": {}},
    tied={"lm_loss.weight": "word_embedding.weight"},
)
