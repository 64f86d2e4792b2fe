"""Corpora larger than memory: tokens on disk, memory-mapped, with O(1) access to any document or sentence.

    index.json                      counts, the tokenizer's fingerprint, sha256 of every file, fingerprint of all
    tokens-00000.bin ...            uint16 when the vocabulary has at most 65,536 tokens, else uint32
    starts-00000.bin ...            uint8, 1 where a token begins a word
    documents.bin, sentences.bin    int64, where each begins; the last entry is the number of tokens
    counts.bin                      int64, how often each token of the vocabulary occurs
    *.npy                           what follows from these, kept from its first use on (`Shards.kept`)

Legend: N tokens of the corpus, D documents, T sentences, V vocabulary.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from quire.core.config import Settings, parse
from quire.core.errors import BadInput
from quire.core.example import Ints, Passage
from quire.core.random import Rng

CHUNK = 1 << 22  # tokens looked at together when counting pairs

Count = Annotated[int, Field(ge=0)]


class File(Settings):
    """What a file of a corpus must be."""

    bytes: Count
    sha256: str


class Index(Settings):
    """The content of index.json."""

    format: Literal[2] = 2
    tokens: Count
    documents: Count
    sentences: Count
    skipped: Count  # documents without a token
    dtype: Literal["uint16", "uint32"]
    vocabulary: Count
    tokenizer: str
    shards: list[Count]  # tokens of each
    files: dict[str, File]
    fingerprint: str = ""

    def total(self) -> str:
        """sha256 of everything above, the hashes of the files among it: equal totals, equal corpora."""
        data = self.model_dump(mode="json", exclude={"fingerprint"})
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Entropies:
    """What a model must beat, in nats per token. Plug-in estimates from counts.

    Plug-in entropy is too low, by about (distinct - 1) / (2 * N) (Miller 1955): little for single tokens, much for
    pairs in a small corpus, where most occur once. So `bigram` is a floor that no honest model need reach.
    """

    unigram: float  # H(x_t): the loss of a model that knows frequencies and nothing else
    bigram: float  # H(x_t | x_t-1), within documents
    floor: float  # share of the most frequent token: the accuracy of a model that always says it


@dataclass(frozen=True, eq=False)
class Shards:
    """A corpus on disk; every access reads only what it returns."""

    folder: Path
    index: Index

    @classmethod
    def open(cls, folder: Path, *, tokenizer: str | None = None, verify: bool = False) -> Shards:
        """Open a corpus that `quire.text.writing.write` wrote.

        BadInput when a file is missing or has not the size of the index, the index was altered, or `tokenizer`
        (a fingerprint) is not the one that made it; with `verify`, also when any byte has changed.
        """
        path = folder / "index.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BadInput(f"{path}: no such file; {folder} is not a written corpus") from None
        except (OSError, ValueError) as error:
            raise BadInput(f"{path}: cannot be read: {error}") from error
        index = parse(Index, data, where=str(path))
        if index.fingerprint != index.total():
            raise BadInput(f"{path}: altered since it was written (fingerprint differs); write the corpus anew")
        if tokenizer not in (None, index.tokenizer):
            raise BadInput(f"{folder}: made by another tokenizer ({index.tokenizer[:12]}, not {tokenizer[:12]}); "
                           "write the corpus anew with this one")  # fmt: skip
        for name, file in index.files.items():
            _check(folder / name, file, verify=verify)
        return cls(folder, index)

    def __len__(self) -> int:
        return self.index.tokens

    @property
    def fingerprint(self) -> str:
        """Changes when any token, word, sentence or document boundary does."""
        return self.index.fingerprint

    @cached_property
    def _tokens(self) -> list[npt.NDArray[np.generic]]:
        return [self._map(f"tokens-{i:05}.bin", self.index.dtype) for i in range(len(self.index.shards))]

    @cached_property
    def _starts(self) -> list[npt.NDArray[np.generic]]:
        return [self._map(f"starts-{i:05}.bin", "uint8") for i in range(len(self.index.shards))]

    @cached_property
    def _first(self) -> Ints:
        """[shards + 1] the place in the corpus where each shard begins."""
        return np.concatenate([[0], np.cumsum(self.index.shards)]).astype(np.int64)

    @cached_property
    def document_bounds(self) -> Ints:
        """[D + 1] where each document begins, and N."""
        return self._map("documents.bin", "int64").astype(np.int64, copy=False)

    @cached_property
    def sentence_bounds(self) -> Ints:
        """[T + 1] where each sentence begins, and N; every document begins a sentence."""
        return self._map("sentences.bin", "int64").astype(np.int64, copy=False)

    def _map(self, name: str, dtype: str) -> npt.NDArray[np.generic]:
        found = np.memmap(self.folder / name, dtype=np.dtype(dtype).newbyteorder("<"), mode="r")
        return np.asarray(found)  # the same memory; slices of a memmap cost ten times those of an array

    @property
    def documents(self) -> Ints:
        """[D] the place where each document begins."""
        return self.document_bounds[:-1]

    def document(self, i: int) -> Passage:
        """Document i, whole."""
        start, stop = self.document_bounds[i : i + 2].tolist()
        return self._read(start, stop, i)

    def sentences(self, i: int) -> list[Passage]:
        """The sentences of document i."""
        bounds = self._sentences_of(i)
        whole = self._read(int(bounds[0]), int(bounds[-1]), i)
        cuts = (bounds - bounds[0]).tolist()
        return [whole[a:b] for a, b in pairwise(cuts)]

    def _sentences_of(self, i: int) -> Ints:
        """The sentence bounds from the beginning of document i to its end, both included."""
        first, last = np.searchsorted(self.sentence_bounds, self.document_bounds[i : i + 2])
        return self.sentence_bounds[first : last + 1]

    def slice(self, start: int, stop: int) -> Passage:
        """Tokens [start, stop) of the corpus, across documents; `document` is that of the first token."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"[{start}, {stop}) of a corpus of {len(self)} tokens")
        return self._read(start, stop, int(np.searchsorted(self.document_bounds, start, side="right")) - 1)

    def passage(self, length: int, rng: Rng) -> Passage:
        """At most `length` tokens from a random sentence of a random document on: `World.passage`."""
        document = int(rng.integers(len(self.documents)))
        bounds = self._sentences_of(document)
        start = int(bounds[rng.integers(len(bounds) - 1)])
        return self._read(start, min(start + length, int(bounds[-1])), document)

    def _read(self, start: int, stop: int, document: int) -> Passage:
        tokens, starts = [], []
        shard = int(np.searchsorted(self._first, start, side="right")) - 1
        while start < stop:
            offset = int(self._first[shard])
            end = min(stop, int(self._first[shard + 1]))
            tokens.append(self._tokens[shard][start - offset : end - offset])
            starts.append(self._starts[shard][start - offset : end - offset])
            start, shard = end, shard + 1
        if not tokens:
            return Passage(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool), document)
        return Passage(np.concatenate(tokens).astype(np.int64), np.concatenate(starts).astype(bool), document)

    def kept(self, name: str, make: Callable[[], Ints]) -> Ints:
        """Numbers that follow from the corpus alone: made once, then a file beside it.

        Where no file can be written they are made each time.
        """
        path = self.folder / f"{name}-{self.fingerprint[:16]}.npy"
        if (found := _mapped(path)) is not None:
            return found
        made = make()
        _keep(path, made)
        found = _mapped(path)
        return made if found is None else found

    def unigram_counts(self) -> Ints:
        """[V] how often each token occurs."""
        return self._map("counts.bin", "int64").astype(np.int64, copy=False)

    def entropies(self) -> Entropies:
        """Unigram and bigram entropy of the corpus; memory grows with the distinct pairs alone."""
        single = self.unigram_counts()
        pairs, counts = _merged(list(self._pairs()))
        before = np.zeros(self.index.vocabulary, dtype=np.int64)
        np.add.at(before, pairs // self.index.vocabulary, counts)
        bigram = _entropy(counts) - _entropy(before) if len(counts) else 0.0
        return Entropies(_entropy(single), bigram, float(single.max() / single.sum()))

    def _pairs(self) -> Iterator[tuple[Ints, Ints]]:
        """Distinct neighbours, as before * V + after, with their counts, chunk by chunk and merged as they grow."""
        pending: list[tuple[Ints, Ints]] = []
        for start in range(0, len(self) - 1, CHUNK):
            stop = min(start + CHUNK + 1, len(self))  # one more: the pair across the chunk's end
            tokens = self._read(start, stop, 0).tokens
            keys = tokens[:-1] * self.index.vocabulary + tokens[1:]
            first, last = np.searchsorted(self.document_bounds, [start + 1, stop])
            inside = np.ones(len(keys), dtype=bool)
            inside[self.document_bounds[first:last] - start - 1] = False  # the pair that ends where a document begins
            unique, counts = np.unique(keys[inside], return_counts=True)
            pending.append((unique, counts.astype(np.int64)))
            while len(pending) > 1 and len(pending[-1][0]) * 2 > len(pending[-2][0]):
                pending[-2:] = [_merged(pending[-2:])]
        yield from pending


def _mapped(path: Path) -> Ints | None:
    """The numbers of a file, as memory; None where it is missing, cut or empty."""
    try:
        return np.asarray(np.load(path, mmap_mode="r"))
    except (OSError, ValueError, EOFError):
        return None


def _keep(path: Path, numbers: Ints) -> None:
    """Write them whole or not at all; several processes may do so at once."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            np.save(file, numbers)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)


def _merged(parts: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    """Sums of the counts of equal keys."""
    if not parts:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    keys, where = np.unique(np.concatenate([keys for keys, _ in parts]), return_inverse=True)
    counts = np.zeros(len(keys), dtype=np.int64)
    np.add.at(counts, where, np.concatenate([counts for _, counts in parts]))
    return keys, counts


def _entropy(counts: Ints) -> float:
    """-sum p ln p, by the plug-in estimate."""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


def _check(path: Path, file: File, *, verify: bool) -> None:
    if not path.is_file():
        raise BadInput(f"{path}: missing; write the corpus anew")
    if (size := path.stat().st_size) != file.bytes:
        raise BadInput(f"{path}: {size:,} bytes, not {file.bytes:,}: cut or altered; write the corpus anew")
    if verify:
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != file.sha256:
                raise BadInput(f"{path}: altered since it was written (sha256 differs); write the corpus anew")
