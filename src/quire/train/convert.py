"""Tensors from Hugging Face's names to ours and back, bit for bit."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.heads import DetectionHead, HeadSpec, Pooled, PositionHead, QueryHead, SequenceHead, TokenHead
from quire.core.spec import Backbone
from quire.train.families import read_config
from quire.train.families.base import REGRESS, Family, Row, numberless, translated
from quire.train.families.bert import BERT

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
QA_DROPOUT = "qa_dropout"
"""DistilBERT's field for the dropout before starts and ends; the others have none there."""
_NEAR = 2**-8
"""How far a computed table may be from ours: bf16 keeps 8 bits of numbers below 1."""


@dataclass(frozen=True)
class Imported:
    """What a foreign model holds: specs, tensors in our names (float32), and what found no place.

    `pooler` (`pooler.weight`, `pooler.bias`, or empty) is there for a new SequenceHead to start from; the heads
    that own it have it in `state` too. `unused` names their tensors that nothing of ours holds.
    """

    family: Family
    backbone: Backbone
    heads: dict[str, HeadSpec]
    state: dict[str, Tensor]
    pooler: dict[str, Tensor]
    unused: tuple[str, ...]


def import_tensors(
    tensors: Mapping[str, Tensor], config: Any, *, where: Path, heads: Mapping[str, HeadSpec] | None = None
) -> Imported:
    """Their tensors and parsed `config.json` as ours, with the heads that are found, or those of `heads` that the
    family has a place for, which then must be there.

    Errors (BadInput, one line): a tensor missing, of another shape than the configuration asks, not of floats, with
    NaN or infinity; a decoder that is not tied to the embeddings; a configuration that `read_config` refuses.
    """
    family, backbone = read_config(config, where=where / "config.json")
    named = _canonical(tensors, family, where)
    _drop_tied(named, family, where, untied=_untied(config, family))
    _drop_computed(named, family, backbone, where)
    _has_blocks(named, family, backbone, where)
    if heads is None:
        heads = _heads(named, family, config, where, dropout=backbone.dropout)
        heads |= {
            slot: head.model_copy(update={"start": _start(config, family, where)})
            for slot, head in heads.items()
            if isinstance(head, TokenHead) and head.of == "decoder"
        }
    else:
        _, heads = family.architecture(heads)
    state: dict[str, Tensor] = {}
    pooler: dict[str, Tensor] = {}
    used: set[str] = set()
    with within_memory(where / "config.json"):
        rows = list(family.rows(backbone, heads))
    for row in rows:
        state[row.ours] = _joined(named, row, where)
        used.update(row.theirs)
    for row in family.pooler_rows(backbone):
        if row.theirs[0] in named:
            pooler[row.ours] = _joined(named, row, where)
            used.update(row.theirs)
    return Imported(family, backbone, dict(heads), state, pooler, tuple(sorted(named.keys() - used)))


def export_tensors(
    state: Mapping[str, Tensor],
    *,
    backbone: Backbone,
    heads: Mapping[str, HeadSpec],
    pooler: Mapping[str, Tensor] | None = None,
    family: Family = BERT,
) -> dict[str, Tensor]:
    """The inverse of `import_tensors`: contiguous tensors in their names; a model without heads carries no prefix.

    Rows of the position table before their offset, which no token ever reaches, come out as zeros. ValueError when
    `state` lacks a tensor or holds one that nothing of theirs can hold.
    """
    ours = {**state, **(pooler or {})}
    prefix = family.prefix if heads else ""
    tables = {prefix + name: compute(backbone) for name, compute in family.computed.items()}
    theirs = {name: table for name, table in tables.items() if table is not None}
    for row in (*family.rows(backbone, heads), *(family.pooler_rows(backbone) if pooler else ())):
        if row.ours not in ours:
            raise ValueError(f"the state lacks {row.ours!r}")
        tensor = ours.pop(row.ours)
        if tuple(tensor.shape) != row.shape:
            raise ValueError(f"{row.ours!r} has the shape {list(tensor.shape)}, which the backbone does not describe")
        for name, part in zip(row.theirs, row.parted(tensor), strict=True):
            full = prefix + name if row.prefixed else name
            if full in theirs and not torch.equal(theirs[full], part):
                raise ValueError(f"{row.ours!r} is not the only pooler, and theirs have one for all")
            theirs[full] = part
    if ours:
        raise ValueError(f"no place for {min(ours)!r} ({len(ours)} tensors in all)")
    if any(isinstance(head, TokenHead) and not head.tied for head in heads.values()):  # nor do they tie its bias
        twice = {name: theirs[twin] for name, twin in family.tied.items() if name.endswith(".bias")}
        theirs |= {name: tensor.clone() for name, tensor in twice.items()}
    return theirs


