"""Model folders: what the ecosystem opens, and beside it what is ours.

config.json, model.safetensors   as transformers writes them, opened by its AutoModel classes, where one of its
                                 families describes the backbone exactly; else our names and {"model_type": "quire"}
heads.safetensors                our names: heads that no architecture of theirs has a place for (often absent)
lora.safetensors                 what was added to the weights, apart (`quire.tuning.lora`; mostly absent)
quire.json                       specs, versions, hashes, and what the writer adds (length, truncation, ...)
README.md, tokenizer files       the model card; written by the caller's functions

Folders of peft's are read too: see `quire.train.lora`.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor

from quire.core.config import Settings, parse
from quire.core.errors import BadInput, Ignored, ignore
from quire.core.example import Vocab
from quire.core.heads import HeadSpec, PositionHead, SequenceHead, TokenHead
from quire.core.spec import Backbone
from quire.nn.characters import SPELLINGS
from quire.nn.model import DECODER, Model
from quire.train.convert import QA_DROPOUT, Imported, checked, export_tensors, import_tensors, within_memory
from quire.train.families import describing, same, write_config
from quire.train.families.base import REGRESS, Family, shapes
from quire.train.lora import ADAPTER, is_lora, over_base
from quire.train.safe import read_json, read_tensors, sha256, whole_folder, write_json, write_tensors
from quire.train.sharded import MODEL, read_weights

HEADS, UPDATES, RECORD = "heads.safetensors", "lora.safetensors", "quire.json"
OWN = "quire"
"""The `model_type` of a folder in our own names."""


@dataclass(frozen=True)
class ModelFiles:
    """What a model folder holds, in our names and float32.

    `pooler` ("pooler.weight", "pooler.bias"; or empty) is the folder's pooler, for a new SequenceHead to start
    from. `labels` names the outputs of the head `classify` or `label`. `notes` says, a line each, what was absent or
    unused. `updates` are those of `Model.updates`, in their dtypes, and are in the weights already.
    """

    backbone: Backbone
    heads: Mapping[str, HeadSpec]
    state: Mapping[str, Tensor]
    labels: Sequence[str] | None = None
    pooler: Mapping[str, Tensor] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    updates: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def causal(self) -> bool:
        """Whether a Transformer was made to read left to right: its one head over the vocabulary is `lm` (GPT)."""
        over = [slot for slot, head in self.heads.items() if isinstance(head, TokenHead) and head.of == "backbone"]
        return over == ["lm"] and self.backbone.kind == "transformer"


class _Record(Settings):
    """quire.json."""

    format: Literal[1] = 1
    quire: str = ""
    torch: str = ""
    backbone: Backbone
    heads: dict[str, HeadSpec]
    labels: list[str] | None = None
    sha256: dict[str, str]
    extra: dict[str, Any]

    @model_validator(mode="after")
    def _heads_stand(self) -> Self:
        bodies = ("backbone", DECODER) if self.backbone.decoder else ("backbone",)
        for slot, head in self.heads.items():
            if isinstance(head, TokenHead) and head.of not in bodies:
                raise ValueError(f"the head {slot!r:.40} stands on {head.of!r:.40}, which is not there")
        return self


def standing(model: Model, body: str = "backbone") -> tuple[Backbone, dict[str, HeadSpec], dict[str, Tensor]]:
    """One body of a model with the tables it sees through and the heads that stand on it, named as a model of its own.

    So ELECTRA's generator, which shares the discriminator's tables, can be saved and read without it.
    """
    bodies = {body, DECODER} if body == "backbone" else {body}
    heads = {slot: spec for slot, spec in model.head_specs.items() if getattr(spec, "of", "backbone") in bodies}
    own = "backbone." if body == "backbone" else f"bodies.{body}."
    state: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name.startswith(own):
            state["backbone." + name.removeprefix(own)] = tensor
        elif name.startswith("backbone.embeddings.") or (name.startswith("heads.") and name.split(".")[1] in heads):
            state[name] = tensor
    alone = {
        slot: spec.model_copy(update={"of": "backbone"}) if isinstance(spec, TokenHead) and spec.of == body else spec
        for slot, spec in heads.items()
    }
    spec = (model.backbone if body == "backbone" else model.bodies[body]).spec
    assert isinstance(spec, Backbone)
    return spec, alone, state


def save_model(
    folder: Path,
    *,
    backbone: Backbone,
    heads: Mapping[str, HeadSpec],
    state: Mapping[str, Tensor],
    labels: Sequence[str] | None,
    tokenizer_saver: Callable[[Path], None],
    card: str,
    extra: Mapping[str, Any],
    vocab: Vocab,
    pooler: Mapping[str, Tensor] | None = None,
    updates: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a model folder whole or not at all; one that Quire wrote before under this name is replaced.

    `state` is in our names; `pooler` goes along where no head has its own; of `vocab`, theirs needs the ids of tokens
    that pad, begin and end. BadInput when the place is taken by something else or cannot be written; ValueError when
    state, specs and labels disagree.
    """
    check_place(folder)
    wanted = shapes(backbone, heads).keys()
    for name in sorted(wanted ^ state.keys()):
        raise ValueError(f"the state lacks {name!r}" if name in wanted else f"no place for {name!r}")
    family = describing(backbone, heads, pad=vocab.pad)
    name, theirs = family.architecture(heads) if family else ("", {})
    lone_state = {n: t for n, t in state.items() if n.startswith("heads.") and n.split(".")[1] not in theirs}
    tensors = {n: t for n, t in state.items() if n not in lone_state}
    # A class of theirs with an MLM head alone has no pooler.
    placed = pooler if pooler and family and "pooler.*" in family.lent and not theirs else None
    if pooler and not placed and not any(isinstance(spec, SequenceHead) for spec in theirs.values()):
        lone_state |= pooler
    config: dict[str, Any] = {"model_type": OWN}
    if family:
        held = family.held(backbone)
        tensors |= {ours: torch.zeros(shape) for ours, shape in shapes(held, {}).items() if ours not in tensors}
        config = {"architectures": [name], **write_config(held, family=family)}
        if family.pooling:
            config[family.pooling] = any(f".{n}".endswith(".pooler.weight") for n in (*tensors, *(placed or ())))
        tensors = export_tensors(tensors, backbone=held, heads=theirs, pooler=placed, family=family)
        config |= {field: getattr(vocab, role) for field, role in family.ids.items()}
        for slot, head in theirs.items():
            config |= _config_of_head(slot, head, labels, family=family, vocab=vocab)
    with whole_folder(folder) as draft:
        tokenizer_saver(draft)
        if family and not family.typed:
            _without_types(draft / "tokenizer_config.json")
        write_json(draft / "config.json", config)
        write_tensors(draft / MODEL, tensors)
        if lone_state:
            write_tensors(draft / HEADS, lone_state)
        if updates:
            write_tensors(draft / UPDATES, updates)
        (draft / "README.md").write_text(card, encoding="utf-8")
        write_record(draft, backbone=backbone, heads=heads, labels=labels, extra=extra)


