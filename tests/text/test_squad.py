"""SQuAD's JSON: every question, its answer in words, and what a file can get wrong."""

import gzip
import json
import lzma
import os
import warnings
from pathlib import Path
from typing import Any

import pytest

from quire.core.answers import Span
from quire.core.errors import BadInput, Ignored
from quire.text.problems import items
from quire.text.squad import read_squad
from quire.text.tokenizers import Tokenizer

CONTEXT = "Ada Lovelace (1815-52) schrieb 北京大学 a note."


def written(tmp_path: Path, *asked: dict[str, Any], context: str = CONTEXT) -> Path:
    qas = [{"id": f"q{i}", "question": "who?", **one} for i, one in enumerate(asked)]
    path = tmp_path / "dev.json"
    path.write_text(json.dumps({"version": "2.0", "data": [{"paragraphs": [{"context": context, "qas": qas}]}]}))
    return path


def given(text: str, start: int | None = None) -> dict[str, Any]:
    return {"text": text, "answer_start": CONTEXT.index(text) if start is None else start, "answer_id": "x"}


def test_answers_are_words_of_the_passage(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"answers": [given("Lovelace"), given("Ada Lovelace")]},
        {"answers": [given(" (1815-52")], "is_impossible": False},
        {"answers": [given("大学")]},
        {"answers": [], "plausible_answers": [given("Ada")], "is_impossible": True},
        {"id": 7},
    )
    whole = read_squad(path)
    spans = [problem.answer for problem in whole]
    assert spans[3:] == [frozenset(), None]
    for problem, text in zip(whole, ("Lovelace", "(1815-52", "大学"), strict=False):
        assert isinstance(problem.answer, frozenset)
        (span,) = problem.answer
        assert (problem.quoted(span.start, span.end), span.label) == (text, "answer")
    assert whole[0].texts == ("who?", CONTEXT)
    assert [p.accepted for p in whole] == [("Lovelace", "Ada Lovelace"), (" (1815-52",), ("大学",), (), ()]
    assert whole[4].where == f"{path}: question 7"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_squad(path) == whole


def test_answers_within_words_are_accepted_and_not_learnt_from(tmp_path: Path) -> None:
    path = written(tmp_path, {"answers": [given("Love")]}, {"answers": [given("181"), given("1815")]})
    told = r"of 2 questions 1 have no answer made of whole words of the passage and are not learnt from"
    with pytest.warns(Ignored, match=told):
        split, other = read_squad(path)
    assert (split.answer, split.accepted) == (None, ("Love",))
    assert other.answer == frozenset({Span(3, 4, "answer")})


def test_a_place_is_put_right_only_where_it_is_a_slip(tmp_path: Path) -> None:
    for start in (2, 3, 5, 6):
        told = "of 1 questions 1 have an answer that stands a character or two off, and was put right"
        with pytest.warns(Ignored, match=told):
            (moved,) = read_squad(written(tmp_path, {"answers": [given("Lovelace", start)]}))
        assert moved.answer == frozenset({Span(1, 2, "answer")})
    with pytest.warns(Ignored, match="no answer made of whole words"):
        (absent,) = read_squad(written(tmp_path, {"answers": [given("Charles", -1)]}))
    assert (absent.answer, absent.accepted) == (None, ("Charles",))


@pytest.mark.parametrize(
    ("text", "start", "says"),
    [
        ("Lovelace", 1, "the answer 'Lovelace' does not stand at character 1 but at 4; correct answer_start"),
        ("Lovelace", 7, "the answer 'Lovelace' does not stand at character 7 but at 4; correct answer_start"),
        ("a", 3, "the answer 'a' does not stand at character 3; correct answer_start"),
        ("Charles", 0, "the answer 'Charles' does not stand at character 0; correct answer_start"),
        ("Ada", -1, "answer_start -1 is outside the 43 characters; correct it"),
        ("note.", 43, "answer_start 43 is outside the 43 characters; correct it"),
        ("Charles", -2, "answer_start -2 is outside the 43 characters; correct it"),
    ],
)
def test_an_answer_that_stands_elsewhere_is_refused(tmp_path: Path, text: str, start: int, says: str) -> None:
    with pytest.raises(BadInput, match=f"dev.json: question q1: {says}") as error:
        read_squad(written(tmp_path, {"answers": [given("Ada")]}, {"answers": [given(text, start)]}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "Invalid JSON"),
        ("[]", "SQuAD's JSON is expected"),
        ('{"data": [{"paragraphs": [{"context": "x"}]}]}', "data.0.paragraphs.0.qas: Field required"),
        ('{"data": []}', "holds no questions"),
        ("\udcff", "not UTF-8 at byte 0"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_such_file_is_told_in_one_line(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "x.json"
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput, match=says) as caught:
        read_squad(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="question q0: an answer is blank"):
        read_squad(written(tmp_path, {"answers": [given(" ", 3)]}))


FILES = {
    "xquad/xquad.en.json.gz": (1190, 1189),
    "xquad/xquad.zh.json.gz": (1190, 1190),
    "drcd/DRCD_dev.json.xz": (3524, 3524),
    "cmrc2018/cmrc2018_trial.json.xz": (1002, 1001),
    "cmrc2018/cmrc2018_dev.json.xz": (3219, 3218),
}
"""Questions, and those with an answer made of whole words."""


@pytest.mark.data("mrc")
@pytest.mark.parametrize("name", FILES)
def test_real_files_are_read_and_their_answers_quoted(tmp_path: Path, name: str) -> None:
    source = Path(os.environ.get("QUIRE_DATA", "")) / "mrc" / name
    if not source.is_file():
        pytest.skip(f"{name}: set QUIRE_DATA")
    path = tmp_path / "part.json"
    path.write_bytes((gzip if name.endswith("gz") else lzma).open(source).read())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ignored)
        problems = read_squad(path)
    told = [(p, span) for p in problems if isinstance(p.answer, frozenset) for span in p.answer]
    assert (len(problems), len(told)) == FILES[name]
    for problem, span in told:
        assert problem.quoted(span.start, span.end) in {text.strip() for text in problem.accepted}
    tokenizer = Tokenizer.train([p.texts[1] for p in problems[:50]], kind="wordpiece", size=900)
    assert all(len(item.passages) == 2 for item in items(problems[:20], tokenizer))
