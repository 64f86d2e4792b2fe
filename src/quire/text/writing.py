"""Write a corpus of token shards, streaming: memory holds one batch of documents, whatever the corpus."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import accumulate
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

BATCH = 1 << 20  # characters encoded, and numbers written, together


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
    with _disk(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    writer = _Writer(part, tokenizer, shard_tokens)
    try:
        for document in _encoded(documents, tokenizer, segment):
            with _disk(folder):  # an error of the reader is not one of this disk
                writer.add(document)
        with _disk(folder):
            writer.finish(at_least=max(at_least, 1))
            part.rename(folder)
    finally:
        writer.abandon()
        shutil.rmtree(part, ignore_errors=True)
    return Shards.open(folder)


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(f"{folder}: cannot be written: {error}") from error


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


class _Stream:
    """A file of numbers that is hashed while it is written, many arrays at a time."""

    def __init__(self, path: Path, dtype: str) -> None:
        self.file = path.open("wb")
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.hash = hashlib.sha256()
        self.size = 0
        self._held: list[npt.NDArray[np.generic]] = []
        self._count = 0

    def write(self, values: npt.NDArray[np.generic]) -> None:
        self._held.append(values)
        self._count += len(values)
        if self._count >= BATCH:
            self._flush()

    def _flush(self) -> None:
        if held := self._held:
            self._held, self._count = [], 0
            data = np.concatenate(held).astype(self.dtype).tobytes()
            self.file.write(data)
            self.hash.update(data)
            self.size += len(data)

    def close(self) -> None:
        try:
            self._flush()
        finally:
            self.file.close()


class _Writer:
    """The files of a corpus while it grows."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, shard_tokens: int) -> None:
        self.folder, self.tokenizer, self.shard_tokens = folder, tokenizer, shard_tokens
        self.dtype: Any = "uint16" if tokenizer.vocab.size <= 1 << 16 else "uint32"
        self.files: dict[str, _Stream] = {}
        self.shards: list[int] = []
        self.tokens = self.documents = self.sentences = self.skipped = 0
        self.counts = np.zeros(tokenizer.vocab.size, dtype=np.int64)

    def add(self, document: list[Passage]) -> None:
        if not document:
            self.skipped += 1
            return
        if not self.shards or self.shards[-1] >= self.shard_tokens:
            self.shards.append(0)
        shard = len(self.shards) - 1
        bounds = list(accumulate(map(len, document), initial=self.tokens))
        for sentence in document:
            np.add.at(self.counts, sentence.tokens, 1)
            self._stream(f"tokens-{shard:05}.bin", self.dtype).write(sentence.tokens)
            self._stream(f"starts-{shard:05}.bin", "uint8").write(sentence.starts)
        self._stream("documents.bin", "int64").write(np.array(bounds[:1]))
        self._stream("sentences.bin", "int64").write(np.array(bounds[:-1]))
        self.shards[-1] += bounds[-1] - self.tokens
        self.tokens = bounds[-1]
        self.documents += 1
        self.sentences += len(document)

    def _stream(self, name: str, dtype: str) -> _Stream:
        if name not in self.files:
            self.files[name] = _Stream(self.folder / name, dtype)
        return self.files[name]

    def finish(self, *, at_least: int) -> None:
        if self.tokens < at_least:
            raise BadInput(f"the corpus has {self.tokens:,} tokens; {at_least:,} or more are needed")
        for name in ("documents.bin", "sentences.bin"):
            self._stream(name, "int64").write(np.array([self.tokens]))
        self._stream("counts.bin", "int64").write(self.counts)
        for stream in self.files.values():
            stream.close()
        (self.folder / "index.json").write_text(self.index().model_dump_json(indent=1), encoding="utf-8")
        self.folder.chmod(0o755)  # mkdtemp's folder is its owner's alone

    def abandon(self) -> None:
        """Close what is still open, and do not care whether it reaches the disk."""
        for stream in self.files.values():
            with suppress(OSError):
                stream.close()

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
