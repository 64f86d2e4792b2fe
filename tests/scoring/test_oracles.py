"""What constant answers score on the releases, known exactly, where $QUIRE_DATA has them."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from quire.scoring.categories import Floats, semeval, sentihood
from quire.text.absa import read_reviews
from quire.text.auxiliary import FORMS, SEMEVAL_2014, SENTIHOOD, Form, Sheet, sheet

DATA = Path(os.environ.get("QUIRE_DATA", "nowhere")) / "absa"
pytestmark = [
    pytest.mark.data("absa"),
    pytest.mark.skipif(not DATA.is_dir(), reason="needs $QUIRE_DATA/absa"),
    pytest.mark.filterwarnings("ignore::quire.core.errors.Ignored"),
]


@cache
def hood(part: str, form: Form = "nli_m") -> Sheet:
    return sheet(read_reviews(DATA / f"sentihood/sentihood-{part}.json"), scheme=SENTIHOOD, form=form)


@cache
def meals(part: str, form: Form = "nli_m") -> Sheet:
    return sheet(read_reviews(DATA / f"semeval2014/Restaurants_{part}.xml"), scheme=SEMEVAL_2014, form=form)


def always(found: Sheet, label: str) -> Floats:
    row = np.array([one == label for one in found.scheme.labels], dtype=float)
    return np.broadcast_to(row, (*found.truth.shape, len(row)))


def test_sentihood_has_the_published_pairs() -> None:
    assert [len(hood(part).problems) for part in ("train", "dev", "test")] == [15_008, 3_748, 7_516]
    assert np.bincount(hood("test").truth.ravel()).tolist() == [6_300, 810, 406]
    assert (hood("test").truth == 0).all(axis=1).sum() == 900
    assert len(hood("test").blocks) == 1_879


def test_semeval_has_the_published_pairs() -> None:
    assert [len(meals(part).problems) for part in ("Train", "Test_Gold")] == [5 * 3_044, 5 * 800]
    assert np.bincount(meals("Test_Gold").truth.ravel()).tolist() == [657, 94, 222, 52, 4_000 - 1_025]
    assert (meals("Train").truth != 4).sum() == 3_714 - 2  # two categories are annotated twice
    assert (meals("Test_Gold").truth != 4).any(axis=1).all()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_asks_the_same(form: Form) -> None:
    several = 3 if form.endswith("_b") else 1
    assert len(hood("dev", form).problems) == several * 3_748
    assert len(hood("dev", form).parts) == (8 if form == "single" else 1)
    np.testing.assert_array_equal(hood("dev", form).truth, hood("dev").truth)
    assert not any("location1" in text for problem in hood("dev", form).problems for text in problem.texts)


def test_saying_none_on_sentihood() -> None:
    scores = sentihood(hood("test").truth, always(hood("test"), "None"))
    assert scores.official["strict"] == scores.corrected["strict"] == 900 / 1_879
    assert scores.official["strict"] == pytest.approx(0.4790, abs=5e-5)
    assert scores.official["f1"] == scores.corrected["f1"] == 0.0  # where the released code divides 0 by 0
    assert scores.official["auc"] == scores.official["sentiment_auc"] == 0.5
    assert scores.corrected["sentiment_accuracy"] == 0.0


def test_saying_positive_on_sentihood() -> None:
    scores = sentihood(hood("test").truth, always(hood("test"), "Positive"))
    assert scores.official["sentiment_accuracy"] == scores.corrected["sentiment_accuracy"] == 810 / 1_216
    assert scores.official["sentiment_accuracy"] == pytest.approx(0.6661, abs=5e-5)
    assert scores.corrected["f1"] == pytest.approx(2 * 1_216 / (1_216 + 7_516))
    assert scores.official["f1"] > 1.5 * scores.corrected["f1"]  # of blocks that have an aspect alone


def test_saying_all_aspects_are_liked_on_semeval() -> None:
    scores = semeval(meals("Test_Gold").truth, always(meals("Test_Gold"), "positive"))
    assert scores.corrected == {**scores.official, "joint_f1": pytest.approx(2 * 657 / (4_000 + 1_025))}
    assert scores.official == pytest.approx(
        {
            "precision": 1_025 / 4_000,
            "recall": 1.0,
            "f1": 2 * 1_025 / (1_025 + 4_000),
            "accuracy_4": 657 / 1_025,
            "accuracy_3": 657 / 973,
            "accuracy_2": 657 / 879,
        }
    )


def test_saying_nothing_on_semeval() -> None:
    scores = semeval(meals("Test_Gold").truth, always(meals("Test_Gold"), "none"))
    assert scores.official["f1"] == scores.official["recall"] == scores.corrected["accuracy_4"] == 0.0
    assert scores.official["accuracy_4"] == 657 / 1_025  # all polarities tie, and the first is taken
