"""Trees are read word by word, and what is no tree is refused in one line with its place."""

import sys
from pathlib import Path

import pytest

from quire.core.answers import Tree
from quire.core.errors import BadInput
from quire.text import conllu

library = pytest.importorskip("conllu")

ROWS = """\
# sent_id = 1
# text = I don't
1\tI\tI\tPRON\tPRP\tCase=Nom\t2\tnsubj\t2:nsubj\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\tLink=http://a?b=c
2\tdo\tdo\tAUX\tVBP\t_\t0\troot\t0:root\t_
3\tn't\tnot\tPART\tRB\t_\t2\tadvmod:neg\t2:advmod\t_
3.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t2:dep\t_

1\t10 000\t10\tNUM\tCD\t_\t0\troot\t_\t_
"""
TREE = Tree((2, 0, 2), ("nsubj", "root", "advmod:neg"))


def written(folder: Path, text: str) -> Path:
    path = folder / "trees.conllu"
    path.write_text(text, encoding="utf-8")
    return path


def bare(*heads: str) -> str:
    """A sentence behind a comment, whose row of word i is line i + 1."""
    rows = [f"{i}\tw\t_\t_\t_\t_\t{head}\tdep\t_\t_" for i, head in enumerate(heads, start=1)]
    return "\n".join(["# text = w", *rows, ""])


def test_syntactic_words_are_read_with_their_tree(tmp_path: Path) -> None:
    path = written(tmp_path, ROWS)
    one, two = conllu.read_trees(path)
    assert [one.word(i) for i in range(3)] == ["I", "do", "n't"]
    assert (one.answer, one.where) == (TREE, f"{path}:3")
    assert (two.word(0), two.where) == ("10 000", f"{path}:9")
    assert conllu.read_trees(path, subtypes=False)[0].answer == Tree(TREE.heads, ("nsubj", "root", "advmod"))


def test_without_heads_there_is_no_answer(tmp_path: Path) -> None:
    (problem,) = conllu.read_trees(written(tmp_path, bare("_", "_").replace("dep", "_")))
    assert problem.answer is None


def test_other_trees_stand_in_the_same_file(tmp_path: Path) -> None:
    other = [Tree((0, 1, 2), ("root", "a", "b")), Tree((0,), ("c",))]
    text = conllu.with_trees(written(tmp_path, ROWS), other)
    assert [problem.answer for problem in conllu.read_trees(written(tmp_path, text))] == other
    kept = [line for line in ROWS.splitlines() if line.startswith(("#", "2-3"))]
    assert [line for line in text.splitlines() if line.startswith(("#", "2-3"))] == kept
    assert "2:" not in text, "no enhanced dependencies"
    same = conllu.with_trees(written(tmp_path, ROWS), [TREE, Tree((0,), ("root",))])
    for old, new in zip(ROWS.splitlines(), same.splitlines(), strict=False):
        assert old.split("\t")[:8] == new.split("\t")[:8]


def test_there_is_a_tree_for_each_sentence(tmp_path: Path) -> None:
    path = written(tmp_path, ROWS)
    for trees in ([TREE], [TREE, TREE]):
        with pytest.raises(ValueError, match="zip"):
            conllu.with_trees(path, trees)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (bare("0", "0", "1"), ":2: no tree: words 1 and 2 are both roots"),
        (bare("2", "1"), ":2: no tree: no word is the root"),
        (bare("0", "3", "2"), ":2: no tree: word 2 is its own ancestor"),
        (bare("0", "9"), ":2: no tree: word 2 has the head 9, and there are 2 words"),
        (bare("0", "_"), ":2: word 2 has no head"),
        (bare("0", "1").replace("1\tdep", "1\t_"), ":2: word 2 has no head or no relation"),
        (bare("0", "1").replace("2\tw\t_\t", "2\tw\t"), ":3: 9 columns"),
        (bare("0", "1").replace("\t", "  "), ":2: 1 columns"),
        (bare("0", "1").replace("2\tw", "2\tw\tw"), ":3: 11 columns"),
        (bare("0", "x"), ":2: a sentence that cannot be read: Failed parsing field 'head'"),
        (bare("0", "1").replace("\n2\t", "\n3\t"), ":2: words are not numbered"),
        (bare("0").replace("\tw\t", "\t\t"), ":2: a word is blank"),
        ("# nothing\n\n", ": holds no sentences"),
    ],
)
def test_what_is_no_tree_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadInput) as error:
        conllu.read_trees(path)
    assert str(error.value).startswith(f"{path}{said}")
    assert "\n" not in str(error.value)


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "conllu", None)
    with pytest.raises(BadInput, match=r"pip install 'quire\[trees\]'"):
        conllu.read_trees(written(tmp_path, ROWS))