def _canonical(tensors: Mapping[str, Tensor], family: Family, where: Path) -> dict[str, Tensor]:
    """Their tensors without prefix, without buffers, and with LayerNorm's weight and bias under today's names."""
    named: dict[str, Tensor] = {}
    for full, tensor in tensors.items():
        name = full.removeprefix(family.prefix)
        for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
            if name.endswith(old):
                name = name.removesuffix(old) + new
        if name in named:
            raise BadInput(f"{where}: {full!r} is there under two names; save the model again with transformers")
        if numberless(name) not in family.unowned:
            named[name] = tensor
    return named


def _untied(config: Mapping[str, Any], family: Family) -> bool:
    """Whether a head has its own matrix of scores; where that field means something else, the tensors tell."""
    return config.get("tie_word_embeddings") is False and not family.scaled


def _drop_tied(named: dict[str, Tensor], family: Family, where: Path, *, untied: bool) -> None:
    """Remove second copies of tied tensors; a copy that differs is a head's own, or another model than ours."""
    own = {name for names in family.heads.values() for name in names.values()}
    for name, twin in family.tied.items():
        if name not in named:
            continue
        copy = named.pop(name)
        if torch.equal(copy, named.setdefault(twin, copy)) and not (untied and name in own):
            continue
        if name in own:
            named[name] = copy
        elif twin in own:  # of two biases theirs adds the copy
            named[twin] = copy
        else:
            raise BadInput(f"{where}: {name!r} differs from {twin!r}; Quire ties the two, so choose a tied model")


def _drop_computed(named: dict[str, Tensor], family: Family, backbone: Backbone, where: Path) -> None:
    for name, compute in family.computed.items():
        theirs = named.get(name)
        if theirs is None or len(theirs) != backbone.positions or (ours := compute(backbone)) is None:
            continue
        if theirs.shape != ours.shape or not torch.allclose(named.pop(name).float(), ours, rtol=0, atol=_NEAR):
            raise BadInput(f"{where}: {name!r} is not what Quire computes from config.json; choose another model")


def _has_blocks(named: Mapping[str, Tensor], family: Family, backbone: Backbone, where: Path) -> None:
    """Before anything is built: a depth of a billion ends at the first block that is missing."""
    for stack, depth in (("", backbone.groups or backbone.depth), ("decoder.", backbone.decoder or 0)):
        first = next((ours for ours in family.body if ours.startswith(f"{stack}blocks.#.")), "").replace("*", "weight")
        for i in range(depth):
            _found(named, translated(first.replace("#", str(i)), family.body)[0][0], where)


def _heads(
    named: Mapping[str, Tensor], family: Family, config: Mapping[str, Any], where: Path, *, dropout: float
) -> dict[str, HeadSpec]:
    """The heads whose last tensor is there; BERT's next-sentence head sees the pooler without dropout (their code).

    A `classifier` is over tags where their class says so: nothing else tells. `dropout` is the body's, which holds
    where the configuration does not name the heads' own.
    """
    own_dropout = config.get(family.dropout)
    pooled: Pooled = "none" if config.get(family.pooling) is False else family.pooled
    found: dict[str, HeadSpec] = {}
    other = "classify" if _tags(config) else "label"
    for place, own in family.heads.items():
        if place == other:
            continue
        if place == family.over_vocabulary:
            if head := _scores(named, family, config):
                found[place] = head
            elif family.causal:
                raise BadInput(f"{where}: no matrix of scores, and none that is tied; choose another model")
            continue
        names = {**family.lent, **own}
        (last,), _ = translated([*names][-1].replace("*", "weight"), names)
        if last not in named:
            continue
        match place:
            case "rtd":
                found[place] = DetectionHead()
            case "query":
                found[place] = QueryHead()
            case "extract":
                if len(named[last]) == 2:
                    found[place] = PositionHead(outputs=2, dropout=config.get(QA_DROPOUT, 0.0))
            case _:
                outputs, dropped = len(named[last]) if named[last].ndim == 2 else 0, place in family.dropped
                if outputs and place == "label":
                    rate = dropout if own_dropout is None or not dropped else own_dropout
                    found[place] = PositionHead(outputs=outputs, dropout=rate)
                elif outputs and (pooled == "none" or translated("pooler.weight", names)[0][0] in named):
                    rate = dropout if own_dropout is None else own_dropout
                    found[place] = SequenceHead(outputs=outputs, dropout=rate if dropped else 0.0, activation=pooled)
    slots = {REGRESS if place == "classify" and _is_number(head) else place: head for place, head in found.items()}
    return {slot: slots[slot] for slot in family.places(slots)}


