"""BERT (Devlin et al. 2019) as transformers has it; others take its names over."""

from quire.train.families.base import Family

SIZES = {
    "vocab": "vocab_size",
    "depth": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "ffn": "intermediate_size",
    "positions": "max_position_embeddings",
}
FIELDS = SIZES | {
    "segments": "type_vocab_size",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "norm_eps": "layer_norm_eps",
    "init_std": "initializer_range",
}
EMBEDDINGS = {
    "embeddings.tokens.*": "embeddings.word_embeddings.*",
    "embeddings.positions.*": "embeddings.position_embeddings.*",
    "embeddings.segments.*": "embeddings.token_type_embeddings.*",
    "embeddings.norm.*": "embeddings.LayerNorm.*",
}
_LAYER, _SELF = "encoder.layer.#.", "encoder.layer.#.attention.self."
BODY = EMBEDDINGS | {
    "blocks.#.attention.qkv.*": f"{_SELF}query.* {_SELF}key.* {_SELF}value.*",
    "blocks.#.attention.out.*": _LAYER + "attention.output.dense.*",
    "blocks.#.attention_norm.*": _LAYER + "attention.output.LayerNorm.*",
    "blocks.#.ffn.up.*": _LAYER + "intermediate.dense.*",
    "blocks.#.ffn.down.*": _LAYER + "output.dense.*",
    "blocks.#.ffn_norm.*": _LAYER + "output.LayerNorm.*",
}
POINTS = {"out.*": "qa_outputs.*"}
"""Of a head for starts and ends."""
TOKENS = "embeddings.word_embeddings.weight"

BERT = Family(
    model_type="bert",
    prefix="bert.",
    architectures=(
        ("BertForSequenceClassification", ("classify",)),
        ("BertForQuestionAnswering", ("extract",)),
        ("BertForTokenClassification", ("label",)),
        ("BertForPreTraining", ("mlm", "pair")),
        ("BertForMaskedLM", ("mlm",)),
        ("BertForNextSentencePrediction", ("pair",)),
        ("BertModel", ()),
    ),
    fields=FIELDS,
    body=BODY,
    lent={"pooler.*": "pooler.dense.*"},
    heads={
        "mlm": {
            "dense.*": "cls.predictions.transform.dense.*",
            "norm.*": "cls.predictions.transform.LayerNorm.*",
            "weight": "cls.predictions.decoder.weight",
            "bias": "cls.predictions.bias",
        },
        "pair": {"out.*": "cls.seq_relationship.*"},
        "classify": {"out.*": "classifier.*"},
        "extract": POINTS,
        "label": {"out.*": "classifier.*"},
    },
    tied={"cls.predictions.decoder.weight": TOKENS, "cls.predictions.decoder.bias": "cls.predictions.bias"},
)
