"""MPNet (Song et al. 2020): RoBERTa's heads and rows of positions, and T5's distances beside them; no segments.

Their code has 32 buckets up to a distance of 128, whatever the configuration says, and takes token 1 for padding.
"""

from dataclasses import replace

from quire.train.families.bert import BERT, BODY, FIELDS
from quire.train.families.roberta import ROBERTA

_ATTENTION = "encoder.layer.#.attention."

MPNET = replace(
    ROBERTA,
    model_type="mpnet",
    prefix="mpnet.",
    architectures=(
        ("MPNetForSequenceClassification", ("classify",)),
        ("MPNetForQuestionAnswering", ("extract",)),
        ("MPNetForTokenClassification", ("label",)),
        ("MPNetForMaskedLM", ("mlm",)),
        ("MPNetModel", ()),
    ),
    fields={ours: theirs for ours, theirs in FIELDS.items() if ours != "segments"},
    fixed={"segments": 0, "position": "learned_bucketed"},
    fine={"relative_attention_num_buckets": (32,)},
    body=BODY
    | {
        "distances.table.*": "encoder.relative_attention_bias.*",
        "blocks.#.attention.qkv.*": f"{_ATTENTION}attn.q.* {_ATTENTION}attn.k.* {_ATTENTION}attn.v.*",
        "blocks.#.attention.out.*": _ATTENTION + "attn.o.*",
        "blocks.#.attention_norm.*": _ATTENTION + "LayerNorm.*",
    },
    lent=BERT.lent,
    typed=False,
    padding=1,
)
