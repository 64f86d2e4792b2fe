"""BART (Lewis et al. 2020): encoder and decoder over one table of tokens, each with positions of its own."""

from collections.abc import Mapping
from typing import Any

from quire.core.heads import TokenHead
from quire.core.spec import Backbone
from quire.train.families.base import Family

_SIDES = {"heads": "attention_heads", "ffn": "ffn_dim"}
_SHARED = "shared.weight"


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    for name in _SIDES.values():
        encoder, decoder = config[f"encoder_{name}"], config.get(f"decoder_{name}", config[f"encoder_{name}"])
        if encoder != decoder:
            raise ValueError(f"encoder_{name} {encoder} and decoder_{name} {decoder}: Quire has one for both sides")
    return {}


def _write(backbone: Backbone) -> dict[str, Any]:
    sides = {f"decoder_{name}": getattr(backbone, ours) for ours, name in _SIDES.items()}
    return {**sides, "is_encoder_decoder": True, "forced_eos_token_id": None}  # theirs would end with id 2


def _stack(side: str, ours: str) -> dict[str, str]:
    layer = f"{side}.layers.#."
    attention = f"{layer}self_attn."
    return {
        f"{ours}embeddings.positions.*": f"{side}.embed_positions.*",
        f"{ours}embeddings.norm.*": f"{side}.layernorm_embedding.*",
        f"{ours}blocks.#.attention.qkv.*": f"{attention}q_proj.* {attention}k_proj.* {attention}v_proj.*",
        f"{ours}blocks.#.attention.out.*": f"{attention}out_proj.*",
        f"{ours}blocks.#.attention_norm.*": f"{layer}self_attn_layer_norm.*",
        f"{ours}blocks.#.ffn.up.*": f"{layer}fc1.*",
        f"{ours}blocks.#.ffn.down.*": f"{layer}fc2.*",
        f"{ours}blocks.#.ffn_norm.*": f"{layer}final_layer_norm.*",
    }


_CROSS = "decoder.layers.#.encoder_attn."

BART = Family(
    model_type="bart",
    prefix="model.",
    architectures=(("BartForConditionalGeneration", ("write",)), ("BartModel", ())),
    fields={
        "vocab": "vocab_size",
        "depth": "encoder_layers",
        "decoder": "decoder_layers",
        "width": "d_model",
        "heads": "encoder_attention_heads",
        "ffn": "encoder_ffn_dim",
        "positions": "max_position_embeddings",
        "scale_embedding": "scale_embedding",
        "dropout": "dropout",
        "attention_dropout": "attention_dropout",
        "init_std": "init_std",
    },
    fixed={"segments": 0, "norm_eps": 1e-5},
    fine={
        "is_encoder_decoder": (True,),
        "tie_word_embeddings": (True,),
        "normalize_before": (False,),  # these stand in older files
        "normalize_embedding": (True,),
        "add_final_layer_norm": (False,),
        "static_position_embeddings": (False,),
        "extra_pos_embeddings": (2,),
    },
    read=_read,
    write=_write,
    activation="activation_function",
    activations=("gelu", "gelu_tanh", "relu", "silu"),
    offset=2,
    body={
        "embeddings.tokens.*": "shared.*",
        **_stack("encoder", ""),
        **_stack("decoder", "decoder."),
        "decoder.blocks.#.cross.query.*": f"{_CROSS}q_proj.*",
        "decoder.blocks.#.cross.kv.*": f"{_CROSS}k_proj.* {_CROSS}v_proj.*",
        "decoder.blocks.#.cross.out.*": f"{_CROSS}out_proj.*",
        "decoder.blocks.#.cross_norm.*": "decoder.layers.#.encoder_attn_layer_norm.*",
    },
    scores=tuple(TokenHead(of="decoder", transform=False, bias=bias) for bias in (True, False)),
    heads={"write": {"bias": "final_logits_bias:1V"}},
    typed=False,
    tied={"encoder.embed_tokens.weight": _SHARED, "decoder.embed_tokens.weight": _SHARED, "lm_head.weight": _SHARED},
    ids={"pad_token_id": "pad", "bos_token_id": "cls", "eos_token_id": "sep"},
)