def check_place(folder: Path) -> None:
    """BadInput for a folder that holds other things than Quire wrote."""
    if folder.exists() and not (folder / RECORD).is_file() and not _is_empty(folder):
        raise BadInput(f"{folder}: exists and was not written by Quire; choose another place or move it away")


def write_record(
    draft: Path,
    *,
    backbone: Backbone,
    heads: Mapping[str, HeadSpec],
    labels: Sequence[str] | None,
    extra: Mapping[str, Any],
) -> None:
    """quire.json, over the tensors that stand in the folder."""
    record = _Record(
        quire=version("quire"),
        torch=torch.__version__,
        backbone=backbone,
        heads=dict(heads),
        labels=None if labels is None else list(labels),
        sha256={path.name: sha256(path) for path in sorted(draft.glob("*.safetensors"))},
        extra=dict(extra),
    )
    write_json(draft / RECORD, record.model_dump(mode="json"))


def read_model(folder: Path) -> ModelFiles:
    """Read a model folder, ours or one of `quire.train.families`, with `config.json` and `model.safetensors`.

    Errors are one BadInput line each: no folder, a pickle, a damaged or changed file, a shard missing or outside
    the folder, weights that disagree with the configuration or are not finite, a model of another kind.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; give one with config.json and {MODEL}")
    record = _read_record(folder) if (folder / RECORD).is_file() else None
    heads = record.heads if record else None
    if is_lora(folder):
        over = over_base(folder)
        config = over.config
        found = import_tensors(over.tensors, config, where=folder, heads=heads)
        over.check(found.unused, folder)
    else:
        config = read_json(folder / "config.json")
        ignore(config if isinstance(config, dict) else {}, folder / "config.json")
        if isinstance(config, dict) and config.get("model_type") == OWN:
            return _read_own(folder, record)
        found = import_tensors(read_weights(folder), config, where=folder, heads=heads)
    if record is None:
        labels = _labels(config, found, folder / "config.json")
        notes = _notes(found.heads, found.pooler, found.unused)
        return ModelFiles(found.backbone, found.heads, found.state, labels, found.pooler, {}, notes)
    if not same(found.family.held(record.backbone), found.backbone):
        raise BadInput(f"{folder}: {RECORD} and config.json disagree; remove {RECORD} to read the folder as foreign")
    return _with_beside(folder, record, found.state, pooler=found.pooler, unused=found.unused)


def _read_own(folder: Path, record: _Record | None) -> ModelFiles:
    if record is None:
        raise BadInput(f"{folder}: no {RECORD}, which describes a model in Quire's own names; fetch the folder again")
    tensors = read_weights(folder)
    with within_memory(folder / RECORD):
        wanted = shapes(record.backbone, {})
    state = {
        name: checked(tensors, name, shape, folder / MODEL, whole=name == SPELLINGS) for name, shape in wanted.items()
    }
    return _with_beside(folder, record, state, pooler={}, unused=sorted(tensors.keys() - wanted.keys()))


def _with_beside(
    folder: Path, record: _Record, found: Mapping[str, Tensor], *, pooler: Mapping[str, Tensor], unused: Sequence[str]
) -> ModelFiles:
    """What was found in the main file, and what lies beside it."""
    if record.labels is not None and (head := _named(record.heads)):
        _fitting(record.labels, head, folder / RECORD)
    beside = read_tensors(folder / HEADS) if HEADS in record.sha256 else {}
    updates = read_tensors(folder / UPDATES) if UPDATES in record.sha256 else {}
    with within_memory(folder / RECORD):
        wanted = shapes(record.backbone, record.heads)
    state = {
        name: found[name] if name in found else checked(beside, name, shape, folder / HEADS)
        for name, shape in wanted.items()
    }
    pooler = pooler or {name: tensor for name, tensor in beside.items() if name.startswith("pooler.")}
    notes = _notes(record.heads, pooler, unused)
    return ModelFiles(record.backbone, record.heads, state, record.labels, pooler, record.extra, notes, updates)


def _config_of_head(
    slot: str, head: HeadSpec, labels: Sequence[str] | None, *, family: Family, vocab: Vocab
) -> dict[str, Any]:
    if isinstance(head, TokenHead):
        start = {"decoder_start_token_id": getattr(vocab, head.start)} if head.of == "decoder" else {}
        return start | {"tie_word_embeddings": head.tied} | dict.fromkeys(family.scaled, head.scaled)
    if isinstance(head, PositionHead) and slot == "extract":
        return {QA_DROPOUT: head.dropout}
    if not isinstance(head, SequenceHead | PositionHead) or slot not in ("classify", "label", REGRESS):
        return {}
    if slot == REGRESS:
        labels = None
    names = [f"LABEL_{i}" for i in range(head.outputs)] if labels is None else list(labels)
    if len(names) != head.outputs or len(set(names)) != len(names):
        raise ValueError(f"{len(names)} labels {names} for {head.outputs} outputs")
    kinds = {"classify": "single_label_classification", REGRESS: "regression"}
    return {
        **({family.dropout: head.dropout} if slot != "label" or slot in family.dropped else {}),
        **({"problem_type": kinds[slot]} if slot in kinds else {}),
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }


def _without_types(path: Path) -> None:
    """The configuration of a tokenizer, where there is one, for a model that takes no `token_type_ids`."""
    if path.is_file():
        write_json(path, {**read_json(path), "model_input_names": ["input_ids", "attention_mask"]})


def _labels(config: Mapping[str, Any], found: Imported, where: Path) -> list[str] | None:
    head, table = _named(found.heads), config.get("id2label")
    if head is None or table is None:
        return None
    keys = [str(i) for i in range(head.outputs)]
    if not isinstance(table, dict) or set(table) != set(keys):
        raise BadInput(f"{where}: id2label does not name the {head.outputs} outputs of the classifier; mend it")
    labels = _fitting([str(table[key]) for key in keys], head, where)
    back = config.get("label2id")
    if isinstance(back, dict) and {str(name): str(i) for name, i in back.items()} != dict(
        zip(labels, keys, strict=True)
    ):
        warnings.warn(f"{where}: label2id ignored: it does not say what id2label says", Ignored, stacklevel=3)
    return labels


def _named(heads: Mapping[str, HeadSpec]) -> SequenceHead | PositionHead | None:
    """The head whose outputs have names."""
    found = (heads.get(slot) for slot in ("classify", "label"))
    return next((head for head in found if isinstance(head, SequenceHead | PositionHead)), None)


def _fitting(labels: list[str], head: HeadSpec, where: Path) -> list[str]:
    """The labels of a classifier, if they are as many as its outputs, and each another."""
    outputs = getattr(head, "outputs", len(labels))
    if len(labels) != outputs or len(set(labels)) < outputs:
        raise BadInput(f"{where}: {len(set(labels))} different labels for {outputs} outputs of the classifier; mend it")
    return labels


def _read_record(folder: Path) -> _Record:
    record = parse(_Record, read_json(folder / RECORD), where=str(folder / RECORD))
    for name, digest in record.sha256.items():
        if name in {MODEL, HEADS, UPDATES, ADAPTER} and (folder / name).is_file() and sha256(folder / name) != digest:
            raise BadInput(
                f"{folder / name}: its sha256 is not the one in {RECORD}: damaged or changed; fetch it again, "
                f"or remove {RECORD} if you changed it"
            )
    return record


def _notes(heads: Mapping[str, HeadSpec], pooler: Mapping[str, Tensor], unused: Sequence[str]) -> list[str]:
    notes = []
    if not any(isinstance(head, TokenHead) for head in heads.values()):
        notes.append("no MLM head in this folder")
    if not pooler and not any(spec.kind == "sequence" for spec in heads.values()):
        notes.append("no pooler in this folder")
    if unused:
        names = ", ".join(unused[:3]) + (", ..." if len(unused) > 3 else "")
        notes.append(f"{len(unused)} tensors of this folder are not used: {names}")
    return notes


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
