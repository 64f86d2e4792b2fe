"""Safetensors files: damage is one line, what only looks odd is read, and nothing depends on the file afterwards."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from quire.core.errors import BadInput
from quire.train.safe import read_tensors, write_tensors


def entry(start: int, stop: int, **changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [(stop - start) // 4], "data_offsets": [start, stop], **changes}


def header(tensors: dict[str, Any], data: int = 64, size: int | None = None) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + bytes(data)


DUPLICATE = json.dumps({"a": entry(0, 32), "b": entry(0, 64)}).replace('"b"', '"a"').encode()
FILES = {
    "empty": b"",
    "header past the end": header({"a": entry(0, 64)}, size=10**6),
    "header over 100 MB": header({"a": entry(0, 64)}, size=10**9),
    "overlap": header({"a": entry(0, 64), "b": entry(32, 64)}),
    "hole": header({"a": entry(0, 16), "b": entry(32, 64)}),
    "out of range": header({"a": entry(0, 6400)}),
    "truncated": header({"a": entry(0, 64)}, data=63),
    "bytes after the end": header({"a": entry(0, 64)}, data=65),
    "size against shape": header({"a": entry(0, 64, shape=[5])}),
    "unknown dtype": header({"a": entry(0, 64, dtype="F33")}),
    "dtype without a torch": header({"a": entry(0, 48, dtype="F6_E2M3", shape=[64])}, data=48),
    "duplicate name": struct.pack("<Q", len(DUPLICATE)) + DUPLICATE + bytes(64),
    "not JSON": struct.pack("<Q", 8) + b"nonsense" + bytes(64),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_damaged_safetensors_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"model\.safetensors: ") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)
    assert "pickle" not in str(caught.value)


def test_a_header_that_starts_like_a_pickle_is_read(tmp_path: Path) -> None:
    text = json.dumps({"a": entry(0, 64)}).encode().ljust(0x0280)
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", 0x0280) + text + bytes(64))
    assert (tmp_path / "m.safetensors").read_bytes().startswith(b"\x80\x02")
    assert read_tensors(tmp_path / "m.safetensors")["a"].equal(torch.zeros(16))


def test_tensors_do_not_change_when_the_file_does(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.ones(1000)}, path)
    tensor = read_tensors(path)["a"]
    with path.open("r+b") as file:
        file.seek(-4000, 2)
        file.write(bytes(4000))
    assert tensor.equal(torch.ones(1000))


def test_written_files_can_be_read_by_others(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(1)})
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == 0o644
