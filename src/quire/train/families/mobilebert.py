"""MobileBERT (Sun et al. 2020): narrow layers between wide states, and a head as wide as these over a narrow table."""

from collections.abc import Mapping
from typing import Any

from quire.core.bodies import Bottleneck
from quire.core.heads import TokenHead
from quire.core.spec import Backbone
from quire.train.families.base import Family
from quire.train.families.bert import BERT, FIELDS

_LAYER, _SELF, _FED = "encoder.layer.#.", "encoder.layer.#.attention.self.", "encoder.layer.#.ffn.#."
_TOGETHER, _APART = "use_bottleneck_attention", "key_query_shared_bottleneck"
_NORM = "normalization_type"
_NORMS = {"no_norm": "affine", "layer_norm": "layer"}


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    norm, together = config.get(_NORM, "no_norm"), config.get(_TOGETHER, False)
    if norm not in _NORMS:
        raise ValueError(f"{_NORM} {norm!r} is not supported; known: {', '.join(_NORMS)}")
    if norm == "layer_norm" and config.get("layer_norm_eps", 1e-12) != 1e-5:
        raise ValueError("layer_norm_eps is not 1e-5, which some norms have whatever it says: Quire has one for all")
    if not together and not config.get(_APART, True):
        raise ValueError(f"neither {_TOGETHER} nor {_APART}: Quire has no queries of the wide states")
    if config.get("embedding_size", 128) >= config["hidden_size"]:
        raise ValueError("embedding_size is not less than hidden_size, but its head wants a narrower table")
    return {"norm": _NORMS[norm], "apart": not together}


def _write(backbone: Backbone) -> dict[str, Any]:
    assert isinstance(backbone, Bottleneck)
    return {
        "embedding_size": backbone.embedding_width,
        _NORM: next((theirs for theirs, ours in _NORMS.items() if ours == backbone.norm), backbone.norm),
        _TOGETHER: not backbone.apart,
        _APART: backbone.apart,
        "use_bottleneck": True,
    }


def _entry(ours: str, theirs: str) -> dict[str, str]:
    bottleneck = f"{_LAYER}bottleneck.{theirs}."
    return {
        f"blocks.#.{ours}.dense.*": f"{bottleneck}dense.*",
        f"blocks.#.{ours}.norm.*": f"{bottleneck}LayerNorm.*",
    }


def _fed(ours: str, theirs: str) -> dict[str, str]:
    return {
        f"blocks.#.{ours}.ffn.up.*": f"{theirs}intermediate.dense.*",
        f"blocks.#.{ours}.ffn.down.*": f"{theirs}output.dense.*",
        f"blocks.#.{ours}.norm.*": f"{theirs}output.LayerNorm.*",
    }


MOBILEBERT = Family(
    model_type="mobilebert",
    prefix="mobilebert.",
    architectures=tuple((f"Mobile{name}", places) for name, places in BERT.architectures),
    fields=FIELDS
    | {
        "embedding": "embedding_size",
        "bottleneck": "intra_bottleneck_size",
        "feeds": "num_feedforward_networks",
        "trigrams": "trigram_input",
    },
    fixed={"kind": "bottleneck"},
    fine={"use_bottleneck": (True,)},
    read=_read,
    write=_write,
    default_activation="relu",
    activations=("gelu", "gelu_tanh", "relu", "silu"),
    body={
        "embeddings.tokens.*": "embeddings.word_embeddings.*",
        "widen.*": "embeddings.embedding_transformation.*",
        "placed.positions.*": "embeddings.position_embeddings.*",
        "placed.segments.*": "embeddings.token_type_embeddings.*",
        "placed.norm.*": "embeddings.LayerNorm.*",
        **_entry("entry", "input"),
        **_entry("asks", "attention"),
        "blocks.#.attention.qk.*": f"{_SELF}query.* {_SELF}key.*",
        "blocks.#.attention.value.*": f"{_SELF}value.*",
        "blocks.#.attention.out.*": f"{_LAYER}attention.output.dense.*",
        "blocks.#.attention_norm.*": f"{_LAYER}attention.output.LayerNorm.*",
        **_fed("early.#", _FED),
        **_fed("late", _LAYER),
        "blocks.#.leave.*": f"{_LAYER}output.bottleneck.dense.*",
        "blocks.#.norm.*": f"{_LAYER}output.bottleneck.LayerNorm.*",
    },
    lent=BERT.lent,
    scores=(TokenHead(),),
    heads={**BERT.heads, "mlm": {**BERT.heads["mlm"], "weight": "cls.predictions.dense.weight:'"}},
    tied=BERT.tied,
    pooling="classifier_activation",
)
