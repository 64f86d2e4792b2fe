"""Scores of found answers: the official scripts' rows, and torchmetrics' SQuAD."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.paradigms.extract import best_margin
from quire.reading import exact, f1

PIECES = st.sampled_from([*"abtheno .,'-_!É", "the ", " a ", " an"])
TEXTS = st.lists(PIECES, min_size=1, max_size=9).map("".join)


@pytest.mark.parametrize(
    ("found", "accepted", "em", "score"),
    [
        ("The Broncos!", ["broncos"], 1, 1),
        ("Denver Broncos team", ["Denver Broncos", "Broncos"], 0, 0.8),
        ("two two one", ["two two two"], 0, 2 / 3),
        ("east–the–west", ["east– –west"], 1, 1),
        ("", [], 1, 1),
        ("Denver", [], 0, 0),
        ("", ["Denver"], 0, 0),
        ("the", [""], 1, 1),
        ("", ["the", "Denver"], 0, 0),  # what is nothing but an article does not count beside another
        ("U.S.", ["us"], 1, 1),
        ("theatre", ["atre"], 0, 0),
    ],
)
def test_rows_of_squad(found: str, accepted: list[str], em: float, score: float) -> None:
    assert exact(found, accepted) == em
    assert f1(found, accepted) == pytest.approx(score)


@pytest.mark.parametrize(
    ("found", "accepted", "em", "score"),
    [
        ("《村雨城》。", ["村雨城"], 1, 1),
        ("任天堂游戏谜之村雨城", ["村雨城"], 0, 6 / 13),
        ("光荣和ω-force", ["光荣"], 0, 2 / 3),  # 光 荣 和 ωforce
        ("村城雨", ["村雨城"], 0, 1 / 3),  # one run, not a bag
        ("1998年", ["1998 年"], 0, 1),
        ("iPhone 6S", ["iphone 6s手机"], 0, 2 / 3),
        ("3.5%", ["3.5"], 0, 2 / 3),
        ("", [], 1, 1),
        ("村", [], 0, 0),
    ],
)
def test_rows_of_cmrc(found: str, accepted: list[str], em: float, score: float) -> None:
    assert exact(found, accepted, chinese=True) == em
    assert f1(found, accepted, chinese=True) == pytest.approx(score)


@given(found=TEXTS, accepted=st.lists(TEXTS, min_size=1, max_size=3))
def test_torchmetrics_says_the_same_where_words_are_left(found: str, accepted: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of backends that are not asked for
        from torchmetrics.functional.text import squad
    if not all(f1(text, [""]) == 0 for text in (found, *accepted)):
        return  # 1.1 has no empty answers
    answers = {"answer_start": [0] * len(accepted), "text": accepted}
    theirs = squad([{"prediction_text": found, "id": "1"}], [{"answers": answers, "id": "1"}])
    assert 100 * exact(found, accepted) == float(theirs["exact_match"])
    assert 100 * f1(found, accepted) == pytest.approx(float(theirs["f1"]), abs=1e-4)


@given(
    rows=st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([0, 1]), st.sampled_from([0, 0.5, 1])), min_size=1),
    without=st.integers(0, 2),
)
def test_no_other_margin_scores_more(rows: list[tuple[int, int, float]], without: int) -> None:
    """`without` questions have no span at all: no answer is infinitely better."""
    margins, none, best = map(np.array, zip(*rows, *[(np.inf, 1, 0)] * without, strict=True))

    def score(threshold: float) -> float:
        return float(np.where(margins > threshold, none, best).sum())

    found = best_margin(margins.tolist(), none.tolist(), best.tolist())
    assert np.isfinite(found)
    assert score(found) == max(score(t) for t in (-9, *margins[np.isfinite(margins)].tolist()))
    assert best_margin([np.inf], [1], [0]) == 0
