"""Scores of labels for aspects: the released code's on any answers, and what is corrected, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scoring import released

from quire.core.random import rng
from quire.scoring.categories import SEMEVAL, Floats, right_blocks, semeval, sentihood


def certain(labels: list[list[int]], count: int) -> Floats:
    return np.array(np.eye(count)[np.array(labels)])


@given(seed=st.integers(0, 10_000))
def test_official_scores_are_the_released_ones(seed: int) -> None:
    """On shares with ties, and answers that are often right."""
    random = rng(seed, "scores")
    for score, reference, aspects, count in ((sentihood, released.sentihood, 4, 3), (semeval, released.semeval, 5, 5)):
        truth_BA = random.integers(0, count, (30, aspects))
        hints_BAC = (random.random((30, aspects, 1)) < 0.5) * np.eye(count)[truth_BA]
        weights_BAC = random.integers(1, 4, (30, aspects, count)) + 2 * hints_BAC
        shares_BAC = weights_BAC / weights_BAC.sum(axis=-1, keepdims=True)
        flat = truth_BA.ravel().tolist(), shares_BAC.argmax(axis=-1).ravel().tolist()
        expected = reference(*flat, shares_BAC.reshape(-1, count).tolist())
        assert score(truth_BA, shares_BAC).official == pytest.approx(expected)


NONE, POSITIVE, NEGATIVE = 0, 1, 2


def test_sentihood_strict_and_f1_by_hand() -> None:
    truth = np.array([[1, 0, 0, 0], [1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    said = [[2, 0, 0, 0], [1, 2, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0]]  # a wrong polarity; right; right; three too many
    scores = sentihood(truth, certain(said, 3))
    assert scores.official["strict"] == 2 / 4
    assert scores.corrected["strict"] == 3 / 4
    assert scores.official["f1"] == 1.0  # what is said where nothing is costs nothing
    assert scores.corrected["f1"] == pytest.approx(2 * 3 / (3 + 6))
    assert scores.official["sentiment_accuracy"] == scores.corrected["sentiment_accuracy"] == pytest.approx(2 / 3)
    np.testing.assert_array_equal(right_blocks(truth, np.array(said)), [False, True, True, False])


def test_sentihood_sentiment_passes_over_none_officially() -> None:
    truth = np.array([[1, 2, 0, 0]])
    shares = np.array([[[0.8, 0.15, 0.05], [0.8, 0.05, 0.15], [1, 0, 0], [1, 0, 0]]])
    scores = sentihood(truth, shares)
    assert scores.official["sentiment_accuracy"] == 1.0
    assert scores.corrected["sentiment_accuracy"] == 0.0


def test_semeval_by_hand() -> None:
    positive, neutral, negative, conflict, none = range(5)
    truth = np.array([[positive, conflict, none, none, none], [none] * 5])
    shares = np.zeros((2, 5, 5))
    shares[0, 0] = [0.3, 0.1, 0.1, 0.1, 0.4]  # none, and positive next
    shares[0, 1] = [0.1, 0.1, 0.1, 0.6, 0.1]
    shares[0, 2:] = np.eye(5)[none]
    shares[1] = np.eye(5)[[negative, none, none, none, neutral]]
    scores = semeval(truth, shares)
    assert scores.official == pytest.approx(
        {"precision": 1, "recall": 1 / 2, "f1": 2 / 3, "accuracy_4": 1, "accuracy_3": 1, "accuracy_2": 1}
    )
    accuracies = {"accuracy_4": 1 / 2, "accuracy_3": 0, "accuracy_2": 0}
    assert scores.corrected == pytest.approx(
        {"precision": 1 / 3, "recall": 1 / 2, "f1": 2 / 5, "joint_f1": 2 / 5, **accuracies}
    )


def test_other_labels_are_scored_as_semeval() -> None:
    """Polarities that nobody has change nothing, in whatever order the labels stand."""
    random, ours = rng(7, "labels"), ("negative", "positive", "none")
    truth_BA, shares_BAC = random.integers(0, 3, (30, 4)), random.random((30, 4, 3))
    numbers = np.array([SEMEVAL.index(label) for label in ours])
    wide_BAC = np.full((30, 4, 5), -1.0)
    wide_BAC[..., numbers] = shares_BAC
    found = semeval(truth_BA, shares_BAC, ours)
    assert found == semeval(numbers[truth_BA], wide_BAC)
    assert found.corrected["joint_f1"] < found.corrected["f1"]
    assert semeval(np.array([[0, 1]]), certain([[0, 0]], 2), ("mentioned", "none")).corrected == pytest.approx(
        {"precision": 1 / 2, "recall": 1, "f1": 2 / 3, "joint_f1": 2 / 3}
    )


def test_what_has_no_score_is_told() -> None:
    truth = np.zeros((2, 4), dtype=int)
    nothing = sentihood(truth, certain(truth.tolist(), 3))
    assert nothing.official["strict"] == nothing.corrected["strict"] == 1.0
    assert nothing.official["f1"] == nothing.official["sentiment_accuracy"] == 0.0
    assert np.isnan(nothing.official["auc"])
    assert np.isnan(nothing.official["sentiment_auc"])
    polarity_free = sentihood(np.array([[1, 0, 0, 0], [2, 0, 0, 0]]), certain([[0] * 4] * 2, 3))
    assert polarity_free.official["sentiment_accuracy"] == 0.5  # a half is Positive
    assert polarity_free.official["sentiment_auc"] == 0.5
