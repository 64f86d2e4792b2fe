"""Tensors and folders on disk, read with suspicion and written whole: no pickle, nothing half-written."""

import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from quire.core.errors import BadInput


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU, in the file's dtypes.

    The safetensors library refuses a header past the end or over 100 MB, holes, overlaps, unknown dtypes and sizes
    that disagree with the shape; duplicate names it lets pass (the last one wins), so they are refused here.
    """
    if path.exists() and not path.is_file():  # a pipe or a device would be read for ever
        raise BadInput(f"{path}: not a plain file; fetch it again")
    try:
        with safe_open(path, framework="pt") as file:
            _refuse_duplicates(path)
            # The library gives views of the mapped file, which change when the file does: keep copies.
            return {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118, no Mapping
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from error
    except (SafetensorError, AttributeError) as error:  # AttributeError: a dtype that this torch does not have
        if _is_pickle(path):
            raise BadInput(pickle_refusal(path)) from None
        raise BadInput(f"{path}: not an intact safetensors file ({error}); fetch or save it again") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file; strided tensors become contiguous, and one storage under two names is written twice."""
    seen: set[int] = set()
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu()
        storage = tensor.untyped_storage().data_ptr()
        plain[name] = tensor.clone(memory_format=torch.contiguous_format) if storage in seen else tensor.contiguous()
        seen.add(storage)
    try:
        save_file(plain, path, metadata={"format": "pt"})
    except SafetensorError as error:
        if code := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error
        raise
    path.chmod(0o644)  # the library leaves 0600; the folder's own mode, which honours the umask, guards it


def pickle_refusal(path: Path) -> str:
    """The one line for a file that could run code when read."""
    return (
        f"{path}: a pickle can run code when it is read, so Quire reads none; if you trust its source, open it with "
        "transformers, and its save_pretrained writes safetensors"
    )


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """The content of a JSON file, or a BadInput that names the file and the place."""
    if path.exists() and not path.is_file():
        raise BadInput(f"{path}: not a plain file; fetch it again")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise BadInput(f"{path}: not valid JSON: {error}") from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and programs: indented, keys in the given order."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_whole(path: Path, text: str) -> None:
    """Write a text file that is either whole or, after a crash, as it was before."""
    write_lines(path, [text])


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """The same for lines, with their ends, of a text that need not fit into memory."""
    draft = path.with_name(f"{path.name}.tmp")
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.writelines(lines)
        _sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync(path.parent)


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """A new folder to fill; when the block ends well it is synced and takes the name `final`, else it vanishes.

    It grows beside `final` as `.<name>.partial`. A folder that has the name already steps aside as `.<name>.old`
    until the new one stands, so at every moment one of the two is complete. OSErrors become BadInput.
    """
    partial, old = final.with_name(f".{final.name}.partial"), aside(final)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        for path in (*partial.rglob("*"), partial):
            _sync(path)
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
        partial.rename(final)
        _sync(final.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        where = "" if error.filename is None else f" ({error.filename})"
        raise BadInput(
            f"{final}: cannot be written: {error.strerror or error}{where}; free some space or choose another place"
        ) from error
    finally:
        if old.exists() and not final.exists():
            old.rename(final)
        shutil.rmtree(partial, ignore_errors=True)


def aside(folder: Path) -> Path:
    """Where a folder waits while its successor takes its name."""
    return folder.with_name(f".{folder.name}.old")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_duplicates(path: Path) -> None:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = file.read(size)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, times in Counter(name for name, _ in pairs).items():
            if times > 1:
                raise BadInput(f"{path}: the header names {name!r} twice; fetch or save the file again")
        return dict(pairs)

    json.loads(header, object_pairs_hook=unique)


def _is_pickle(path: Path) -> bool:
    """Whether a file that is no safetensors file starts like a zip (torch.save) or a pickle of protocol 2 or later.

    To be asked only after safetensors has failed: a valid header of 640 bytes starts with 0x80 0x02 as well.
    """
    with path.open("rb") as file:
        start = file.read(2)
    return start == b"PK" or (start[:1] == b"\x80" and start[1:] in {b"\x02", b"\x03", b"\x04", b"\x05"})
