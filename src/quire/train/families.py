"""Names and settings of Hugging Face's BERT-like models against ours, as data that is read both ways.

Shapes: V vocabulary, W width, P positions (with the family's offset), T segments, F ffn, C outputs of a head.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from quire.core.config import parse
from quire.core.errors import BadInput, nearest
from quire.core.spec import Backbone, HeadSpec, SequenceHead, TokenHead

# One table: (our name, their names, shape of each of theirs). A trailing `*` stands for weight and bias (the bias has
# the first dimension). Several of theirs are stacked, in order, into one of ours.
Table: TypeAlias = tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Row:
    """One tensor of ours and the tensors of theirs it is made of, all of one shape."""

    ours: str
    theirs: tuple[str, ...]
    shape: tuple[int, ...]
    prefixed: bool = False  # whether theirs stand under the family's prefix in a model with heads


@dataclass(frozen=True)
class Family:
    """How one `model_type` names things: body tables under `prefix`, head tables bare, by our slot."""

    model_type: str
    prefix: str
    offset: int  # rows before position 0 in their table of positions
    body: Table
    block: Table
    pooler: Table
    heads: Mapping[str, Table]
    decoder: str  # the vocabulary decoder, which must be the embeddings
    decoder_bias: tuple[str, str]  # two names of one tensor: (the one kept, the other)
    unowned: tuple[str, ...]  # suffixes of buffers that hold no learnt values

    def rows(self, backbone: Backbone, heads: Mapping[str, HeadSpec]) -> Iterator[Row]:
        """Every tensor of a model, in order: body, then each head with its pooler."""
        sizes = _sizes(backbone, self.offset)
        for row in _rows(self.body, sizes):
            if row.shape[0]:  # no segments: no table
                yield Row(f"backbone.{row.ours}", row.theirs, row.shape, prefixed=True)
        for i in range(backbone.depth):
            for row in _rows(self.block, sizes):
                theirs = tuple(f"encoder.layer.{i}.{name}" for name in row.theirs)
                yield Row(f"backbone.blocks.{i}.{row.ours}", theirs, row.shape, prefixed=True)
        for slot, spec in heads.items():
            if isinstance(spec, SequenceHead):
                yield from self.pooler_rows(backbone, under=f"heads.{slot}.")
            for row in _rows(self.heads[slot], {**sizes, "C": _outputs(spec)}):
                yield Row(f"heads.{slot}.{row.ours}", row.theirs, row.shape)

    def pooler_rows(self, backbone: Backbone, *, under: str = "") -> Iterator[Row]:
        """The pooler, which belongs to their body and to our heads."""
        for row in _rows(self.pooler, _sizes(backbone, self.offset)):
            yield Row(under + row.ours, row.theirs, row.shape, prefixed=True)


_EMBEDDINGS: Table = (
    ("embeddings.tokens.weight", "embeddings.word_embeddings.weight", "V W"),
    ("embeddings.positions.weight", "embeddings.position_embeddings.weight", "P W"),
    ("embeddings.segments.weight", "embeddings.token_type_embeddings.weight", "T W"),
    ("embeddings.norm.*", "embeddings.LayerNorm.*", "W"),
)
_BLOCK: Table = (
    ("attention.qkv.*", "attention.self.query.* attention.self.key.* attention.self.value.*", "W W"),
    ("attention.out.*", "attention.output.dense.*", "W W"),
    ("attention_norm.*", "attention.output.LayerNorm.*", "W"),
    ("ffn.up.*", "intermediate.dense.*", "F W"),
    ("ffn.down.*", "output.dense.*", "W F"),
    ("ffn_norm.*", "output.LayerNorm.*", "W"),
)
BERT = Family(
    model_type="bert",
    prefix="bert.",
    offset=0,
    body=_EMBEDDINGS,
    block=_BLOCK,
    pooler=(("pooler.*", "pooler.dense.*", "W W"),),
    heads={
        "mlm": (
            ("dense.*", "cls.predictions.transform.dense.*", "W W"),
            ("norm.*", "cls.predictions.transform.LayerNorm.*", "W"),
            ("bias", "cls.predictions.bias", "V"),
        ),
        "pair": (("out.*", "cls.seq_relationship.*", "C W"),),
        "classify": (("out.*", "classifier.*", "C W"),),
    },
    decoder="cls.predictions.decoder.weight",
    decoder_bias=("cls.predictions.bias", "cls.predictions.decoder.bias"),
    unowned=("embeddings.position_ids", "embeddings.token_type_ids"),
)
ROBERTA = Family(
    model_type="roberta",
    prefix="roberta.",
    offset=2,  # padding_idx + 1: token i of a sequence has row i + 2
    body=_EMBEDDINGS,
    block=_BLOCK,
    pooler=(),  # the classifier's own dense layer plays the pooler
    heads={
        "mlm": (
            ("dense.*", "lm_head.dense.*", "W W"),
            ("norm.*", "lm_head.layer_norm.*", "W"),
            ("bias", "lm_head.bias", "V"),
        ),
        "classify": (("pooler.*", "classifier.dense.*", "W W"), ("out.*", "classifier.out_proj.*", "C W")),
    },
    decoder="lm_head.decoder.weight",
    decoder_bias=("lm_head.bias", "lm_head.decoder.bias"),
    unowned=BERT.unowned,
)
FAMILIES = {family.model_type: family for family in (BERT, ROBERTA)}

_FIELDS = {
    "vocab": "vocab_size",
    "depth": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "ffn": "intermediate_size",
    "positions": "max_position_embeddings",
    "segments": "type_vocab_size",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "norm_eps": "layer_norm_eps",
    "init_std": "initializer_range",
}
_SIZES = ("vocab", "depth", "width", "heads", "ffn", "positions")  # the rest may be left to the defaults
_ACTIVATIONS: dict[str, Literal["gelu", "gelu_tanh", "relu"]] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
# What would be computed wrongly: (field, the values that are fine; an absent field is fine).
_FINE: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("position_embedding_type", ("absolute",)),
    ("is_decoder", (False,)),
    ("add_cross_attention", (False,)),
    ("is_encoder_decoder", (False,)),
    ("pruned_heads", ({},)),
    ("quantization_config", (None,)),
)


def read_config(config: Any, *, where: Path) -> tuple[Family, Backbone]:
    """The family and the backbone of a parsed `config.json`; BadInput for what Quire would compute wrongly."""
    if not isinstance(config, dict):
        raise BadInput(f"{where}: expected an object with the model's settings")
    name = config.get("model_type", "bert")  # BERT's first configs carry no type
    if not (isinstance(name, str) and name in FAMILIES):
        raise BadInput(f"{where}: model_type {name!r} is not of the BERT family{nearest(str(name), FAMILIES)}")
    family = FAMILIES[name]
    for field, fine in _FINE:
        if field in config and config[field] not in fine:
            raise BadInput(
                f"{where}: {field} {config[field]!r} is not supported, only {fine[0]!r}; choose another model"
            )
    if missing := [_FIELDS[ours] for ours in _SIZES if _FIELDS[ours] not in config]:
        raise BadInput(f"{where}: {missing[0]} is missing; take config.json from where the model came from")
    act = str(config.get("hidden_act", "gelu"))
    if act not in _ACTIVATIONS or (family is ROBERTA and _ACTIVATIONS[act] != "gelu"):  # its MLM head is gelu always
        raise BadInput(f"{where}: hidden_act {act!r} is not supported{nearest(act, _ACTIVATIONS)}")
    fields = {ours: config[theirs] for ours, theirs in _FIELDS.items() if theirs in config}
    if isinstance(fields["positions"], int):
        fields["positions"] -= family.offset
    return family, parse(Backbone, {**fields, "activation": _ACTIVATIONS[act]}, where=str(where))


def write_config(backbone: Backbone, *, family: Family) -> dict[str, Any]:
    """The settings of a backbone under their names, `model_type` first; `read_config` reads them back."""
    config: dict[str, Any] = {"model_type": family.model_type}
    config |= {theirs: getattr(backbone, ours) for ours, theirs in _FIELDS.items()}
    config["max_position_embeddings"] += family.offset
    config["hidden_act"] = "gelu_pytorch_tanh" if backbone.activation == "gelu_tanh" else backbone.activation
    return config


def head_shapes(backbone: Backbone, slot: str, spec: HeadSpec) -> dict[str, tuple[int, ...]]:
    """Our names and shapes of one head, for those that no architecture of theirs has a place for."""
    table = BERT.heads["mlm"] if isinstance(spec, TokenHead) else (*BERT.pooler, *BERT.heads["classify"])
    rows = _rows(table, {**_sizes(backbone, 0), "C": _outputs(spec)})
    return {f"heads.{slot}.{row.ours}": row.shape for row in rows}


def find_heads(family: Family, shapes: Mapping[str, tuple[int, ...]], *, dropout: float) -> dict[str, HeadSpec]:
    """The heads whose last tensor is among `shapes` (their names, no prefix); dropout is for the classifier alone."""
    found: dict[str, HeadSpec] = {}
    for slot, table in family.heads.items():
        if slot == "mlm":
            if table[0][1].replace("*", "weight") in shapes:
                found[slot] = TokenHead()
            continue
        shape = shapes.get(table[-1][1].replace("*", "weight"), ())
        pooler = (*family.pooler, *table)[0][1].replace("*", "weight")
        if len(shape) == 2 and shape[0] > 0 and pooler in shapes:
            # BERT's next-sentence head sees the pooler without dropout (Devlin et al. 2019, their code).
            found[slot] = SequenceHead(outputs=shape[0], dropout=dropout if slot == "classify" else 0.0)
    return found


def _outputs(spec: HeadSpec) -> int:
    return spec.outputs if isinstance(spec, SequenceHead) else 0


def _sizes(backbone: Backbone, offset: int) -> dict[str, int]:
    return {
        "V": backbone.vocab,
        "W": backbone.width,
        "P": backbone.positions + offset,
        "T": backbone.segments,
        "F": backbone.ffn,
    }


def _rows(table: Table, sizes: Mapping[str, int]) -> Iterator[Row]:
    for ours, theirs, shape in table:
        full = tuple(sizes[letter] for letter in shape.split())
        for end in ("weight", "bias") if ours.endswith("*") else ("",):
            names = tuple(name.replace("*", end) for name in theirs.split())
            yield Row(ours.replace("*", end), names, full[:1] if end == "bias" else full)
