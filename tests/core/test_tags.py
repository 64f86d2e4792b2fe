"""Spans as tags: a law in both schemes, and rows whose chunks the documentation of conlleval tells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.answers import Inexpressible, Span, Spans
from quire.core.tags import Scheme, Spelling, allowed, broken, follows, read, spelling, tags, write

KINDS = ("PER", "LOC", "B-PER.NOM")
SCHEMES: tuple[Scheme, ...] = ("bio", "bioes")
words = st.integers(0, 9)
schemes = st.sampled_from(SCHEMES)


@st.composite
def spans(draw: st.DrawFn) -> tuple[Spans, int]:
    """Spans that share no word, often right behind each other, and of how many words."""
    found, at = set(), 0
    for size, gap, kind in draw(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2), st.sampled_from(KINDS)))):
        found.add(Span(at + gap, at + gap + size, kind))
        at += gap + size
    return frozenset(found), at + draw(words)


@given(drawn=spans(), scheme=schemes)
def test_what_is_written_is_read_back_and_keeps_to_the_scheme(drawn: tuple[Spans, int], scheme: Scheme) -> None:
    truth, length = drawn
    row = write(truth, length, scheme=scheme)
    assert len(row) == length
    assert set(row) <= set(tags(KINDS, scheme=scheme))
    assert read(row) == truth
    assert broken(row, scheme=scheme) is None


@given(drawn=spans())
def test_iob1_reads_as_the_same_spans(drawn: tuple[Spans, int]) -> None:
    truth, length = drawn
    row = write(truth, length, scheme="bio")
    ends = {(span.end, span.label) for span in truth}
    old = [
        "I" + tag[1:] if tag.startswith("B-") and (word, tag[2:]) not in ends else tag for word, tag in enumerate(row)
    ]
    assert read(old) == truth
    assert broken(old, scheme="iob1") is None
    assert spelling([old]) == ("bio" if broken(old, scheme="bio") is None else "iob1")


@given(row=st.lists(st.sampled_from(tags(KINDS, scheme="bioes")), max_size=9), scheme=schemes)
def test_a_row_that_keeps_to_a_scheme_is_the_one_that_its_spans_are_written_as(row: list[str], scheme: Scheme) -> None:
    """So what `follows` forbids is exactly what `write` never writes."""
    own = set(tags(KINDS, scheme=scheme))
    if set(row) <= own:
        assert (broken(row, scheme=scheme) is None) == (write(read(row), len(row), scheme=scheme) == row)


GOLDEN: list[tuple[str, list[tuple[int, int, str]]]] = [
    ("B-NP I-NP O B-VP", [(0, 2, "NP"), (3, 4, "VP")]),
    ("B-NP B-NP", [(0, 1, "NP"), (1, 2, "NP")]),
    ("O I-NP I-NP", [(1, 3, "NP")]),  # an I-X behind O begins a chunk
    ("I-NP", [(0, 1, "NP")]),
    ("B-NP I-VP I-VP", [(0, 1, "NP"), (1, 3, "VP")]),  # another type ends one and begins one
    ("I-NP I-NP B-NP I-NP", [(0, 2, "NP"), (2, 4, "NP")]),  # IOB1
    ("O E-NP E-NP", [(1, 2, "NP"), (2, 3, "NP")]),  # an E behind O, or behind an E, begins one
    ("S-NP E-NP I-NP", [(0, 1, "NP"), (1, 2, "NP"), (2, 3, "NP")]),  # what ended does not go on
    ("B-NP S-NP", [(0, 1, "NP"), (1, 2, "NP")]),
    ("B-NP I-NP E-NP S-VP", [(0, 3, "NP"), (3, 4, "VP")]),
    ("B-NP E-VP", [(0, 1, "NP"), (1, 2, "VP")]),
    ("B-NP O I-NP", [(0, 1, "NP"), (2, 3, "NP")]),
    ("", []),
]


@pytest.mark.parametrize(("row", "chunks"), GOLDEN)
def test_any_row_is_read_as_conlleval_reads_it(row: str, chunks: list[tuple[int, int, str]]) -> None:
    assert read(row.split()) == {Span(*chunk) for chunk in chunks}


@pytest.mark.parametrize(
    ("row", "scheme", "word"),
    [
        ("O I-PER", "bio", 1),
        ("B-LOC I-PER", "bio", 1),
        ("O O", "bio", None),
        ("B-PER O", "bioes", 1),
        ("B-PER", "bioes", 1),  # at the end of the row
        ("O E-PER", "bioes", 1),
        ("S-PER I-PER E-PER", "bioes", 1),
        ("B-PER S-PER", "bioes", 1),
        ("B-PER E-LOC", "bioes", 1),
        ("B-PER I-PER E-PER S-PER", "bioes", None),
        ("B-PER", "iob1", 0),
        ("I-LOC B-PER", "iob1", 1),
        ("O I-PER B-PER I-LOC", "iob1", None),
    ],
)
def test_a_broken_row_is_told_by_its_first_wrong_word(row: str, scheme: Spelling, word: int | None) -> None:
    assert broken(row.split(), scheme=scheme) == word


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (["B-PER I-PER"], "bio"),
        (["O", "O"], "bio"),
        (["O I-PER", "I-LOC B-LOC"], "iob1"),
        (["O I-PER", "O B-LOC"], "bio"),  # neither: the fault is told in the commoner one
        (["S-PER", "B-PER O"], "bioes"),
    ],
)
def test_how_a_file_is_spelled(rows: list[str], found: Spelling) -> None:
    assert spelling([row.split() for row in rows]) == found


@pytest.mark.parametrize("scheme", SCHEMES)
def test_spans_that_share_a_word_have_no_row(scheme: Scheme) -> None:
    for other in (Span(1, 3, "LOC"), Span(2, 4, "LOC"), Span(0, 4, "PER"), Span(1, 3, "PER")):
        spans = frozenset({Span(0, 3, "PER"), other})
        with pytest.raises(Inexpressible, match=r"the span of words \d to \d \(\w+\) shares a word"):
            write(spans, 5, scheme=scheme)
    with pytest.raises(ValueError, match="of 2 words"):
        write(frozenset({Span(1, 3, "PER")}), 2, scheme=scheme)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_table_is_what_follows_says(scheme: Scheme) -> None:
    row = tags(("PER", "LOC"), scheme=scheme)
    table = allowed(row, scheme=scheme)
    assert row[0] == "O"
    assert len(row) == 1 + 2 * len(scheme.replace("o", ""))
    assert all(table[i, j] == follows(a, b, scheme=scheme) for i, a in enumerate(row) for j, b in enumerate(row))
