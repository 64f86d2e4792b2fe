"""Vectors from a file: read as word2vec writes them, and refused with the line where they are not."""

from pathlib import Path

import numpy as np
import pytest

from quire.core.errors import BadInput
from quire.explain.space import Space, read_vectors


def written(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    return path


def words(*names: str) -> Space:
    return Space("word", "here", "", names, np.ones((len(names), 2), dtype=np.float32))


def test_a_word_may_hold_any_sign_but_a_blank(tmp_path: Path) -> None:
    """Also what Python takes for blanks or line ends: a no-break space, a line separator, a next line, a form feed."""
    odd = [
        "a\u00a0b",
        "\u3000",
        "x\u2028y",
        "z\u0085",
        "\x0c",
        "e\u0301",
        "👩\u200d👩",
        "שלום",
        "好",
        "<script>",
        "1.5",
    ]
    lines = "".join(f"{word} {number} -0.5 1e-3 \n" for number, word in enumerate(odd))
    space = read_vectors(written(tmp_path / "vectors.txt", f"{len(odd)} 3\n{lines}"))
    assert space.names == odd
    np.testing.assert_array_equal(space.vectors_PW[:, 0], np.arange(len(odd)))
    assert space.vectors_PW[3].tolist() == pytest.approx([3, -0.5, 1e-3])


def test_lines_may_end_as_on_windows_and_without_a_last_end(tmp_path: Path) -> None:
    assert read_vectors(written(tmp_path / "v.txt", "2 2\r\na 1 2\r\nb 3 4")).vectors_PW.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", ":1: expected the count of words and their width"),
        ("good 0.1 0.2\nbad 0.3 0.4\n", ":1: expected the count of words and their width"),
        ("0 2\n", ":1: expected the count"),
        ("2 2\na 1 2\nb 3\n", ":3: expected a word and 2 numbers"),
        ("2 2\na 1 2\nb c 3 4\n", ":3: expected a word and 2 numbers"),
        ("2 2\na 1 2\n 3 4\n", ":3: expected a word and 2 numbers"),
        ("2 2\na 1 2\nb 3 x4\n", ":3: could not convert string to float: 'x4'"),
        ("2 2\na 1 nan\nb 3 4\n", ":2: holds what is no finite number"),
        ("2 2\na 1 1e60\nb 3 4\n", ":2: holds what is no finite number"),
        ("3 2\na 1 2\nb 3 4\na 5 6\n", ":4: the word 'a' stands in line 2 too"),
        ("3 2\na 1 2\nb 3 4\n", ": the first line tells of 3 words, 2 are there"),
        ("1 2\na 1 2\nb 3 4\n", ": the first line tells of 1 words, 2 are there"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(tmp_path: Path, content: str, says: str) -> None:
    path = written(tmp_path / "v.txt", content)
    with pytest.raises(BadInput) as refused:
        read_vectors(path)
    assert str(refused.value).startswith(f"{path}{says}")
    assert "\n" not in str(refused.value)


def test_a_word_without_vector_is_named_with_the_nearest_one() -> None:
    space = words("good", "bad", "很好")
    assert space.places(["很好", "good", "很好"]).tolist() == [2, 0]
    with pytest.raises(BadInput, match=r"here: no vector for the word 'goood'; did you mean 'good'\?"):
        space.places(["bad", "goood"])
    with pytest.raises(BadInput, match="no vector for the word 'zzz'; leave it out"):
        space.places(["zzz"])


def test_the_first_words_are_those_that_tell_something() -> None:
    assert words(",", "the", "a", "12", "don't", "好", "cat").first(2).tolist() == [1, 4]
    assert words("，", "好", "a", "酒店", "的", "bad", "不").first(9).tolist() == [1, 3, 4, 5, 6]


@pytest.mark.parametrize(("row", "says"), [([1, np.nan], "no finite number"), ([0, 0], "is 0, which has no direction")])
def test_a_vector_without_direction_is_refused_by_name(row: list[float], says: str) -> None:
    space = Space("word", "here", "", ["a", "b"], np.array([[1, 2], row], dtype=np.float32))
    with pytest.raises(BadInput, match=rf"here: the vector of 'b' .*{says}"):
        space.check()
