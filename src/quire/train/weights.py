"""Model folders: what the ecosystem opens, and beside it what is ours.

config.json, model.safetensors   as transformers writes them (BERT's names), opened by its AutoModel classes
heads.safetensors                our names: heads that no architecture of theirs has a place for (often absent)
quire.json                       specs, versions, hashes, and what the writer adds (length, truncation, ...)
README.md, tokenizer files       the model card; written by the caller's functions
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from quire.core.config import Settings, parse
from quire.core.errors import BadInput
from quire.core.spec import Backbone, HeadSpec, SequenceHead
from quire.train.convert import Imported, checked, export_tensors, import_tensors
from quire.train.families import BERT, head_shapes, write_config
from quire.train.safe import pickle_refusal, read_json, read_tensors, sha256, whole_folder, write_json, write_tensors

MODEL, HEADS, RECORD = "model.safetensors", "heads.safetensors", "quire.json"
SEGMENTS = "backbone.embeddings.segments.weight"
# Their architecture for the slots it has a place for; the first that fits is taken.
_ARCHITECTURES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("BertForSequenceClassification", ("classify",)),
    ("BertForPreTraining", ("mlm", "pair")),
    ("BertForMaskedLM", ("mlm",)),
    ("BertForNextSentencePrediction", ("pair",)),
    ("BertModel", ()),
)


@dataclass(frozen=True)
class ModelFiles:
    """What a model folder holds, in our names and float32.

    `pooler` ("pooler.weight", "pooler.bias"; or empty) is the folder's pooler, for a new SequenceHead to start
    from. `labels` names the outputs of the head `classify`. `notes` says, a line each, what was absent or unused.
    """

    backbone: Backbone
    heads: Mapping[str, HeadSpec]
    state: Mapping[str, Tensor]
    labels: Sequence[str] | None = None
    pooler: Mapping[str, Tensor] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


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
    pooler: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a model folder whole or not at all; one that Quire wrote before under this name is replaced.

    `state` is in our names; `pooler` goes along where no head has its own. BadInput when the place is taken by
    something else or cannot be written; ValueError when state, specs and labels disagree.
    """
    if folder.exists() and not (folder / RECORD).is_file() and not _is_empty(folder):
        raise BadInput(f"{folder}: exists and was not written by Quire; choose another place or move it away")
    architecture, theirs = _architecture(heads)
    lone = {slot: spec for slot, spec in heads.items() if slot not in theirs}
    lone_state = {name: state[name] for slot, spec in lone.items() for name in head_shapes(backbone, slot, spec)}
    hf_backbone, hf_state = backbone, {name: tensor for name, tensor in state.items() if name not in lone_state}
    if not backbone.segments:  # theirs always add a segment: let it be zero
        hf_backbone = backbone.model_copy(update={"segments": 1})
        hf_state[SEGMENTS] = torch.zeros(1, backbone.width)
    if pooler and set(theirs) == {"mlm"}:  # BertForMaskedLM has none
        lone_state |= pooler
    tensors = export_tensors(hf_state, backbone=hf_backbone, heads=theirs, pooler=None if theirs else pooler)
    config = write_config(hf_backbone, family=BERT) | _config_of_head(theirs.get("classify"), labels)
    with whole_folder(folder) as draft:
        tokenizer_saver(draft)
        write_json(draft / "config.json", {"architectures": [architecture], **config})
        write_tensors(draft / MODEL, tensors)
        if lone_state:
            write_tensors(draft / HEADS, lone_state)
        (draft / "README.md").write_text(card, encoding="utf-8")
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
    """Read a model folder, ours or any of the BERT family with `config.json` and `model.safetensors`.

    Errors are one BadInput line each: no folder, a pickle, a damaged or changed file, a shard missing or outside
    the folder, weights that disagree with the configuration or are not finite, a model of another kind.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; give one with config.json and {MODEL}")
    config = read_json(folder / "config.json")
    record = _read_record(folder) if (folder / RECORD).is_file() else None
    found = import_tensors(_read_weights(folder), config, where=folder)
    if record is None:
        labels = _labels(config, found, folder / "config.json")
        return ModelFiles(found.backbone, found.heads, found.state, labels, found.pooler, {}, _notes(found))
    state = dict(found.state)
    backbone = record.backbone
    if not backbone.segments:
        state.pop(SEGMENTS)
        backbone = backbone.model_copy(update={"segments": 1})
    lone = {slot: spec for slot, spec in record.heads.items() if slot not in found.heads}
    same = all(slot in record.heads and record.heads[slot].kind == spec.kind for slot, spec in found.heads.items())
    if backbone != found.backbone or not same:
        raise BadInput(f"{folder}: {RECORD} and config.json disagree; remove {RECORD} to read the folder as foreign")
    lone_state = read_tensors(folder / HEADS) if HEADS in record.sha256 else {}
    for slot, spec in lone.items():
        shapes = head_shapes(backbone, slot, spec)
        state |= {name: checked(lone_state, name, shape, folder / HEADS) for name, shape in shapes.items()}
    pooler = found.pooler or {name: tensor for name, tensor in lone_state.items() if name.startswith("pooler.")}
    return ModelFiles(record.backbone, record.heads, state, record.labels, pooler, record.extra, _notes(found, lone))


def _architecture(heads: Mapping[str, HeadSpec]) -> tuple[str, dict[str, HeadSpec]]:
    kinds = {"mlm": "token", "pair": "sequence", "classify": "sequence"}
    fits = {slot for slot, spec in heads.items() if kinds.get(slot) == spec.kind}
    if isinstance(pair := heads.get("pair"), SequenceHead) and pair.outputs != 2:  # theirs has two, always
        fits.discard("pair")
    for name, slots in _ARCHITECTURES:
        if fits.issuperset(slots):
            return name, {slot: heads[slot] for slot in slots}
    raise AssertionError("BertModel needs no head")


def _config_of_head(head: HeadSpec | None, labels: Sequence[str] | None) -> dict[str, Any]:
    if not isinstance(head, SequenceHead):
        return {}
    names = [f"LABEL_{i}" for i in range(head.outputs)] if labels is None else list(labels)
    if len(names) != head.outputs or len(set(names)) != len(names):
        raise ValueError(f"{len(names)} labels {names} for {head.outputs} outputs")
    return {
        "classifier_dropout": head.dropout,
        "problem_type": "single_label_classification",
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }


def _labels(config: dict[str, Any], found: Imported, where: Path) -> list[str] | None:
    head, table = found.heads.get("classify"), config.get("id2label")
    if not isinstance(head, SequenceHead) or table is None:
        return None
    keys = [str(i) for i in range(head.outputs)]
    if not isinstance(table, dict) or set(table) != set(keys):
        raise BadInput(f"{where}: id2label does not name the {head.outputs} outputs of the classifier; mend it")
    return [str(table[key]) for key in keys]


def _read_record(folder: Path) -> _Record:
    record = parse(_Record, read_json(folder / RECORD), where=str(folder / RECORD))
    for name, digest in record.sha256.items():
        if name in {MODEL, HEADS} and (folder / name).is_file() and sha256(folder / name) != digest:
            raise BadInput(
                f"{folder / name}: its sha256 is not the one in {RECORD}: damaged or changed; fetch it again, "
                f"or remove {RECORD} if you changed it"
            )
    return record


def _read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of `model.safetensors`, or of the shards that its index names."""
    if (folder / MODEL).exists():
        return read_tensors(folder / MODEL)
    index = folder / f"{MODEL}.index.json"
    if not index.exists():
        for pickle in sorted(path for end in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(end)):
            raise BadInput(pickle_refusal(pickle))
        raise BadInput(f"{folder}: no {MODEL} in this folder; fetch the model again")
    content = read_json(index)
    shard_of = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(shard_of, dict) or not all(isinstance(shard, str) for shard in shard_of.values()):
        raise BadInput(f"{index}: no weight_map from names to files; fetch the model again")
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(shard_of.values())):
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise BadInput(f"{index}: {shard!r} is not a safetensors file of this folder; do not trust this model")
        part = read_tensors(folder / shard)
        if odd := sorted(name for name in part if shard_of.get(name) != shard):
            raise BadInput(f"{folder / shard}: holds {odd[0]!r}, which the index places elsewhere; fetch it again")
        tensors |= part
    if lost := sorted(shard_of.keys() - tensors.keys()):
        raise BadInput(f"{index}: no shard holds {lost[0]!r}, which the index names; fetch the model again")
    return tensors


def _notes(found: Imported, lone: Iterable[str] = ()) -> list[str]:
    notes = []
    if "mlm" not in {*found.heads, *lone}:
        notes.append("no MLM head in this folder")
    if not found.pooler and not any(spec.kind == "sequence" for spec in found.heads.values()):
        notes.append("no pooler in this folder")
    if found.unused:
        names = ", ".join(found.unused[:3]) + (", ..." if len(found.unused) > 3 else "")
        notes.append(f"{len(found.unused)} tensors of this folder are not used: {names}")
    return notes


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
