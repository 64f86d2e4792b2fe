"""Pairs of texts from a person's table: what is read, and what is to be written."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from quire.core.errors import BadInput
from quire.core.random import rng
from quire.text.audit import normalised
from quire.text.records import iter_rows
from quire.text.rows import Source


@dataclass(frozen=True)
class TextPair:
    """A source, its target, and their place, like `train.csv:17`."""

    source: str
    target: str
    where: str


def read_pairs(source: Source, *, source_column: str, target_column: str) -> list[TextPair]:
    """All rows of a table (CSV, TSV, JSONL, Parquet, `-`); BadInput for a row where either text is missing."""
    if source_column == target_column:
        raise BadInput(f"{source}: {source_column!r} is both what is read and what is written; name two columns")
    columns = (source_column, target_column)
    pairs = [TextPair(read, written, where) for where, (read, written) in iter_rows(source, columns)]
    if not pairs:
        raise BadInput(f"{source}: holds no rows")
    return pairs


def split_pairs(pairs: Sequence[TextPair], *, share: float, seed: int) -> tuple[list[TextPair], list[TextPair]]:
    """The rest, and about `share` of the sources drawn from `seed`; pairs of one source stay together, in order."""
    sources = sorted({normalised(pair.source) for pair in pairs})
    number = round(share * len(sources))
    if not 0 < number < len(sources):
        raise BadInput(f"cannot hold out {share:.0%} of {len(sources)} different sources; give more rows")
    drawn = {sources[i] for i in rng(seed, "split pairs").permutation(len(sources))[:number].tolist()}
    held = [normalised(pair.source) in drawn for pair in pairs]
    rest = [pair for pair, out in zip(pairs, held, strict=True) if not out]
    return rest, [pair for pair, out in zip(pairs, held, strict=True) if out]


def fingerprint(pairs: Sequence[TextPair]) -> str:
    """sha256 of the texts in their order."""
    rows = json.dumps([[pair.source, pair.target] for pair in pairs], ensure_ascii=False)
    return hashlib.sha256(rows.encode()).hexdigest()
