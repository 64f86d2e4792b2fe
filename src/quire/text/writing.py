"""Write a corpus of token shards, streaming: memory holds one batch of documents, whatever the corpus."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import numpy.typing as npt

from quire.core.errors import BadInput
from quire.core.example import Passage
from quire.text.corpus import sentences
from quire.text.shards import File, Index, Shards
from quire.text.tokenizers import Tokenizer
from quire.text.words import Segmenter

BATCH = 1 << 20  # characters encoded together


def write(
    folder: Path,
    documents: Iterable[str],
    *,
    tokenizer: Tokenizer,
    segment: Segmenter | None = None,
    shard_tokens: int = 1 << 28,
    at_least: int = 1,
) -> Shards:
    """Encode `documents` sentence by sentence into a new corpus at `folder`; documents without a token are skipped.

    A document lies in one shard; a shard ends after the document that fills it with `shard_tokens`.
    BadInput when `folder` exists, cannot be written, or the corpus has fewer than `at_least` tokens.
    """
    if folder.exists():
        raise BadInput(f"{folder}: exists already; remove it or name another folder")
    part: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
        writer = _Writer(part, tokenizer, shard_tokens)
        try:
            for encoded in _encoded(documents, tokenizer, segment):
                writer.add(encoded)
        finally:
            writer.close()
        if writer.tokens < max(at_least, 1):
            raise BadInput(f"the corpus has {writer.tokens:,} tokens; {max(at_least, 1):,} or more are needed")
        (part / "index.json").write_text(writer.index().model_dump_json(indent=1), encoding="utf-8")
        part.chmod(0o755)  # mkdtemp's folder is its owner's alone
        part.rename(folder)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written: {error}") from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
    return Shards.open(folder)


def _encoded(documents: Iterable[str], tokenizer: Tokenizer, segment: Segmenter | None) -> Iterator[list[Passage]]:
    """For each document its sentences that have tokens."""
    for batch in _batches(documents):
        cut = [sentences(document) for document in batch]
        passages = iter(tokenizer.encode([s for document in cut for s in document], segment=segment))
        for document in cut:
            found = [next(passages) for _ in document]
            yield [passage for passage in found if len(passage)]


def _batches(documents: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    yield batch


class _Writer:
    """The files of a corpus while it grows."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, shard_tokens: int) -> None:
        self.folder, self.tokenizer, self.shard_tokens = folder, tokenizer, shard_tokens
        self.dtype: Any = "uint16" if tokenizer.vocab.size <= 1 << 16 else "uint32"
        self.files: dict[str, _Stream] = {}
        self.shards: list[int] = []
        self.tokens = self.documents = self.sentences = self.skipped = 0

    def add(self, document: list[Passage]) -> None:
        if not document:
            self.skipped += 1
            return
        if not self.shards or self.shards[-1] >= self.shard_tokens:
            self.shards.append(0)
        lengths = [len(sentence) for sentence in document]
        bounds = self.tokens + np.cumsum([0, *lengths[:-1]])
        self._append("documents.bin", bounds[:1], "int64")
        self._append("sentences.bin", bounds, "int64")
        shard = len(self.shards) - 1
        self._append(f"tokens-{shard:05}.bin", np.concatenate([s.tokens for s in document]), self.dtype)
        self._append(f"starts-{shard:05}.bin", np.concatenate([s.starts for s in document]), "uint8")
        self.tokens += sum(lengths)
        self.shards[-1] += sum(lengths)
        self.documents += 1
        self.sentences += len(document)

    def _append(self, name: str, values: npt.NDArray[np.generic], dtype: str) -> None:
        if name not in self.files:
            self.files[name] = _Stream(self.folder / name)
        self.files[name].write(values.astype(np.dtype(dtype).newbyteorder("<")).tobytes())

    def close(self) -> None:
        for name in ("documents.bin", "sentences.bin"):
            self._append(name, np.array([self.tokens]), "int64")
        for stream in self.files.values():
            stream.file.close()

    def index(self) -> Index:
        files = {name: File(bytes=s.size, sha256=s.hash.hexdigest()) for name, s in sorted(self.files.items())}
        index = Index(
            tokens=self.tokens,
            documents=self.documents,
            sentences=self.sentences,
            skipped=self.skipped,
            dtype=self.dtype,
            vocabulary=self.tokenizer.vocab.size,
            tokenizer=self.tokenizer.fingerprint,
            shards=self.shards,
            files=files,
        )
        return index.model_copy(update={"fingerprint": index.total()})


class _Stream:
    """A file that is hashed while it is written."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.hash.update(data)
        self.size += len(data)