def _is_number(head: HeadSpec) -> bool:
    """What transformers takes for regression where nothing is said."""
    return isinstance(head, SequenceHead) and head.outputs == 1


def _tags(config: Mapping[str, Any]) -> bool:
    """Whether their class gives each token a tag."""
    names = config.get("architectures")
    return isinstance(names, list) and any(str(name).endswith("ForTokenClassification") for name in names)


def _start(config: Mapping[str, Any], family: Family, where: Path) -> str:
    """What a decoder begins with, by its role."""
    ids = {"pad": "pad_token_id", "sep": "eos_token_id", "cls": "bos_token_id"}
    asked = config.get("decoder_start_token_id")
    roles = [role for role in (family.start, *ids) if asked is None or asked == config.get(ids[role])]
    if not roles:
        raise BadInput(
            f"{where / 'config.json'}: decoder_start_token_id {asked!r:.40} is none of {', '.join(ids.values())}; "
            "make it one of them, or choose another model"
        )
    return roles[0]


def _scores(named: Mapping[str, Tensor], family: Family, config: Mapping[str, Any]) -> TokenHead | None:
    """The head over the vocabulary: the first that the family can have, the settings allow and the tensors make up."""
    scaled = next((config[name] for name in family.scaled if name in config), True)
    own = family.heads[family.over_vocabulary]
    for head in family.scores:
        without = {"bias": not head.bias, "weight": head.tied}
        with_it = [ours.replace("*", "weight") for ours in own if not without.get(ours)]
        told = {*with_it[-1:], *({"weight"} & set(with_it))}
        there = all(theirs in named for ours in told for theirs in translated(ours, own)[0])
        if there and not (head.tied and _untied(config, family)) and (not family.scaled or head.scaled == scaled):
            return head
    return None


@contextmanager
def within_memory(where: Path) -> Iterator[None]:
    """BadInput for sizes, written in the file `where`, of which torch cannot even make shapes."""
    try:
        yield
    except RuntimeError as error:
        raise BadInput(f"{where}: sizes beyond all memory; take it from where the model came") from error


def _joined(named: Mapping[str, Tensor], row: Row, where: Path) -> Tensor:
    return row.joined([checked(named, name, row.their_shape, where) for name in row.theirs])


def checked(
    named: Mapping[str, Tensor], name: str, shape: tuple[int, ...], where: Path, *, whole: bool = False
) -> Tensor:
    """The tensor `name` in float32, or as the `whole` numbers it holds; else a BadInput that says why it cannot be a
    weight of this shape."""
    tensor = _found(named, name, where)
    if tuple(tensor.shape) != shape:
        raise BadInput(f"{where}: {name!r} has the shape {list(tensor.shape)}, config.json asks for {list(shape)}")
    if whole and tensor.dtype == torch.int64:
        return tensor
    if tensor.dtype not in _FLOATS:
        raise BadInput(f"{where}: {name!r} holds {tensor.dtype}; only float weights can be read, not quantized ones")
    tensor = tensor.float()
    if tensor.numel() and not torch.stack(tensor.aminmax()).isfinite().all():  # a pass, with no second tensor
        raise BadInput(f"{where}: {name!r} holds NaN or infinity; fetch the model again or choose another")
    return tensor


def _found(named: Mapping[str, Tensor], name: str, where: Path) -> Tensor:
    if name not in named:
        raise BadInput(f"{where}: the tensor {name!r} that config.json asks for is missing; fetch the model again")
    return named[name]
