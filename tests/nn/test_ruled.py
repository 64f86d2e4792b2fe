"""Random log-probabilities under the grammar never say anything malformed and always end; without it they do.

Legend: S sources, R rows, K columns.
"""

import numpy as np
import pytest
import torch
from torch import Tensor

from quire.core.grammar import END, Columns, Grammar
from quire.core.search import Sample, Search, Written
from quire.core.subtasks import OF_ASPECT, SUBTASKS, Question, Subtask, Told
from quire.nn.ruled import Rule, Ruled
from quire.nn.search import found
from quire.nn.writer import Ends, Writer

LABELS = ("positive", "negative", "neutral")
COLUMNS = [Columns(LABELS, np.array(first)) for first in ([1, 2, -1, 5, 6], [1, 4, 5], [-1])] * 10
SEARCHES = {
    "greedy": Search(limit=11),
    "beam": Search(limit=11, beam=4, length_penalty=1.0),
    "drawn": Search(limit=11, sample=Sample(seed=3)),
    "short": Search(limit=2, beam=3),
}


class Dice:
    """Tells anything, and forgets what stood before."""

    def __init__(self, sources: int, seed: int) -> None:
        self.rows, self.draw = sources, torch.Generator().manual_seed(seed)

    def start(self) -> Tensor:
        return self.told()

    def next(self, tokens_R: Tensor) -> Tensor:
        return self.told()

    def reorder(self, rows: Tensor) -> None:
        self.rows = len(rows)

    def told(self) -> Tensor:
        scores_RK = torch.randn(self.rows, 1 + len(LABELS) + 8, generator=self.draw)
        return scores_RK.mul(3).log_softmax(dim=1)


def question(subtask: Subtask) -> Question:
    return Question(subtask, (0, 1) if subtask in OF_ASPECT else None)


def told(asked: Question, written: list[Written]) -> list[Told]:
    return [
        asked.decode([columns.symbol(column) for column in one.tokens.tolist() if len(columns.words) or column < 4])
        for one, columns in zip(written, COLUMNS, strict=True)
    ]


def searched(writer: Writer, search: Search) -> list[Written]:
    return found(writer, Ends(search, END))


@pytest.mark.parametrize("way", SEARCHES)
@pytest.mark.parametrize("subtask", SUBTASKS)
def test_what_keeps_to_the_grammar_is_valid_and_ends(subtask: Subtask, way: str) -> None:
    asked, search = question(subtask), SEARCHES[way]
    rules = [Grammar.of(asked, columns, limit=search.limit) for columns in COLUMNS]
    written = searched(Ruled(Dice(len(COLUMNS), 1), rules), search)
    assert all(one.finished for one in written)
    answers = told(asked, written)
    assert all(answer.invalid == 0 for answer in answers)
    if asked.once:
        assert all(len(answer.opinions) == 1 for answer in answers)
    elif search.limit > 1 + asked.size:
        assert any(answer.opinions for answer in answers)


@pytest.mark.parametrize("subtask", SUBTASKS)
def test_what_keeps_to_none_is_malformed_and_breaks_off(subtask: Subtask) -> None:
    written = searched(Dice(len(COLUMNS), 1), SEARCHES["greedy"])
    assert sum(answer.invalid for answer in told(question(subtask), written)) > len(COLUMNS) / 2
    assert not all(one.finished for one in written)


class Twice:
    """Allows one token, and then another."""

    def __init__(self, *tokens: int) -> None:
        self.tokens = tokens

    def allowed(self) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        return np.array(self.tokens[:1])

    def after(self, token: int) -> "Twice":
        assert token == self.tokens[0]
        return Twice(*self.tokens[1:])


def test_rules_go_along_with_their_rows() -> None:
    rules: list[Rule] = [Twice(7, 5, END), Twice(6, END), Twice(3, 4, 8, END)]
    for search in (Search(limit=5), Search(limit=5, beam=2)):
        written = searched(Ruled(Dice(3, 2), rules), search)
        assert [one.tokens.tolist() for one in written] == [[7, 5], [6], [3, 4, 8]]


def test_what_is_allowed_keeps_its_probability() -> None:
    plain, ruled = Dice(1, 4), Ruled(Dice(1, 4), [Twice(2, END)])
    before, after = plain.start(), ruled.start()
    assert after[0, 2] == before[0, 2]
    assert (after[0].isfinite()).sum() == 1
