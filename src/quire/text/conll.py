"""Column files: a word a line with its tag, and a blank line between sentences.

CoNLL-2000 and CoNLL-2003 stand so, and the Chinese sets of MSRA and Weibo. Columns are parted by blanks or tabs. Tags
are BIO, BIOES or IOB1, as `quire.core.tags` tells apart; M is read as I, and L and U as E and S (BMES, BILOU).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from quire.core.answers import Spans
from quire.core.errors import BadInput
from quire.core.tags import Scheme, Spelling, broken, read, spelling, write
from quire.text.files import write_text
from quire.text.problems import Problem
from quire.text.rows import Line, read_lines

_COLUMNS = re.compile(r"[ \t]+")
_TAG = re.compile(r"O|[BIMELSU]-\S+")
_FORM = {"M": "I", "L": "E", "U": "S"}


@dataclass(frozen=True)
class _Row:
    where: str
    word: str
    tag: str


def read_conll(path: str | Path, *, word: int = 0, tag: int | None = -1, strict: bool = True) -> list[Problem]:
    """The sentences of a file with their spans, or without where no column has tags (`tag=None`).

    Lines that begin with -DOCSTART- and comments that begin with # are left out; a # that has all columns is a word.
    Weibo's words, each of them with a digit that tells its place in a longer word, lose it. BadInput, with the line,
    for rows of another number of columns, for what is no tag and, where `strict`, for a tag that cannot stand behind
    the one before it; otherwise conlleval's rules say what is meant, as some published files need (MSRA, Weibo).
    """
    sentences = [*_sentences(path, [*read_lines(path)], word=word, tag=tag)]
    if not sentences:
        raise BadInput(f"{path}: holds no rows; write a word and its tag on each line")
    tags = [[_FORM.get(row.tag[0], row.tag[0]) + row.tag[1:] for row in rows] for rows in sentences]
    if strict:
        _check(sentences, tags)
    words = _without_places([[row.word for row in rows] for rows in sentences])
    return [
        Problem.of_words(its, None if tag is None else read(of_them), rows[0].where)
        for its, of_them, rows in zip(words, tags, sentences, strict=True)
    ]


def write_conll(
    path: Path, *, problems: Sequence[Problem], columns: Sequence[Sequence[Spans]], scheme: Scheme = "bio"
) -> None:
    """A line for each word: the word, and its tag for the spans of each column. With the truth and then what is said,
    that is what conlleval scores.

    Inexpressible for spans that share a word, BadInput for a word with a blank in it.
    """
    lines: list[str] = []
    for number, problem in enumerate(problems):
        words = [problem.word(at) for at in range(len(problem.words or ()))]
        if parted := [word for word in words if _COLUMNS.search(word)]:
            raise BadInput(f"{problem.where}: the word {parted[0]!r} holds a blank, which parts columns; cut it in two")
        rows = [words, *(write(column[number], len(words), scheme=scheme) for column in columns)]
        lines += [" ".join(fields) for fields in zip(*rows, strict=True)] + [""]
    write_text(path, "".join(f"{line}\n" for line in lines))


def _sentences(path: str | Path, lines: Sequence[Line], *, word: int, tag: int | None) -> Iterator[list[_Row]]:
    width, begins = 0, ""
    rows: list[_Row] = []
    for number, fields in _table(lines):
        where = f"{path}:{number}"
        if not fields:
            if rows:
                yield rows
            rows = []
            continue
        if not width:
            width, begins = len(fields), f"line {number}"
            _has_columns(where, width, word, tag)
        if len(fields) != width:
            raise BadInput(f"{where}: {len(fields)} columns, and {begins} has {width}; mend the row")
        own = "O" if tag is None else fields[tag]
        if not _TAG.fullmatch(own):
            raise BadInput(f"{where}: {own!r:.40} is no tag; write O, or B-, I-, E- or S- and a kind, as in B-PER")
        if not fields[word].strip():
            raise BadInput(f"{where}: the word is a blank; remove the row")
        rows.append(_Row(where, fields[word], own))
    if rows:
        yield rows


def _table(lines: Sequence[Line]) -> Iterator[tuple[int, list[str]]]:
    """The number and the fields of every line that is no comment; none for one that parts sentences."""
    table = [(number, [f for f in _COLUMNS.split(text.strip(" \t\r\n")) if f]) for number, text in lines]
    plain = (len(fields) for _, fields in table if fields and not fields[0].startswith(("#", "-DOCSTART-")))
    width = next(plain, 0)
    for number, fields in table:
        if fields and fields[0].startswith("-DOCSTART-"):
            yield number, []
        elif not (fields and fields[0].startswith("#") and len(fields) != width):
            yield number, fields


def _has_columns(where: str, width: int, word: int, tag: int | None) -> None:
    if max(word, -1 - word, *(() if tag is None else (tag, -1 - tag))) >= width:
        raise BadInput(f"{where}: {width} columns, so none {word} for words or none {tag} for tags; name others")
    if tag is not None and word % width == tag % width:
        raise BadInput(f"{where}: words and tags would be the same column of {width}; add tags, or name their column")


def _check(sentences: Sequence[Sequence[_Row]], tags: Sequence[Sequence[str]]) -> None:
    scheme: Spelling = spelling(tags)
    for rows, row in zip(sentences, tags, strict=True):
        if (at := broken(row, scheme=scheme)) is None:
            continue
        if at == len(rows):
            raise BadInput(f"{rows[-1].where}: the sentence ends within {rows[-1].tag}; end its span with E- or S-")
        before = f"behind {rows[at - 1].tag}" if at else "at the start of a sentence"
        raise BadInput(
            f"{rows[at].where}: {rows[at].tag} {before} is not {scheme.upper()}; mend one of the two, or read what is "
            "broken as conlleval does (--layout conll-lenient)"
        )


def _without_places(sentences: list[list[str]]) -> list[list[str]]:
    """Words of one character without the digit behind it, if each word of the file is such and the first has a 0."""
    words = [word for sentence in sentences for word in sentence]
    if words[0][1:] != "0" or not all(len(word) > 1 and word[-1] in "0123456789" for word in words):
        return sentences
    return [[word[:-1] for word in sentence] for sentence in sentences]
