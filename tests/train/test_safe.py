"""Safetensors files: damage is one line, what only looks odd is read, and nothing depends on the file afterwards."""

import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from quire.core.errors import BadInput
from quire.train.safe import read_json, read_tensors, write_lines, write_tensors, write_whole


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
    "nested deep": struct.pack("<Q", 600_000) + b'{"a":' * 120_000 + bytes(64),
    "not UTF-8": struct.pack("<Q", 4) + b'{"\xff"' + bytes(64),
    "a list": struct.pack("<Q", 2) + b"[]" + bytes(64),
    "negative sizes": header({"a": entry(0, 64, shape=[-4, -4])}),
    "a product of 2^64 + 16": header({"a": entry(0, 64, shape=[2**32, 2**32, 16])}),
    "a size beyond 64 bits": header({"a": entry(0, 64, shape=[2**64])}),
    "offsets backwards": header({"a": entry(0, 64, data_offsets=[64, 0])}),
    "negative offsets": header({"a": entry(0, 64, data_offsets=[-64, 0])}),
    "no offsets": header({"a": {"dtype": "F32", "shape": [16]}}),
    "a size of a half": header({"a": entry(0, 64, shape=[16.5])}),
    "metadata of numbers": header({"__metadata__": {"format": 1}, "a": entry(0, 64)}),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_damaged_safetensors_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"model\.safetensors: ") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)
    assert "pickle" not in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_good_file_with_any_bytes_changed_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.safetensors"
    content = bytearray(header({"a": entry(0, 32, dtype="BF16", shape=[4, 4]), "b": entry(32, 64)}))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 64))
        new = data.draw(st.binary(max_size=3) | st.sampled_from([b"9", b"0", b"-", b"[", b"{", b'"', b"null", b"1e9"]))
        content[at : at + data.draw(st.integers(0, 3))] = new
    path.write_bytes(content)
    said, size = "", 0
    try:
        size = sum(tensor.nbytes for tensor in read_tensors(path).values())
    except BadInput as error:
        said = str(error)
    assert size <= 64
    assert "\n" not in said


@pytest.mark.parametrize("read", [read_tensors, read_json])
def test_what_has_no_end_is_not_read(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "zeros", tmp_path):
        with pytest.raises(BadInput, match="not a plain file"):
            read(path)


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


def test_a_text_that_cannot_be_written_leaves_no_draft(tmp_path: Path) -> None:
    def broken() -> Iterator[str]:
        yield "one\n"
        raise RuntimeError("the second line")

    (tmp_path / "text").write_text("before", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RuntimeError, match="the second line"):
        write_lines(tmp_path / "text", broken())
    with pytest.raises(OSError, match="folder"):
        write_whole(tmp_path / "folder", "a text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "text"]
    assert (tmp_path / "text").read_text(encoding="utf-8") == "before"
