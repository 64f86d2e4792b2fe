"""What a data set holds that spoils a score: duplicates, leaks, labels that contradict each other."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from quire.core.errors import BadInput
from quire.text.records import Record

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)
REPEATED = 0.05
"""The share of dev that may stand in train, and is then left out; of more, something went wrong."""
LONG = 50
"""Characters from which a text that stands inside a longer document is no accident."""
_WINDOW = LONG // 2


def normalised(text: str) -> str:
    """The text as it is compared: runs of blanks become one, case is folded."""
    return " ".join(text.split()).casefold()


@dataclass(frozen=True)
class Part:
    """One part of a data set: its size, its classes, and how long its texts are."""

    rows: int
    labels: Mapping[str, int]  # by name; records without a label are not counted
    duplicates: int  # rows whose text an earlier row of the part has
    characters: tuple[int, ...]  # length in characters at QUANTILES; empty for an empty part


@dataclass(frozen=True)
class Leak:
    """A test text that a person or a model may have seen: its index and place in test, and where else it stands."""

    index: int
    where: str
    seen: tuple[str, ...]


@dataclass(frozen=True)
class Conflict:
    """One text with several labels, and the places where it stands."""

    labels: tuple[str, ...]
    places: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """The findings; texts are compared after `normalised`."""

    train: Part
    dev: Part
    test: Part
    leaks: tuple[Leak, ...]
    conflicts: tuple[Conflict, ...]

    @property
    def leaked(self) -> tuple[int, ...]:
        """Indices into test of the texts that train or dev also has: leave them out for the clean score."""
        return tuple(leak.index for leak in self.leaks)


def audit(train: Sequence[Record], *, dev: Sequence[Record] = (), test: Sequence[Record] = ()) -> Audit:
    """Look for what spoils a score: duplicates in each part, leaks into test, conflicting labels anywhere."""
    seen: defaultdict[str, list[str]] = defaultdict(list)
    for record in (*train, *dev):
        seen[normalised(record.text)].append(record.where)
    leaks = tuple(
        Leak(i, record.where, tuple(seen[key]))
        for i, record in enumerate(test)
        if (key := normalised(record.text)) in seen
    )
    return Audit(_part(train), _part(dev), _part(test), leaks, tuple(_conflicts((*train, *dev, *test))))


class Placed(Protocol):
    """Anything from a person's file."""

    @property
    def where(self) -> str: ...


Shown = TypeVar("Shown", bound=Placed)


def unseen(
    dev: Sequence[Shown], *, train: Sequence[Shown], key: Callable[[Shown], Hashable], path: str
) -> tuple[list[Shown], tuple[str, ...]]:
    """Dev without what also stands in train by its `key`, and a note of how many those are; BadInput for many.

    What is chosen on them would have been learnt by heart.
    """
    first = {key(one): one.where for one in reversed(train)}
    twice = [one for one in dev if key(one) in first]
    if len(twice) > REPEATED * len(dev):
        raise BadInput(
            f"{twice[0].where}: also stands in the training data ({first[key(twice[0])]}), and so do {len(twice)} of "
            f"{len(dev)} in {path}: choosing on what was learnt by heart proves nothing; give other texts for dev"
        )
    notes = (f"{len(twice)} of {len(dev)} dev texts also stand in train and were left out of dev",) if twice else ()
    return [one for one in dev if key(one) not in first], notes


def _part(records: Sequence[Record]) -> Part:
    lengths = [len(record.text) for record in records]
    return Part(
        rows=len(records),
        labels=dict(sorted(Counter(r.label for r in records if r.label is not None).items())),
        duplicates=len(records) - len({normalised(record.text) for record in records}),
        characters=tuple(int(n) for n in np.quantile(lengths, QUANTILES, method="nearest")) if lengths else (),
    )


def _conflicts(records: Iterable[Record]) -> Iterable[Conflict]:
    by_text: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_text[normalised(record.text)].append(record)
    for same in by_text.values():
        labels = sorted({record.label for record in same if record.label is not None})
        if len(labels) > 1:
            yield Conflict(tuple(labels), tuple(record.where for record in same))


class Banned:
    """Texts that a corpus must not hold: a document is banned when it equals one, or contains one of LONG characters.

    Exact, and quick on long documents: every window of W = LONG // 2 characters that begins in the first W places of a
    long banned text is indexed. Wherever that text stands in a document, one place in W begins such a window, so a look
    at every W-th place finds it.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._whole = {normalised(text) for text in texts}
        self._windows: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)  # window -> (banned text, its place)
        for text in sorted(self._whole):
            if len(text) >= LONG:
                for place in range(_WINDOW):
                    self._windows[text[place : place + _WINDOW]].append((text, place))

    def __contains__(self, document: str) -> bool:
        text = normalised(document)
        if text in self._whole:
            return True
        for at in range(0, len(text) - _WINDOW + 1, _WINDOW):
            for banned, place in self._windows.get(text[at : at + _WINDOW], ()):
                if at >= place and text.startswith(banned, at - place):
                    return True
        return False


def without(texts: Iterable[str], *, banned: Iterable[str]) -> tuple[list[str], int]:
    """The texts that hold none of `banned`, and how many were dropped; see `Banned`, which also serves a stream."""
    forbidden = Banned(banned)
    kept: list[str] = []
    dropped = 0
    for text in texts:
        if text in forbidden:
            dropped += 1
        else:
            kept.append(text)
    return kept, dropped
