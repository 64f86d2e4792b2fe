"""DistilBERT (Sanh et al. 2019): BERT without segments and pooler; its classifier has ReLU where BERT's has tanh.

Its backbones are BERT's, and but for one with that classifier are written as such. Its norms have BERT's eps, always.
"""

from quire.train.families.base import Family
from quire.train.families.bert import EMBEDDINGS, POINTS, TOKENS

_LAYER = "transformer.layer.#."
_QKV = (f"{_LAYER}attention.{name}.*" for name in ("q_lin", "k_lin", "v_lin"))

DISTILBERT = Family(
    model_type="distilbert",
    prefix="distilbert.",
    architectures=(
        ("DistilBertForSequenceClassification", ("classify",)),
        ("DistilBertForQuestionAnswering", ("extract",)),
        ("DistilBertForTokenClassification", ("label",)),
        ("DistilBertForMaskedLM", ("mlm",)),
        ("DistilBertModel", ()),
    ),
    fields={
        "vocab": "vocab_size",
        "depth": "n_layers",
        "width": "dim",
        "heads": "n_heads",
        "ffn": "hidden_dim",
        "positions": "max_position_embeddings",
        "dropout": "dropout",
        "attention_dropout": "attention_dropout",
        "init_std": "initializer_range",
    },
    fixed={"segments": 0},
    activation="activation",
    body=EMBEDDINGS
    | {
        "blocks.#.attention.qkv.*": " ".join(_QKV),
        "blocks.#.attention.out.*": _LAYER + "attention.out_lin.*",
        "blocks.#.attention_norm.*": _LAYER + "sa_layer_norm.*",
        "blocks.#.ffn.up.*": _LAYER + "ffn.lin1.*",
        "blocks.#.ffn.down.*": _LAYER + "ffn.lin2.*",
        "blocks.#.ffn_norm.*": _LAYER + "output_layer_norm.*",
    },
    heads={
        "mlm": {
            "dense.*": "vocab_transform.*",
            "norm.*": "vocab_layer_norm.*",
            "weight": "vocab_projector.weight",
            "bias": "vocab_projector.bias",
        },
        "classify": {"pooler.*": "pre_classifier.*", "out.*": "classifier.*"},
        "extract": POINTS,
        "label": {"out.*": "classifier.*"},
    },
    pooled="relu",
    dropout="seq_classif_dropout",
    dropped=("classify",),
    typed=False,
    tied={"vocab_projector.weight": TOKENS},
)
