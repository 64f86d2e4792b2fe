"""How right answers are, against hand calculation, scikit-learn and scipy; sums over items give the official scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import f1_score, matthews_corrcoef

from quire.core.answers import Answer, Span, Tree
from quire.marking import DECIDABLE, METRICS, figures, marks, ratio
from quire.text.problems import Problem


def of_words(answer: Answer, words: int = 4) -> Problem:
    return Problem.of_words(["w"] * words, answer, "here")


def labelled(*labels: str) -> list[Problem]:
    return [Problem(("t",), label, "here") for label in labels]


SPANS = [
    (frozenset({Span(0, 2, "NP"), Span(2, 3, "VP")}), frozenset({Span(0, 2, "NP"), Span(2, 4, "VP")})),
    (frozenset({Span(0, 1, "NP")}), frozenset({Span(0, 1, "VP")})),  # the right words, the wrong kind
    (frozenset(), frozenset()),
    (frozenset({Span(1, 3, "NP")}), frozenset()),
]


def test_span_f1_is_of_all_texts_together() -> None:
    problems, found = [of_words(truth) for truth, _ in SPANS], [answer for _, answer in SPANS]
    scores = figures("spans", problems, found)
    assert scores["precision"] == pytest.approx(1 / 3)
    assert scores["recall"] == pytest.approx(1 / 4)
    assert scores["f1"] == pytest.approx(2 * (1 / 3) * (1 / 4) / (1 / 3 + 1 / 4))
    assert figures("spans", [of_words(frozenset())], [frozenset()])["f1"] == 0.0


def test_trees_count_words() -> None:
    truth = Tree((2, 0, 2), ("det", "root", "obj"))
    near = Tree((2, 0, 1), ("det", "root", "obj"))
    renamed = Tree((2, 0, 2), ("det", "root", "nsubj"))
    problems = [of_words(truth, 3)] * 2
    assert figures("tree", problems, [truth, truth]) == {"las": 1.0, "uas": 1.0}
    assert figures("tree", problems, [near, renamed]) == pytest.approx({"las": 4 / 6, "uas": 5 / 6})


def asked(passage: str, accepted: tuple[str, ...], answer: frozenset[Span]) -> Problem:
    words, at, places = passage.split(), 0, []
    for word in words:
        places.append((at, at + len(word)))
        at += len(word) + 1
    return Problem(("who ?", passage), answer, "here", tuple(places), accepted)


def test_reading_takes_the_best_accepted_answer() -> None:
    passage = "the great Denver Broncos won"
    known = asked(passage, ("Denver Broncos", "Broncos"), frozenset({Span(2, 4, "answer")}))
    none = asked(passage, (), frozenset())
    said = [frozenset({Span(0, 4, "answer")}), frozenset({Span(3, 4, "answer")}), frozenset()]
    assert figures("reading", [known], [said[1]]) == {"f1": 1.0, "exact": 1.0}
    assert figures("reading", [known], [said[0]]) == pytest.approx({"f1": 0.8, "exact": 0.0})  # "great" is too much
    assert figures("reading", [known, none], [said[2], said[2]]) == {"f1": 0.5, "exact": 0.5}
    assert figures("reading", [none], [said[1]]) == {"f1": 0.0, "exact": 0.0}


def test_labels_and_numbers_are_scored_by_the_libraries() -> None:
    truth, found = ["a", "b", "a", "a", "b"], ["a", "b", "b", "a", "a"]
    scores = figures("label", labelled(*truth), found)
    assert scores["accuracy"] == pytest.approx(0.6)
    assert scores["matthews"] == pytest.approx(matthews_corrcoef(truth, found))
    assert scores["macro_f1"] == pytest.approx(f1_score(truth, found, average="macro"))
    assert scores["f1"] == pytest.approx(f1_score(truth, found, pos_label="b"))
    assert "f1" not in figures("label", labelled("a", "b", "c"), ["a", "b", "c"])
    numbers, said = [1.0, 2.5, 3.0, 0.5], [0.9, 2.0, 3.5, 1.0]
    scores = figures("number", [Problem(("t", "u"), number, "here") for number in numbers], said)
    assert scores["pearson"] == pytest.approx(pearsonr(numbers, said).statistic)
    assert scores["spearman"] == pytest.approx(spearmanr(numbers, said).statistic)
    assert figures("number", [Problem(("t",), 1.0, "h")] * 3, [2.0] * 3) == {"pearson": 0.0, "spearman": 0.0}


@given(rows=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=20))
def test_marks_add_up_to_the_score(rows: list[tuple[str, str]]) -> None:
    truth, found = [row[0] for row in rows], [row[1] for row in rows]
    score = figures("label", labelled(*truth), found)["accuracy"]
    assert ratio(marks("label", "accuracy", labelled(*truth), found)) == pytest.approx(score)


def test_every_metric_that_decides_can_be_taken_apart_or_is_of_classes() -> None:
    for task, metrics in DECIDABLE.items():
        for metric in metrics:
            assert metric in METRICS[task]
            if metric != "macro_f1":
                assert marks(task, metric, [], []).shape == (0, 2)
    with pytest.raises(ValueError, match="no ratio of sums"):
        marks("number", "pearson", [], [])
    assert ratio(np.zeros((0, 2))) == 0.0
