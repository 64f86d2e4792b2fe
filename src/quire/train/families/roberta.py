"""RoBERTa (Liu et al. 2019) and XLM-RoBERTa (Conneau et al. 2020): BERT with positions that begin after the padding's.

Its backbones are BERT's, and are written as such.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quire.core.spec import Backbone
from quire.train.families.base import Family
from quire.train.families.bert import BODY, FIELDS, POINTS, TOKENS

_OFFSET = 2  # padding_idx + 1: token i of a sequence has row i + 2, and their number of positions counts all rows


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"positions": config["max_position_embeddings"] - _OFFSET}


def _write(backbone: Backbone) -> dict[str, Any]:
    return {"max_position_embeddings": backbone.positions + _OFFSET}


ROBERTA = Family(
    model_type="roberta",
    prefix="roberta.",
    architectures=(
        ("RobertaForSequenceClassification", ("classify",)),
        ("RobertaForQuestionAnswering", ("extract",)),
        ("RobertaForTokenClassification", ("label",)),
        ("RobertaForMaskedLM", ("mlm",)),
        ("RobertaModel", ()),
    ),
    fields=FIELDS,
    body=BODY,
    heads={
        "mlm": {
            "dense.*": "lm_head.dense.*",
            "norm.*": "lm_head.layer_norm.*",
            "weight": "lm_head.decoder.weight",
            "bias": "lm_head.bias",
        },
        # The classifier's own dense layer plays the pooler.
        "classify": {"pooler.*": "classifier.dense.*", "out.*": "classifier.out_proj.*"},
        "extract": POINTS,
        "label": {"out.*": "classifier.*"},
    },
    tied={"lm_head.decoder.weight": TOKENS, "lm_head.decoder.bias": "lm_head.bias"},
    activations=("gelu",),  # the MLM head's, always
    offset=_OFFSET,
    fine={"pad_token_id": (1,)},  # their positions begin behind it
    read=_read,
    write=_write,
)
XLM_ROBERTA = replace(
    ROBERTA,
    model_type="xlm-roberta",
    architectures=tuple((f"XLM{name}", places) for name, places in ROBERTA.architectures),
)
