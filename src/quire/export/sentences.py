"""An encoder as sentence-transformers opens it: `SentenceTransformer(folder)` gives the vectors that Quire gives.

modules.json                the stages: a model of transformers in this folder, and pooling
1_Pooling/config.json       which pooling
sentence_bert_config.json   how many tokens of a text are read
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from tokenizers import Tokenizer as Backend

from quire.core.errors import BadInput
from quire.core.example import Example
from quire.explain.encoder import Encoder
from quire.train.families import describing
from quire.train.safe import write_json
from quire.train.weights import save_model

SentencePool: TypeAlias = Literal["first", "mean", "max"]
POOLS: Mapping[SentencePool, str] = {
    "first": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
}
"""What sentence-transformers calls a pooling."""
STAGES = (("", "Transformer"), ("1_Pooling", "Pooling"))
CARD = """\
---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
---

# Sentence vectors

Written by Quire from `{source}`: {width} numbers for a text, the {pool} of the last states of its first {length}
tokens, special ones included, not normalised.

    from sentence_transformers import SentenceTransformer

    SentenceTransformer("this folder").encode(["a text"])
"""


def export_sentences(name: str | Path, *, out: Path, pool: SentencePool | None = None) -> SentencePool:
    """Write the encoder of a run, a model folder or an embedded base into the folder `out`, whole or not at all.

    Pooling is that of `Encoder.texts`, of its classifier or else the mean, or `pool`; nothing is normalised, as there.
    Returns the pooling. BadInput for what sentence-transformers cannot compute: a body that transformers does not have
    or that reads left to right, a decoder, pooling by attention, texts of which not the first tokens are kept.
    """
    encoder = Encoder.load(name)
    found = next((known for known in POOLS if known == (pool or encoder.way)), None)
    if found is None:
        raise BadInput(f"{name}: pools by {encoder.way}, which sentence-transformers cannot; give another pool: mean")
    if encoder.cut != "head":
        raise BadInput(f"{name}: keeps {encoder.cut} of a long text, sentence-transformers the head; train with that")
    backbone, vocab = encoder.model.spec, encoder.tokenizer.vocab
    if backbone.decoder or describing(backbone, {}, pad=vocab.pad) is None:
        raise BadInput(f"{name}: no encoder of transformers computes what this model does; take a relative of BERT")

    def beside(draft: Path) -> None:
        encoder.tokenizer.save(draft)
        _check_frame(encoder, draft)
        _write_stages(draft, width=backbone.width, length=encoder.length, pool=found)

    save_model(
        out,
        backbone=backbone,
        heads={},
        state={n: t for n, t in encoder.model.state_dict().items() if n.startswith("backbone.")},
        labels=None,
        tokenizer_saver=beside,
        vocab=vocab,
        card=CARD.format(source=Path(encoder.source).name, width=backbone.width, pool=found, length=encoder.length),
        extra={"length": encoder.length, "cut": encoder.cut},
    )
    return found


def _check_frame(encoder: Encoder, draft: Path) -> None:
    """A text stands between the same special tokens there."""
    (passage,) = encoder.tokenizer.encode(["a"])
    theirs = Backend.from_file(str(draft / "tokenizer.json")).encode("a").ids
    if theirs != Example.of(encoder.tokenizer.vocab, passage).tokens.tolist():
        raise BadInput(f"{encoder.source}: its tokenizer puts other special tokens around a text than Quire does")


def _write_stages(folder: Path, *, width: int, length: int, pool: SentencePool) -> None:
    stages = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(STAGES)
    ]
    write_json(folder / "modules.json", stages)
    modes = {theirs: ours == pool for ours, theirs in POOLS.items()}
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **modes})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": False})
