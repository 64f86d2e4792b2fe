"""ModernBERT (Warner et al. 2024): pre-norm, GeGLU, rotary positions, local layers between global ones, no biases."""

from collections.abc import Mapping
from typing import Any

from quire.core.spec import Backbone
from quire.train.families.base import Family, their_activation
from quire.train.families.bert import SIZES

_BIASES = ("norm_bias", "attention_bias", "mlp_bias", "classifier_bias")
_GLOBAL, _LOCAL = "full_attention", "sliding_attention"


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    biases = {name: config.get(name, False) for name in _BIASES}
    if len(set(biases.values())) > 1:
        raise ValueError(f"biases in some layers and not in others {biases} are not supported; choose another model")
    if config.get("classifier_activation", "gelu") != config.get("hidden_activation", "gelu"):
        raise ValueError("classifier_activation is not hidden_activation; Quire has one for both")
    bases = {}
    for name, old, default in ((_GLOBAL, "global_rope_theta", 160_000.0), (_LOCAL, "local_rope_theta", 10_000.0)):
        rope = (config.get("rope_parameters") or {}).get(name) or {}
        if rope.get("rope_type", "default") != "default":
            raise ValueError(f"rope_type {rope['rope_type']!r} is not supported, only 'default'; choose another model")
        bases[name] = rope.get("rope_theta", config.get(old, default))
    every = _global_every(config)
    found = {"bias": biases["norm_bias"], "rotary_base": bases[_GLOBAL]}
    if every == 1:
        return found
    window = int(config.get("local_attention", 128)) // 2  # so many on either side
    return found | {"global_every": every, "window": window, "rotary_base_local": bases[_LOCAL]}


def _global_every(config: Mapping[str, Any]) -> int | None:
    """From the list of today's files or the number of older ones; None where all layers are local."""
    types, depth = config.get("layer_types"), int(config["num_hidden_layers"])
    if types is None:
        return int(config.get("global_attn_every_n_layers", 3))
    full = [i for i, name in enumerate(types) if name == _GLOBAL]
    every = full[1] if len(full) > 1 else depth if full else None
    if len(types) != depth or types != [_GLOBAL if every and i % every == 0 else _LOCAL for i in range(len(types))]:
        raise ValueError("layer_types: only a global layer and then equally many local ones each time is supported")
    return every


def _write(backbone: Backbone) -> dict[str, Any]:
    local = backbone.rotary_base_local or backbone.rotary_base
    return {
        **dict.fromkeys(_BIASES, backbone.bias),
        "classifier_activation": their_activation(backbone),
        "mlp_dropout": backbone.dropout,
        "layer_types": [_LOCAL if backbone.sees_locally(i) else _GLOBAL for i in range(backbone.depth)],
        "local_attention": 2 * (backbone.window or 64),
        "rope_parameters": {
            _GLOBAL: {"rope_type": "default", "rope_theta": backbone.rotary_base},
            _LOCAL: {"rope_type": "default", "rope_theta": local},
        },
    }


MODERNBERT = Family(
    model_type="modernbert",
    prefix="model.",
    architectures=(("ModernBertForMaskedLM", ("mlm",)), ("ModernBertModel", ())),
    fields=SIZES
    | {
        "dropout": "embedding_dropout",
        "attention_dropout": "attention_dropout",
        "norm_eps": "norm_eps",
        "init_std": "initializer_range",
    },
    fixed={"segments": 0, "position": "rotary", "norm_first": True, "gated": True, "norm_eps": 1e-5},
    fine={"decoder_bias": (True,), "rope_scaling": (None,)},
    read=_read,
    write=_write,
    activation="hidden_activation",
    activations=("gelu", "gelu_tanh", "relu", "silu"),
    body={
        "embeddings.tokens.*": "embeddings.tok_embeddings.*",
        "embeddings.norm.*": "embeddings.norm.*",
        "blocks.#.attention.qkv.*": "layers.#.attn.Wqkv.*",
        "blocks.#.attention.out.*": "layers.#.attn.Wo.*",
        "blocks.#.attention_norm.*": "layers.#.attn_norm.*",
        "blocks.#.ffn.up.*": "layers.#.mlp.Wi.*",  # first what the activation is put on, then what it multiplies
        "blocks.#.ffn.down.*": "layers.#.mlp.Wo.*",
        "blocks.#.ffn_norm.*": "layers.#.mlp_norm.*",
        "norm.*": "final_norm.*",
    },
    heads={
        "mlm": {"dense.*": "head.dense.*", "norm.*": "head.norm.*", "weight": "decoder.weight", "bias": "decoder.bias"}
    },
    typed=False,
    tied={"decoder.weight": "embeddings.tok_embeddings.weight"},
)
