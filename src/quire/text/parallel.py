"""Text in several languages: XLM's streams and its pairs of translations (Lample and Conneau 2019; survey: XLM).

Both are asked for hidden tokens by the same objective, `mlm`. In a pair the model may look for them in the
translation (TLM). Each language has token shards of its own; of translations, document i is the same in all.

XLM has one symbol, </s>, where BERT has [CLS] before and [SEP] behind: its `</s> x </s>` is `[CLS] x [SEP]` here.
Legend: L positions of one sequence, D documents.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import numpy as np

from quire.core.errors import BadInput, nearest
from quire.core.example import Example, Vocab
from quire.core.random import rng
from quire.text.corpus import Mixture
from quire.text.packing import Chunks
from quire.text.records import iter_column, iter_texts
from quire.text.shards import Shards

Texts: TypeAlias = Callable[[], Iterable[str]]
"""The texts of a language; may be called more than once."""


class Streams:
    """Full blocks of one language each (XLM's MLM: streams of 256 tokens, sections 3.1 and 3.3).

    A language of n blocks is drawn with a rate proportional to n^alpha; a small one begins again when it is through.
    XLM fills a batch with one language, here they are mixed in it; the rates are the same.
    """

    def __init__(
        self, corpora: Mapping[str, Shards], vocab: Vocab, *, length: int, alpha: float = 0.7, seed: int = 0
    ) -> None:
        self.vocab = vocab
        self.blocks = {name: Chunks(shards, length=length - 2, full=True) for name, shards in corpora.items()}
        self.ids = {name: number for number, name in enumerate(corpora)}
        self.mixture = Mixture({name: len(blocks) ** alpha for name, blocks in self.blocks.items()}, seed=seed)
        told = "/".join(f"{name}={shards.fingerprint}" for name, shards in corpora.items())
        self.fingerprint = f"{told}/Streams/{length}/{alpha}"

    def __len__(self) -> int:
        return sum(map(len, self.blocks.values()))

    def example(self, index: int, *, epoch: int) -> Example:
        name, place = self.mixture.at(epoch * len(self) + index)
        laid = Example.of(self.vocab, self.blocks[name].chunk(place % len(self.blocks[name])))
        return replace(laid, languages=np.full(len(laid), self.ids[name]))


class Parallel:
    """`[CLS] x [SEP] [CLS] y [SEP]`, where the positions of y count from 0 again (XLM's TLM, section 3.4).

    Two languages are drawn for each example, in random order, as XLM's list of pairs has en-fr and fr-en. Pairs that
    are longer than `length` together are left out, as XLM does (`remove_long_sentences`).
    """

    def __init__(self, corpora: Mapping[str, Shards], vocab: Vocab, *, length: int, seed: int = 0) -> None:
        self.shards, self.vocab, self.seed = _side_by_side(corpora), vocab, seed
        sizes_LD = np.stack([np.diff(shards.document_bounds) for shards in self.shards])
        self.kept = np.flatnonzero(np.sort(sizes_LD, axis=0)[-2:].sum(axis=0) <= length - 4)
        if not len(self.kept):
            raise BadInput(f"data.length {length}: no pair of translations is as short as that; take more")
        told = "/".join(f"{name}={shards.fingerprint}" for name, shards in corpora.items())
        self.fingerprint = f"{told}/Parallel/{length}"

    def __len__(self) -> int:
        return len(self.kept)

    def example(self, index: int, *, epoch: int) -> Example:
        one, two = rng(self.seed, "languages", epoch, index).permutation(len(self.shards))[:2]
        x, y = (self.shards[language].document(int(self.kept[index])) for language in (one, two))
        cls, sep = (self.vocab.cls, 0), (self.vocab.sep, 0)
        sizes = [len(x) + 2, len(y) + 2]
        return replace(
            Example.laid(self.vocab, cls, (x, 0), sep, cls, (y, 0), sep),
            positions=np.concatenate([np.arange(size) for size in sizes]),
            languages=np.repeat([one, two], sizes),
        )


class Translations:
    """`[CLS] x [SEP]`, beside which a decoder writes the translation `y [SEP]` behind a [SEP].

    Source and target are the two corpora in their order, and nothing is asked for yet. Pairs of which a side is longer
    than `length` are left out.
    """

    def __init__(self, corpora: Mapping[str, Shards], vocab: Vocab, *, length: int) -> None:
        self.source, self.target = _side_by_side(corpora)
        self.vocab = vocab
        fits = [
            np.diff(shards.document_bounds) + around <= length
            for shards, around in ((self.source, 2), (self.target, 1))
        ]
        self.kept = np.flatnonzero(fits[0] & fits[1])
        if not len(self.kept):
            raise BadInput(f"data.length {length}: no pair of translations is as short as that; take more")
        self.fingerprint = f"{self.source.fingerprint}/{self.target.fingerprint}/Translations/{length}"

    def __len__(self) -> int:
        return len(self.kept)

    def example(self, index: int, *, epoch: int) -> Example:
        x, y = (side.document(int(self.kept[index])) for side in (self.source, self.target))
        read = Example.of(self.vocab, x)
        written = Example.written("", np.append(y.tokens, self.vocab.sep), start=self.vocab.sep)
        target = replace(written, answers={}, languages=np.ones(len(written), dtype=np.int64))
        return replace(read, languages=np.zeros(len(read), dtype=np.int64), target=target)


def _side_by_side(corpora: Mapping[str, Shards]) -> tuple[Shards, ...]:
    """The shards, of which document i is the same in all."""
    counts = {name: len(shards.documents) for name, shards in corpora.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"translations: not as many texts in each language: {counts}")
    return tuple(corpora.values())


def named(corpus: Sequence[str | Path], languages: Sequence[str], *, text_column: str = "text") -> dict[str, Texts]:
    """`en=en.txt` for every language: its texts by name, in the order of `languages`; a language may have more files.

    BadInput for a corpus without a name, a name that is none of the languages, and a language without a corpus.
    """
    paths: dict[str, list[str]] = {language: [] for language in languages}
    for name, path in map(split, corpus):
        if name not in paths:
            if not name:
                raise BadInput(f"{path}: which language is this? Write LANGUAGE={path}, with one of {', '.join(paths)}")
            raise BadInput(f"{name}={path}: data.languages has no {name!r}{nearest(name, paths)}")
        paths[name].append(path)
    if missing := [language for language, found in paths.items() if not found]:
        raise BadInput(f"data.languages: no corpus for {missing[0]!r}; give it as {missing[0]}=FILE, or leave it out")
    return {language: partial(_all_texts, found, text_column) for language, found in paths.items()}


def split(source: str | Path) -> tuple[str, str]:
    """`en=en.txt` as ("en", "en.txt"); a path without a name as ("", path)."""
    name, equals, path = str(source).partition("=")
    return (name, path) if equals and path and "/" not in name else ("", str(source))


def columns(tables: Sequence[str | Path], languages: Sequence[str]) -> dict[str, Texts]:
    """The columns of tables of translations by language: each is called like its language, and no cell is empty."""
    return {language: partial(_all_cells, tables, language) for language in languages}


def _all_texts(paths: Sequence[str], text_column: str) -> Iterator[str]:
    return chain.from_iterable(iter_texts(path, text_column=text_column) for path in paths)


def _all_cells(tables: Sequence[str | Path], column: str) -> Iterator[str]:
    return chain.from_iterable(iter_column(table, column) for table in tables)
