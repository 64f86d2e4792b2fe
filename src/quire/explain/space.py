"""Named vectors: what is drawn, whoever made them. Legend: P points, W width."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from quire.core.errors import BadInput
from quire.core.example import Ints
from quire.text.rows import Line, read_lines
from quire.text.words import mostly_chinese
from quire.train.safe import write_lines

Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Space:
    """Words or texts and their vectors [P, W]; `source` is who has made them, `how` says in what way.

    Words stand in the order of their vocabulary, which is about that of their frequency.
    """

    kind: Literal["word", "text"]
    source: str
    how: str
    names: Sequence[str]
    vectors_PW: Floats
    labels: Sequence[str] = ()
    """Of texts, where they have labels."""

    def check(self) -> None:
        """BadInput for vectors without a number or a direction."""
        for wrong, why in (
            (~np.isfinite(self.vectors_PW).all(axis=1), "holds what is no finite number"),
            (~self.vectors_PW.any(axis=1), "is 0, which has no direction"),
        ):
            if wrong.any():
                name = self.names[int(wrong.argmax())]
                raise BadInput(f"{self.source}: the vector of {name[:40]!r} {why}; leave it out")

    def __getitem__(self, word: str) -> Floats:
        """The vector [W] of a word; BadInput where it has none."""
        vector_W: Floats = self.vectors_PW[self._place(word)]
        return vector_W

    def at(self, chosen: Ints) -> "Space":
        """The points with these numbers alone."""
        labels = [self.labels[i] for i in chosen] if self.labels else ()
        names = [self.names[i] for i in chosen]
        return replace(self, names=names, vectors_PW=self.vectors_PW[chosen], labels=labels)

    def places(self, words: Sequence[str]) -> Ints:
        """The numbers of these words, each once; BadInput for one that has no vector."""
        return np.array([self._place(word) for word in dict.fromkeys(words)], dtype=np.int64)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def _place(self, word: str) -> int:
        if word not in self._places:
            close = get_close_matches(word, self.names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "leave it out"
            raise BadInput(f"{self.source}: no vector for the word {word!r}; {hint}")
        return self._places[word]

    def first(self, most: int) -> Ints:
        """The numbers of the first words that say something when they stand alone.

        That is words of two letters or more; single Chinese characters too, where most words begin with one.
        """
        chinese = mostly_chinese(["".join(name[0] for name in self.names)])

        def tells(name: str) -> bool:
            return any(map(str.isalpha, name)) and (len(name) > 1 or (chinese and mostly_chinese([name])))

        telling = (number for number, name in enumerate(self.names) if tells(name))
        return np.fromiter(islice(telling, most), dtype=np.int64)


def write_vectors(path: Path, space: Space) -> None:
    """Write word vectors in the format that `read_vectors` reads, with as many digits as give the same numbers again.

    The file is whole, or as it was before.
    """
    line = f"%s{' %.9g' * space.vectors_PW.shape[1]}\n"
    rows = (line % (name, *row.tolist()) for name, row in zip(space.names, space.vectors_PW, strict=True))
    write_lines(path, chain([f"{len(space.names)} {space.vectors_PW.shape[1]}\n"], rows))


def read_vectors(path: Path) -> Space:
    """Word vectors in word2vec's text format: a line "count width", then a line "word v1 v2 ..." for each word.

    BadInput with the line for a wrong number of values, what is no finite number, a word that stands there twice, and
    a file that ends too soon. Only blanks part values, so that a word may hold any other sign.
    """
    lines = ((number, text.rstrip(" \r\n")) for number, text in read_lines(path))
    count, width = _header(path, next(lines, (1, "")))
    line_of: dict[str, int] = {}
    rows: list[Floats] = []
    for number, text in lines:
        word, *values = text.split(" ")
        if len(values) != width or not word:
            raise BadInput(f"{path}:{number}: expected a word and {width} numbers, parted by blanks; mend the line")
        if word in line_of:
            raise BadInput(f"{path}:{number}: the word {word[:40]!r} stands in line {line_of[word]} too; keep one")
        line_of[word] = number
        rows.append(_row(values, where=f"{path}:{number}"))
    if len(rows) != count:
        raise BadInput(f"{path}: the first line tells of {count} words, {len(rows)} are there; write the file again")
    return Space("word", str(path), "The vectors stand in the file.", [*line_of], np.stack(rows))


def _header(path: Path, line: Line) -> tuple[int, int]:
    numbers = line[1].split(" ")
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers) or "0" in numbers:
        raise BadInput(f"{path}:1: expected the count of words and their width, as word2vec writes; put it there")
    return int(numbers[0]), int(numbers[1])


def _row(values: Sequence[str], *, where: str) -> Floats:
    try:
        with np.errstate(over="ignore"):
            row = np.array(values, dtype=np.float64).astype(np.float32)
    except ValueError as error:
        raise BadInput(f"{where}: {error}; mend the line") from None
    if not np.isfinite(row).all():
        raise BadInput(f"{where}: holds what is no finite number; mend or remove the line")
    return row
