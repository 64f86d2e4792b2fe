"""Pairs of texts from a table, and what is held out of them."""

from pathlib import Path

import pytest

from quire.core.errors import BadInput
from quire.text.pairs import TextPair, fingerprint, read_pairs, split_pairs

PAIRS = [TextPair(f"s{i // 2}", f"t{i}", f"x:{i}") for i in range(40)]


def test_both_columns_of_a_row_are_read(tmp_path: Path) -> None:
    table = tmp_path / "t.tsv"
    table.write_text("de\tid\ten\nein Hund\t1\ta dog\nzwei\t2\ttwo\n", encoding="utf-8")
    found = read_pairs(table, source_column="en", target_column="de")
    assert found == [TextPair("a dog", "ein Hund", f"{table}:2"), TextPair("two", "zwei", f"{table}:3")]


@pytest.mark.parametrize(
    ("text", "columns", "says"),
    [
        ("en,de\na,\n", ("en", "de"), r"t\.csv:2, column 'de': empty text; fill it in or remove the row"),
        ("en,de\na,b\n", ("en", "fr"), r"t\.csv: no column 'fr'; known: de, en"),
        ("en,de\na,b\n", ("en", "en"), "'en' is both what is read and what is written; name two columns"),
        ("en,de\n", ("en", "de"), r"t\.csv: holds no rows"),
    ],
)
def test_what_is_no_pair_is_refused(tmp_path: Path, text: str, columns: tuple[str, str], says: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=says):
        read_pairs(tmp_path / "t.csv", source_column=columns[0], target_column=columns[1])


def test_pairs_of_one_source_are_held_out_together() -> None:
    rest, held = split_pairs(PAIRS, share=0.25, seed=1)
    assert len(held) == 10
    assert sorted([*rest, *held], key=PAIRS.index) == PAIRS
    assert not {pair.source for pair in rest} & {pair.source for pair in held}
    assert split_pairs(PAIRS[::-1], share=0.25, seed=1)[1] == held[::-1]
    assert split_pairs(PAIRS, share=0.25, seed=2)[1] != held


def test_too_few_sources_cannot_be_split() -> None:
    with pytest.raises(BadInput, match="cannot hold out 10% of 2 different sources; give more rows"):
        split_pairs(PAIRS[:4], share=0.1, seed=0)


def test_the_fingerprint_is_of_texts_in_their_order() -> None:
    assert fingerprint(PAIRS) != fingerprint(PAIRS[::-1])
    assert fingerprint(PAIRS) == fingerprint([TextPair(p.source, p.target, "elsewhere") for p in PAIRS])
