"""Reviews as texts with spans of two kinds."""

from pathlib import Path

from quire.core.answers import Span
from quire.core.opinions import Opinion, Review
from quire.text.absa.extraction import extraction
from quire.text.asked import FileLayout, names

PAIRED = """The wine list is long but dear####[([1, 2], [4], 'POS'), ([1, 2], [6], 'NEG')]
Go####[]
"""


def test_parts_are_spans_each_once_and_what_is_meant_is_none() -> None:
    said = Opinion((0, 1), (2, 3)), Opinion((0, 1), (3, 4)), Opinion(None, (3, 4), "negative", "FOOD")
    found = extraction(Review.of_words(["food", "is", "dear", "slow"], said, "here"))
    assert found.answer == frozenset({Span(0, 1, "aspect"), Span(2, 3, "opinion"), Span(3, 4, "opinion")})
    assert (found.texts, found.where) == (("food is dear slow",), "here")
    assert found.told(found.answer)[0] == {"start": 0, "end": 4, "label": "aspect", "text": "food"}


def test_a_file_of_any_format_is_a_file_of_spans(tmp_path: Path) -> None:
    (tmp_path / "reviews.txt").write_text(PAIRED, encoding="utf-8")
    problems = FileLayout(task="spans", name="reviews").read(str(tmp_path / "reviews.txt"))
    assert names(problems) == ("aspect", "opinion")
    assert [problem.answer for problem in problems] == [
        {Span(1, 3, "aspect"), Span(4, 5, "opinion"), Span(6, 7, "opinion")},
        frozenset(),
    ]
