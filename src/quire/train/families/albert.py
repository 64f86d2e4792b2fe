"""ALBERT (Lan et al. 2020): narrow tables with a linear layer behind them, and groups of layers that share a block."""

from collections.abc import Mapping
from typing import Any

from quire.core.spec import Backbone
from quire.train.families.base import Family
from quire.train.families.bert import EMBEDDINGS, FIELDS, POINTS, TOKENS

_LAYER = "encoder.albert_layer_groups.#.albert_layers.0."
_QKV = (_LAYER + f"attention.{name}.*" for name in ("query", "key", "value"))


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    if config.get("embedding_size", 128) == config["hidden_size"]:
        raise ValueError("embedding_size is hidden_size, and Quire has no linear layer between equal widths")
    return {"embedding": config.get("embedding_size", 128), "groups": config.get("num_hidden_groups", 1)}


def _write(backbone: Backbone) -> dict[str, Any]:
    return {
        "embedding_size": backbone.embedding_width,
        "num_hidden_groups": backbone.groups or backbone.depth,
        "inner_group_num": 1,
    }


ALBERT = Family(
    model_type="albert",
    prefix="albert.",
    architectures=(
        ("AlbertForSequenceClassification", ("classify",)),
        ("AlbertForQuestionAnswering", ("extract",)),
        ("AlbertForTokenClassification", ("label",)),
        ("AlbertForPreTraining", ("mlm", "pair")),
        ("AlbertForMaskedLM", ("mlm",)),
        ("AlbertModel", ()),
    ),
    fields=FIELDS,
    fine={"inner_group_num": (1,)},
    read=_read,
    write=_write,
    body=EMBEDDINGS
    | {
        "project.*": "encoder.embedding_hidden_mapping_in.*",
        "blocks.#.attention.qkv.*": " ".join(_QKV),
        "blocks.#.attention.out.*": _LAYER + "attention.dense.*",
        "blocks.#.attention_norm.*": _LAYER + "attention.LayerNorm.*",
        "blocks.#.ffn.up.*": _LAYER + "ffn.*",
        "blocks.#.ffn.down.*": _LAYER + "ffn_output.*",
        "blocks.#.ffn_norm.*": _LAYER + "full_layer_layer_norm.*",
    },
    lent={"pooler.*": "pooler.*"},
    heads={
        "mlm": {
            "dense.*": "predictions.dense.*",
            "norm.*": "predictions.LayerNorm.*",
            "weight": "predictions.decoder.weight",
            "bias": "predictions.bias",
        },
        "pair": {"out.*": "sop_classifier.classifier.*"},
        "classify": {"out.*": "classifier.*"},
        "extract": POINTS,
        "label": {"out.*": "classifier.*"},
    },
    tied={"predictions.decoder.weight": TOKENS, "predictions.decoder.bias": "predictions.bias"},
    dropout="classifier_dropout_prob",
    dropped=("classify", "label", "pair"),
)
