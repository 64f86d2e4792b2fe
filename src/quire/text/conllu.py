"""Dependency trees from CoNLL-U, the format of Universal Dependencies, and back (read by the library conllu).

What is asked about are syntactic words: rows of multiword tokens (`3-4`) and of empty nodes (`8.1`) are passed over.

Legend: W words of a sentence.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from quire.core.answers import Tree
from quire.core.errors import BadInput
from quire.text.problems import Problem
from quire.text.rows import Line, read_lines

COLUMNS = 10
_AS_THEY_ARE = dict.fromkeys(("xpos", "feats", "deps", "misc"), lambda columns, number: columns[number])
Sentence = tuple[str, Any, list[Any]]
"""Where it begins, like `dev.conllu:17`; the library's list of its rows; those of its words [W]."""


def read_trees(source: str | Path, *, subtypes: bool = True) -> list[Problem]:
    """A problem for each sentence, without an answer where no word has a head.

    Without `subtypes` relations lose what stands behind a colon (`nmod:poss`), as the CoNLL 2018 shared task scores
    them, punctuation included. BadInput names the file, the line (of a broken tree, that where its sentence begins) and
    what is wrong: the columns of a row, words that are not numbered from 1, a head or relation that is missing, two
    roots or none, a cycle, a head outside the sentence.
    """
    problems = []
    for where, _, words in _sentences(source):
        tree = None if all(word["head"] is None for word in words) else _tree(words, where, subtypes=subtypes)
        problems.append(Problem.of_words([word["form"] for word in words], tree, where))
    if not problems:
        raise BadInput(f"{source}: holds no sentences")
    return problems


def with_trees(source: str | Path, trees: Sequence[Tree]) -> str:
    """A CoNLL-U file with other trees, one for each sentence, which evaluators read beside the file itself, as
    conll18_ud_eval does.

    Multiword tokens, empty nodes and comments of the form `# name = value` stay; enhanced dependencies, which may
    contradict the trees, are left out. ValueError where there are not as many trees or words.
    """
    written = []
    for (_, rows, words), tree in zip(_sentences(source), trees, strict=True):
        for row in rows:
            row["deps"] = "_"
        for word, head, relation in zip(words, tree.heads, tree.relations, strict=True):
            word["head"], word["deprel"] = head, relation
        written.append(rows.serialize())
    return "".join(written)


def _sentences(source: str | Path) -> Iterator[Sentence]:
    try:
        from conllu import parse
        from conllu.exceptions import ParseException
    except ImportError:
        raise BadInput(f"{source}: CoNLL-U needs conllu; run: pip install 'quire[trees]'") from None
    for blank, group in groupby(read_lines(source), key=lambda line: not line[1].strip()):
        lines = list(group)
        rows = [line for line in lines if not line[1].startswith("#")]
        if blank or not rows:
            continue
        _check(rows, source)
        try:
            (found,) = parse("".join(text for _, text in lines), field_parsers=_AS_THEY_ARE)
        except ParseException as error:
            raise BadInput(f"{source}:{rows[0][0]}: a sentence that cannot be read: {error}; correct it") from None
        words = [row for row in found if isinstance(row["id"], int)]
        if [word["id"] for word in words] != list(range(1, len(words) + 1)):
            raise BadInput(f"{source}:{rows[0][0]}: words are not numbered 1, 2, 3, ...; number them in order")
        yield f"{source}:{rows[0][0]}", found, words


def _check(rows: Sequence[Line], source: str | Path) -> None:
    """That each has its columns: the library takes rows with fewer, and cuts those with more."""
    for number, text in rows:
        if (count := len(text.rstrip("\r\n").split("\t"))) != COLUMNS:
            raise BadInput(f"{source}:{number}: {count} columns parted by tabs, and CoNLL-U has {COLUMNS}; correct it")


def _tree(words: Sequence[Any], where: str, *, subtypes: bool) -> Tree:
    for word in words:
        if word["head"] is None or word["deprel"] == "_":
            raise BadInput(f"{where}: word {word['id']} has no head or no relation, and others do; give both or none")
    relations = [str(word["deprel"]) for word in words]
    tree = Tree(
        tuple(word["head"] for word in words),
        tuple(relations if subtypes else (relation.partition(":")[0] for relation in relations)),
    )
    if fault := tree.fault():
        raise BadInput(f"{where}: no tree: {fault}; correct it")
    return tree
