"""ELECTRA (Clark et al. 2020), generator and discriminator: BERT's body over tables that may be narrower."""

from collections.abc import Mapping
from typing import Any

from quire.core.spec import Backbone
from quire.train.families.base import Family
from quire.train.families.bert import BODY, FIELDS, POINTS, TOKENS


def _read(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"embedding": config.get("embedding_size", 128)}


def _write(backbone: Backbone) -> dict[str, Any]:
    return {"embedding_size": backbone.embedding_width}


ELECTRA = Family(
    model_type="electra",
    prefix="electra.",
    architectures=(
        ("ElectraForQuestionAnswering", ("extract",)),
        ("ElectraForPreTraining", ("rtd",)),
        ("ElectraForMaskedLM", ("mlm",)),
        ("ElectraForTokenClassification", ("label",)),
        ("ElectraModel", ()),
    ),
    fields=FIELDS,
    read=_read,
    write=_write,
    body=BODY | {"project.*": "embeddings_project.*"},
    heads={
        "extract": POINTS,
        "rtd": {
            "dense.*": "discriminator_predictions.dense.*",
            "out.*": "discriminator_predictions.dense_prediction.*",
        },
        "mlm": {
            "dense.*": "generator_predictions.dense.*",
            "norm.*": "generator_predictions.LayerNorm.*",
            "weight": "generator_lm_head.weight",
            "bias": "generator_lm_head.bias",
        },
        "label": {"out.*": "classifier.*"},
    },
    tied={"generator_lm_head.weight": TOKENS},
    activations=("gelu",),  # the generator's head's, always
)
