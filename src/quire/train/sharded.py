"""The weights of a model folder: one safetensors file, or several (shards) and an index that says which holds what.

The index is the word of a stranger: it may name files of its own folder alone, and they must hold what it says, no
more and no less.
"""

import os.path
from pathlib import Path

from torch import Tensor

from quire.core.errors import BadInput
from quire.train.safe import pickle_refusal, read_json, read_tensors

MODEL = "model.safetensors"


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of `model.safetensors`, or of the shards that `model.safetensors.index.json` names.

    BadInput, one line: neither is there; a shard outside the folder, missing or damaged; a tensor that the index
    promises and its shard lacks, or the other way round.
    """
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
        if not _is_of(folder, shard):
            raise BadInput(f"{index}: {shard!r} is not a safetensors file of this folder; do not trust this model")
        if not (folder / shard).exists():
            raise BadInput(f"{folder / shard}: no such file, but {index.name} names it; fetch the model again, whole")
        part = read_tensors(folder / shard)
        for name in sorted(part):
            if shard_of.get(name) != shard:
                where = "places elsewhere" if name in shard_of else "does not name"
                raise BadInput(f"{folder / shard}: holds {name!r}, which the index {where}; fetch the model again")
        tensors |= part
    if lost := sorted(shard_of.keys() - tensors.keys()):
        raise BadInput(f"{folder / shard_of[lost[0]]}: lacks {lost[0]!r}, which the index names; fetch the model again")
    return tensors


def _is_of(folder: Path, shard: str) -> bool:
    """Whether a name is that of a safetensors file right in a folder, which no link leads out of.

    But for the hub's cache, where each file of `snapshots/<commit>` is a link into `blobs` beside `snapshots`.
    """
    if Path(shard).name != shard or not shard.endswith(".safetensors") or not shard.isprintable():
        return False
    home = Path(os.path.realpath(folder))
    return Path(os.path.realpath(folder / shard)).parent in {home, home.parent.parent / "blobs"}
