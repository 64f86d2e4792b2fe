"""The pairs of a job: train, dev and test, and whether a test source was seen in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quire.finetune.settings import FinetuneSettings
from quire.text.audit import normalised
from quire.text.pairs import TextPair, fingerprint, read_pairs, split_pairs


@dataclass(frozen=True)
class Splits:
    """Pairs of each split; `leaks` counts test pairs whose source also stands in train or dev."""

    train: Sequence[TextPair]
    dev: Sequence[TextPair]
    test: Sequence[TextPair]
    leaks: int

    @property
    def hashes(self) -> dict[str, str]:
        """sha256 of each split."""
        return {name: fingerprint(getattr(self, name)) for name in ("train", "dev", "test")}


def read_splits(settings: FinetuneSettings) -> Splits:
    """Read the files that are given, and hold out a share of train for each that is not: the same for every seed."""
    files = settings.files

    def read(path: str) -> list[TextPair]:
        return read_pairs(path, source_column=files.source_column, target_column=files.target_column)

    train = read(files.train)
    if files.test is not None:
        test = read(files.test)
    else:
        train, test = split_pairs(train, share=settings.held_out, seed=0)
    if files.dev is not None:
        dev = read(files.dev)
    else:
        train, dev = split_pairs(train, share=settings.held_out, seed=1)
    seen = {normalised(pair.source) for pair in [*train, *dev]}
    return Splits(train, dev, test, sum(normalised(pair.source) in seen for pair in test))
