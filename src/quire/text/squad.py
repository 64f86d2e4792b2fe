"""Questions about passages as SQuAD 1.1 and 2.0 write them (XQuAD, DRCD and CMRC 2018 too).

    {"data": [{"paragraphs": [{"context": ..., "qas": [{"id": ..., "question": ...,
        "answers": [{"text": ..., "answer_start": ...}], "is_impossible": false}]}]}]}

Whatever else stands there is left alone.
"""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from quire.core.answers import Span, Spans
from quire.core.errors import BadInput, Ignored
from quire.text.problems import Problem
from quire.text.words import word_places

LABEL = "answer"
"""What the span of an answer is called."""
SLIP = 2
"""Characters by which an answer may stand beside its place."""


class _Given(BaseModel):
    text: str
    answer_start: int


class _Asked(BaseModel):
    id: str | int
    question: str
    answers: list[_Given] | None = None
    is_impossible: bool = False


class _Paragraph(BaseModel):
    context: str
    qas: list[_Asked]


class _Article(BaseModel):
    paragraphs: list[_Paragraph]


class _File(BaseModel):
    data: list[_Article]


def read_squad(path: str | Path) -> list[Problem]:
    """The questions of a file, in its order, each with its passage: `texts` are both, `accepted` all answers.

    The answer is the first that is made of whole words, or the empty set where `is_impossible`. It is None where nobody
    gave one, and where none is made of whole words: such questions can be asked and scored, and are not learnt from.
    BadInput for what is not such a file, and for an answer that does not stand where it is said to. Two faults of
    published files (CMRC 2018) are let pass: a place that is off by a character or two is put right, and -1 for an
    answer in other words than the passage is only accepted. What was put right or is not learnt from is told in one
    warning, `Ignored`.
    """
    counts: Counter[str] = Counter()
    problems = []
    for paragraph in (p for article in _parsed(Path(path)).data for p in article.paragraphs):
        words = word_places(paragraph.context)
        for asked in paragraph.qas:
            where = f"{path}: question {asked.id}"
            places = [_place(given, paragraph.context, where, counts) for given in asked.answers or ()]
            answer = frozenset() if asked.is_impossible else _answer(places, words, counts)
            accepted = () if asked.is_impossible else tuple(given.text for given in asked.answers or ())
            problems.append(Problem((asked.question, paragraph.context), answer, where, words, accepted))
    if not problems:
        raise BadInput(f"{path}: holds no questions; they stand under data, paragraphs, qas")
    if told := [f"{count} {what}" for what, count in counts.items()]:
        warnings.warn(f"{path}: of {len(problems)} questions {', '.join(told)}", Ignored, stacklevel=2)
    return problems


def _parsed(path: Path) -> _File:
    try:
        return _File.model_validate_json(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BadInput(f"{path}: {place + ': ' if place else ''}{first['msg']}; SQuAD's JSON is expected") from None


def _place(given: _Given, context: str, where: str, counts: Counter[str]) -> tuple[int, int] | None:
    """The first character of an answer, and that behind its last, without outer blanks; None where it is absent."""
    text, start = given.text, given.answer_start
    if not text.strip():
        raise BadInput(f"{where}: an answer is blank; remove it, or set is_impossible")
    if start == -1 and text not in context:
        return None
    if not 0 <= start < len(context):
        raise BadInput(f"{where}: answer_start {start} is outside the {len(context)} characters; correct it")
    if not context.startswith(text, start):
        off = min(SLIP, len(text) - 1)  # it still overlaps its place
        near = [at for at in range(max(start - off, 0), start + off + 1) if context.startswith(text, at)]
        if len(near) != 1:
            told = f"the answer {text[:40]!r} does not stand at character {start}"
            known = f" but at {context.index(text)}" if context.count(text) == 1 else ""
            raise BadInput(f"{where}: {told}{known}; correct answer_start")
        counts["have an answer that stands a character or two off, and was put right"] += 1
        start = near[0]
    first = start + len(text) - len(text.lstrip())
    return first, first + len(text.strip())


def _answer(
    places: Sequence[tuple[int, int] | None], words: Sequence[tuple[int, int]], counts: Counter[str]
) -> Spans | None:
    """The first of the places that is made of whole words."""
    starts = {start: number for number, (start, _) in enumerate(words)}
    ends = {end: number for number, (_, end) in enumerate(words, start=1)}
    for place in places:
        if place is not None and place[0] in starts and place[1] in ends:
            return frozenset({Span(starts[place[0]], ends[place[1]], LABEL)})
    if places:
        counts["have no answer made of whole words of the passage and are not learnt from"] += 1
    return None
