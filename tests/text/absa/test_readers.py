"""Every format gives the same structure, told apart by what the file holds."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.text.absa import samples

from quire.core.errors import Ignored
from quire.core.opinions import Opinion, Review
from quire.text.absa import read_reviews


def reviews(folder: Path, content: str) -> list[Review]:
    path = folder / "reviews"  # no ending: what it holds tells
    path.write_text(content, encoding="utf-8")
    return read_reviews(path)


def told(review: Review) -> list[tuple[str | None, str | None, str | None, str | None]]:
    """Aspect and opinion in words, polarity and category."""
    return [
        (o.aspect and review.quoted(o.aspect), o.opinion and review.quoted(o.opinion), o.polarity, o.category)
        for o in review.opinions
    ]


TRIPLETS = [("wine list", "good", "positive", None), ("wine", "dear", "negative", None)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            samples.SEMEVAL14,
            [
                [
                    ("wine list", None, "conflict", None),
                    ("staff", None, "positive", None),
                    (None, None, "neutral", "anecdotes/miscellaneous"),
                    (None, None, "negative", "price"),
                ],
                [],
            ],
        ),
        (
            samples.SEMEVAL15,
            [[("food", None, "positive", "FOOD#QUALITY"), (None, None, "negative", "SERVICE#GENERAL")], []],
        ),
        (
            samples.SENTIHOOD,
            [
                [
                    ("LOCATION2s", None, "negative", "transit-location"),
                    ("LOCATION1", None, "positive", "price"),
                    ("LOCATION1", None, "positive", "live"),
                ],
                [],
            ],
        ),
        (
            samples.WANG,
            [[("wine", None, "conflict", None), ("the", None, None, None), (None, "dear", None, None)], []],
        ),
        (samples.FAN, [[("wine", "dear", None, None), ("wine", "long", None, None)]]),
        (samples.PENG, [TRIPLETS]),
        (samples.ASTE, [[], TRIPLETS]),
        (
            samples.OWN,
            [
                [
                    ("wine list", "long", "positive", None),
                    ("wine list", "dear", "negative", "drinks"),
                    (None, None, None, "service"),
                ],
                [("酒", "贵", "negative", None)],
            ],
        ),
    ],
    ids=["semeval-2014", "semeval-2015", "sentihood", "wang", "fan", "peng", "aste", "own"],
)
def test_a_format_is_read(tmp_path: Path, content: str, expected: Sequence[Sequence[object]]) -> None:
    found = reviews(tmp_path, content)
    assert [told(review) for review in found] == expected
    assert not any(review.fault() for review in found)
    assert len({review.where for review in found}) == len(found)


def test_quads_quote_words_and_what_they_misquote_is_left_out(tmp_path: Path) -> None:
    with pytest.warns(Ignored, match=r"1 quads are left out; the first: .*:3: 'do not' does not stand"):
        first, second, third = reviews(tmp_path, samples.ASQP)
    assert told(first) == [
        ("wine list", "good", "positive", "drinks style"),
        ("wine", "dear", "negative", "drinks prices"),
        (None, None, "neutral", "service general"),
    ]
    assert first.opinions[1].aspect == (1, 2)  # the first of two
    assert told(second) == [("/waitress", "sat", "neutral", "service general")]
    assert third.opinions == ()


def test_a_term_that_splits_a_word_is_taken_whole(tmp_path: Path) -> None:
    content = samples.SEMEVAL14.replace('term="staff"', 'term="staf"').replace('to="21"', 'to="20"')
    with pytest.warns(Ignored, match="1 aspects end within a word .* 'staf', .*sentence 1"):
        [review, _] = reviews(tmp_path, content)
    assert told(review)[1] == ("staff", None, "positive", None)


def test_packed_files_and_byte_order_marks_are_read(tmp_path: Path) -> None:
    packed = tmp_path / "test_convert.json.gz"
    packed.write_bytes(gzip.compress(samples.PENG.encode("utf-8-sig")))
    assert [told(review) for review in read_reviews(packed)] == [TRIPLETS]


def test_line_ends_of_a_text_part_no_lines(tmp_path: Path) -> None:
    [review] = reviews(tmp_path, "dear\x85wine \u2028 list####[([1], [0], 'NEU')]\n")
    assert review.words == ("dear", "wine", "list")
    assert review.opinions == (Opinion((1, 2), (0, 1), "neutral"),)


def test_what_nobody_annotated_can_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "new.jsonl"
    path.write_text('{"text": "good food"}\n', encoding="utf-8")
    [review] = read_reviews(path, answered=False)
    assert review.opinions == ()


def test_the_sign_of_one_format_in_a_text_of_another_misleads_nobody(tmp_path: Path) -> None:
    for content in ('{"text": "four stars #### [1]", "opinions": []}', samples.PENG.replace("\n", " ")):
        content = content.replace('"raw_words": "dear', '"raw_words": "#### dear')
        assert reviews(tmp_path, content)[0].words[0] in ("four", "dear")
    for sentence in ("[ dear ] {wine}", "{ dear ] [wine}"):
        [review] = reviews(tmp_path, f"{sentence}####[([3], [1], 'NEG')]\n")
        assert told(review) == [(review.words[3], "dear", "negative", None)]


def test_the_encoding_that_xml_declares_is_passed_over(tmp_path: Path) -> None:
    """It was read as UTF-8 already."""
    content = samples.SEMEVAL15.replace("UTF-8", "ISO-8859-1").replace("I am Ann.", "Crème brûlée")
    assert reviews(tmp_path, content)[1].words == ("Crème", "brûlée")
