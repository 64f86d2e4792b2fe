"""Column files: what is read of them, what is refused and where, and what other tools are given."""

import gzip
import os
from collections import Counter
from pathlib import Path

import pytest

from quire.core.answers import Inexpressible, Span
from quire.core.errors import BadInput
from quire.text.conll import read_conll, write_conll
from quire.text.problems import Problem


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.conll"


def spans(problem: Problem) -> list[tuple[str, str]]:
    """The words of each span, and its kind."""
    assert isinstance(problem.answer, frozenset)
    return [(problem.quoted(span.start, span.end), span.label) for span in sorted(problem.answer)]


def test_three_columns_with_documents_comments_and_a_number_sign(file: Path) -> None:
    file.write_text(
        "-DOCSTART- -X- O\n\n# sent_id = 1 of 2\n# O\nHe PRP B-NP\npaid VBD B-VP\n# # B-NP\n7 CD\tI-NP\n \n\n"
        "-DOCSTART- -X- O\n\n. . O\n",
        encoding="utf-8",
    )
    one, two = read_conll(file)
    assert one.texts == ("He paid # 7",)
    assert spans(one) == [("He", "NP"), ("paid", "VP"), ("# 7", "NP")]
    assert (one.where, two.where) == (f"{file}:5", f"{file}:13")
    assert spans(two) == []


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("B-A I-A O B-B", [("a b", "A"), ("d", "B")]),
        ("I-A I-A B-A I-B", [("a b", "A"), ("c", "A"), ("d", "B")]),  # IOB1
        ("B-A E-A S-B O", [("a b", "A"), ("c", "B")]),
        ("B-A M-A E-A O", [("a b c", "A")]),
        ("B-A L-A U-B O", [("a b", "A"), ("c", "B")]),
        ("B-A-1 I-A-1 O O", [("a b", "A-1")]),
    ],
)
def test_whatever_scheme_a_file_keeps_to(file: Path, tags: str, found: list[tuple[str, str]]) -> None:
    file.write_text("".join(f"{word} {tag}\n" for word, tag in zip("abcd", tags.split(), strict=True)))
    [problem] = read_conll(file)
    assert spans(problem) == found


def test_columns_as_the_caller_says(file: Path) -> None:
    file.write_text("1\tO\tMr\n2\tB-A\tX\n")
    [problem] = read_conll(file, word=2, tag=1)
    assert spans(problem) == [("X", "A")]
    [untold] = read_conll(file, word=-1, tag=None)
    assert (untold.texts, untold.answer) == (("Mr X",), None)


def test_weibos_digits_are_no_part_of_its_words(file: Path) -> None:
    file.write_text("科0\tB-ORG.NAM\n技1\tI-ORG.NAM\n\n越2\tO\n", encoding="utf-8")
    one, two = read_conll(file)
    assert spans(one) == [("科 技", "ORG.NAM")]
    assert two.texts == ("越",)
    file.write_text("F16 O\nF18 O\n")
    assert read_conll(file)[0].texts == ("F16 F18",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a B-A\nb O\nc I-A\n", r"x\.conll:3: I-A behind O is not BIO; mend one of the two, or read"),
        ("I-A I-A\n\na B-A\n", r"x\.conll:1: I-A at the start of a sentence is not BIO"),
        ("a B-A\nb I-B\n", r"x\.conll:2: I-B behind B-A is not BIO"),
        ("a O\nb E-A\n", r"x\.conll:2: E-A behind O is not BIOES"),
        ("a S-A\nb B-A\n\nc O\n", r"x\.conll:2: the sentence ends within B-A; end its span with E- or S-"),
        ("a x O\nb O\n", r"x\.conll:2: 2 columns, and line 1 has 3; mend the row"),
        ("a O\nb\n", r"x\.conll:2: 1 columns, and line 1 has 2"),
        ("a O\nb PER\n", r"x\.conll:2: 'PER' is no tag; write O, or B-, I-, E- or S- and a kind"),
        ("a O\nb B-\n", r"x\.conll:2: 'B-' is no tag"),
        ("a\nb\n", r"x\.conll:1: words and tags would be the same column of 1"),
        ("a O\n\u3000 O\n", r"x\.conll:2: the word is a blank; remove the row"),
        ("\n# only this\n\n", r"x\.conll: holds no rows"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(file: Path, text: str, message: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=message) as caught:
        read_conll(file)
    assert "\n" not in str(caught.value)


def test_a_column_that_is_not_there(file: Path) -> None:
    file.write_text("a O\n")
    with pytest.raises(BadInput, match=r"x\.conll:1: 2 columns, so none 0 for words or none 2 for tags"):
        read_conll(file, tag=2)


def test_a_broken_file_can_be_read_as_conlleval_reads_it(file: Path) -> None:
    file.write_text("a B-A\nb I-B\nc O\nd I-A\n")
    [problem] = read_conll(file, strict=False)
    assert spans(problem) == [("a", "A"), ("b", "B"), ("d", "A")]


def test_what_is_written_is_what_conlleval_takes_and_reads_back(file: Path) -> None:
    problems = [Problem.of_words(["Ada", "Li", "and", "Bo"], None, "here:1"), Problem.of_words(["so"], None, "here:5")]
    gold = [frozenset({Span(0, 2, "PER"), Span(3, 4, "PER")}), frozenset[Span]()]
    said = [frozenset({Span(0, 1, "PER")}), frozenset({Span(0, 1, "LOC")})]
    write_conll(file, problems=problems, columns=[gold, said])
    assert file.read_text() == "Ada B-PER B-PER\nLi I-PER O\nand O O\nBo B-PER O\n\nso O B-LOC\n\n"
    assert [problem.answer for problem in read_conll(file)] == said
    write_conll(file, problems=problems, columns=[gold], scheme="bioes")
    assert file.read_text().startswith("Ada B-PER\nLi E-PER\nand O\nBo S-PER\n")
    assert [problem.answer for problem in read_conll(file)] == gold


def test_nothing_is_half_written(file: Path) -> None:
    both = frozenset({Span(0, 1, "PER"), Span(0, 1, "LOC")})
    with pytest.raises(Inexpressible):
        write_conll(file, problems=[Problem.of_words(["Ada"], None, "here:1")], columns=[[both]])
    with pytest.raises(BadInput, match="here:1: the word 'New York' holds a blank"):
        write_conll(file, problems=[Problem.of_words(["New York"], None, "here:1")], columns=[])
    assert not file.exists()


@pytest.mark.skipif("QUIRE_DATA" not in os.environ, reason="$QUIRE_DATA is not set")
def test_conll_2000_has_its_published_chunks(file: Path) -> None:
    """Of the test part: 2,012 sentences, 47,377 tokens, 23,852 phrases (what conlleval tells of every result)."""
    packed = Path(os.environ["QUIRE_DATA"], "seqlab", "conll2000", "test.txt.gz")
    file.write_bytes(gzip.decompress(packed.read_bytes()))
    problems = read_conll(file)
    assert (len(problems), sum(len(problem.words or ()) for problem in problems)) == (2012, 47377)
    kinds = Counter(kind for problem in problems for _, kind in spans(problem))
    assert (kinds.total(), kinds["NP"], kinds["VP"]) == (23852, 12422, 4658)
