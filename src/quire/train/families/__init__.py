"""The families of models that transformers has and Quire reads and writes: one short file of data each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quire.core.config import parse
from quire.core.errors import BadInput, nearest
from quire.core.heads import HeadSpec
from quire.core.spec import Backbone
from quire.train.families.albert import ALBERT
from quire.train.families.bart import BART
from quire.train.families.base import Activation, Family, their_activation
from quire.train.families.bert import BERT
from quire.train.families.distilbert import DISTILBERT
from quire.train.families.electra import ELECTRA
from quire.train.families.gpt import GPT
from quire.train.families.gpt2 import GPT2
from quire.train.families.mobilebert import MOBILEBERT
from quire.train.families.modernbert import MODERNBERT
from quire.train.families.mpnet import MPNET
from quire.train.families.roberta import ROBERTA, XLM_ROBERTA
from quire.train.families.t5 import T5
from quire.train.families.xlm import XLM
from quire.train.families.xlnet import XLNET

_ALL = (
    BERT,
    ROBERTA,
    XLM_ROBERTA,
    DISTILBERT,
    MPNET,
    ELECTRA,
    ALBERT,
    MOBILEBERT,
    MODERNBERT,
    XLM,
    XLNET,
    GPT,
    GPT2,
    BART,
    T5,
)
FAMILIES = {family.model_type: family for family in _ALL}
"""By `model_type`; of several that describe a model equally well, the first is written."""

_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
# What would be computed wrongly in any family: (field, the values that are fine; an absent field is fine).
_FINE: dict[str, tuple[Any, ...]] = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "pruned_heads": ({},),
    "quantization_config": (None,),
}
_NEEDED = ("vocab", "depth", "width", "heads", "ffn", "positions", "decoder")  # the rest may be left to the defaults


def read_config(config: Any, *, where: Path) -> tuple[Family, Backbone]:
    """The family and the backbone of a parsed `config.json`; BadInput for what Quire would compute wrongly."""
    if not isinstance(config, dict):
        raise BadInput(f"{where}: expected an object with the model's settings")
    name = config.get("model_type", "bert")  # BERT's first configs carry no type
    if not (isinstance(name, str) and name in FAMILIES):
        raise BadInput(f"{where}: model_type {name!r:.40} is none that Quire knows{nearest(str(name)[:40], FAMILIES)}")
    family = FAMILIES[name]
    for field, fine in (_FINE | dict(family.fine)).items():
        if field in config and config[field] not in fine:
            raise BadInput(
                f"{where}: {field} {config[field]!r:.40} is not supported, only {fine[0]!r}; choose another model"
            )
    needed = [theirs for ours, theirs in family.fields.items() if ours in _NEEDED]
    if missing := [theirs for theirs in needed if theirs not in config]:
        raise BadInput(f"{where}: {missing[0]} is missing; take config.json from where the model came from")
    fields = {ours: config[theirs] for ours, theirs in family.fields.items() if theirs in config}
    if family.activation:
        fields["activation"] = _activation(config, family, where)
    try:
        fields = {**family.fixed, **fields, **family.read(config)}
    except ValueError as error:
        raise BadInput(f"{where}: {' '.join(str(error).split())[:300]}") from error
    except (TypeError, AttributeError, OverflowError) as error:
        raise BadInput(f"{where}: a value of another type than expected ({error}); fetch the model again") from error
    return family, parse(Backbone, fields, where=str(where))


def write_config(backbone: Backbone, *, family: Family) -> dict[str, Any]:
    """The settings of a backbone under their names, `model_type` first; `read_config` reads them back."""
    config: dict[str, Any] = {"model_type": family.model_type}
    config |= {theirs: getattr(backbone, ours) for ours, theirs in family.fields.items()}
    if family.activation:
        config[family.activation] = their_activation(backbone)
    return config | family.write(backbone)


def describing(backbone: Backbone, heads: Mapping[str, HeadSpec], *, pad: int) -> Family | None:
    """The family whose settings say all of a backbone, the one with places for the most heads; None if none does.

    `pad` is the id of the token that pads.
    """
    of_kind = [f for f in FAMILIES.values() if f.fixed.get("kind", "transformer") == backbone.kind]
    fitting = [f for f in of_kind if f.padding in (None, pad) and _describes(f, f.held(backbone))]
    known = [f for f in fitting if not f.causal or f.over_vocabulary in f.places(heads).values()]
    return max(known, key=lambda f: len(f.architecture(heads)[1]), default=None)


def same(one: Backbone, other: Backbone) -> bool:
    """Whether two backbones are one, where a field may be left out or say what holds without it, however drawn."""
    return _full(one) == _full(other)


def _describes(family: Family, backbone: Backbone) -> bool:
    """Nothing is lost on the way through its settings."""
    try:
        _, back = read_config(write_config(backbone, family=family), where=Path(family.model_type))
    except BadInput:
        return False
    return same(back, backbone)


def _full(backbone: Backbone) -> Backbone:
    local = any(backbone.sees_locally(i) for i in range(backbone.depth))
    every = backbone.global_every and min(backbone.global_every, backbone.depth)
    whole = {
        "segments": min(backbone.segments, 1) if backbone.position == "relative" else backbone.segments,
        "embedding": backbone.embedding_width,
        "head_width": backbone.head,
        "buckets": backbone.buckets if backbone.bucketed else None,
        "furthest": backbone.furthest if backbone.bucketed else None,
        "init": None,
        "init_std": None,
        "groups": backbone.groups or backbone.depth,
        "window": backbone.window if local else None,
        "global_every": every if local else None,
        "rotary_base_local": (backbone.rotary_base_local if local else None) or backbone.rotary_base,
    }
    return backbone.model_copy(update=whole)


def _activation(config: dict[str, Any], family: Family, where: Path) -> Activation:
    act = str(config.get(family.activation, family.default_activation))
    if _ACTIVATIONS.get(act) not in family.activations:
        known = [name for name, ours in _ACTIVATIONS.items() if ours in family.activations]
        raise BadInput(f"{where}: {family.activation} {act!r:.40} is not supported{nearest(act[:40], known)}")
    return _ACTIVATIONS[act]
