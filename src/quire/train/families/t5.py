"""T5 and T5 v1.1 (Raffel et al. 2020; Shazeer 2020): bucketed distances, scores without a scale, no biases.

v1.1 has gates, and its scores over the vocabulary come from a matrix of their own, from states that are not scaled.
transformers 5 ties that matrix in a fresh model all the same, and keeps it apart where a folder holds two.
"""

from collections.abc import Mapping
from typing import Any

from quire.core.heads import TokenHead
from quire.core.spec import Backbone
from quire.train.families.base import Family

_LENGTH = "n_positions"  # ours, and in older files of theirs: it has no limit
_SHARED = "shared.weight"
_ACTIVATIONS = {"relu": "relu", "gelu_new": "gelu_tanh", "gelu_python": "gelu", "gelu": "gelu", "silu": "silu"}
_GATED_GELU = "gated-gelu"  # means tanh's


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    projection = config.get("feed_forward_proj", "relu")
    gate, _, act = projection.rpartition("-")
    act = "gelu_new" if projection == _GATED_GELU else act
    said = config.get("is_gated_act", gate == "gated"), config.get("dense_act_fn", act)
    if gate not in ("", "gated") or act not in _ACTIVATIONS or said != (gate == "gated", act):
        raise ValueError(f"feed_forward_proj {projection!r} with {said} is not supported; known: relu, {_GATED_GELU}")
    rate = config.get("dropout_rate", 0.1)
    return {
        "decoder": config.get("num_decoder_layers") or config["num_layers"],
        "activation": _ACTIVATIONS[act],
        "gated": gate == "gated",
        "positions": config.get(_LENGTH, 512),
        "dropout": rate,
        "attention_dropout": rate,
    }


def _write(backbone: Backbone) -> dict[str, Any]:
    act = next(theirs for theirs, ours in _ACTIVATIONS.items() if ours == backbone.activation)
    gated = _GATED_GELU if act == "gelu_new" else f"gated-{act}"
    return {
        "num_decoder_layers": backbone.decoder,
        "feed_forward_proj": gated if backbone.gated else act,
        "d_kv": backbone.head,
        _LENGTH: backbone.positions,
        "dropout_rate": backbone.dropout,
        "is_encoder_decoder": True,
    }


def _stack(side: str, ours: str, *, ffn: int) -> dict[str, str]:
    """The names of a side, whose feed-forward part is the layer `ffn` of a block."""
    attention, forward = f"{side}.block.#.layer.0.SelfAttention.", f"{side}.block.#.layer.{ffn}."
    return {
        f"{ours}distances.table.*": f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.*",
        f"{ours}blocks.#.attention.qkv.*": f"{attention}q.* {attention}k.* {attention}v.*",
        f"{ours}blocks.#.attention.out.*": f"{attention}o.*",
        f"{ours}blocks.#.attention_norm.*": f"{side}.block.#.layer.0.layer_norm.*",
        f"{ours}blocks.#.ffn.up.*": f"{forward}DenseReluDense.wi.*",
        f"{ours}blocks.#.ffn.down.*": f"{forward}DenseReluDense.wo.*",
        f"{ours}blocks.#.ffn_norm.*": f"{forward}layer_norm.*",
        f"{ours}norm.*": f"{side}.final_layer_norm.*",
    }


def _gated(side: str, ours: str, *, ffn: int) -> dict[str, str]:
    dense = f"{side}.block.#.layer.{ffn}.DenseReluDense."
    return {f"{ours}blocks.#.ffn.up.*": f"{dense}wi_0.* {dense}wi_1.*"}  # gate, then up


_CROSS = "decoder.block.#.layer.1.EncDecAttention."

T5 = Family(
    model_type="t5",
    prefix="",
    architectures=(("T5ForConditionalGeneration", ("write",)), ("T5Model", ())),
    fields={
        "vocab": "vocab_size",
        "depth": "num_layers",
        "width": "d_model",
        "heads": "num_heads",
        "head_width": "d_kv",
        "ffn": "d_ff",
        "buckets": "relative_attention_num_buckets",
        "furthest": "relative_attention_max_distance",
        "norm_eps": "layer_norm_epsilon",
    },
    fixed={
        "segments": 0,
        "head_width": 64,
        "norm": "rms",
        "norm_first": True,
        "norm_eps": 1e-6,
        "embedding_norm": False,
        "bias": False,
        "position": "bucketed",
        "score": "dot",
        "init": "t5",
    },
    fine={"is_encoder_decoder": (True,)},
    read=_read,
    write=_write,
    activation="",
    body={
        "embeddings.tokens.*": "shared.*",
        **_stack("encoder", "", ffn=1),
        **_stack("decoder", "decoder.", ffn=2),
        "decoder.blocks.#.cross.query.*": f"{_CROSS}q.*",
        "decoder.blocks.#.cross.kv.*": f"{_CROSS}k.* {_CROSS}v.*",
        "decoder.blocks.#.cross.out.*": f"{_CROSS}o.*",
        "decoder.blocks.#.cross_norm.*": "decoder.block.#.layer.1.layer_norm.*",
    },
    gated={**_gated("encoder", "", ffn=1), **_gated("decoder", "decoder.", ffn=2)},
    scores=tuple(
        TokenHead(of="decoder", transform=False, bias=False, tied=tied, scaled=scaled)
        for tied in (False, True)
        for scaled in (True, False)
    ),
    start="pad",
    scaled=("scale_decoder_outputs", "tie_word_embeddings"),
    heads={"write": {"weight": "lm_head.weight"}},
    typed=False,
    tied={"encoder.embed_tokens.weight": _SHARED, "decoder.embed_tokens.weight": _SHARED, "lm_head.weight": _SHARED},
    unowned=("decoder.block.#.layer.#.EncDecAttention.relative_attention_bias.weight",),
    ids={"pad_token_id": "pad", "eos_token_id": "sep"},
)
