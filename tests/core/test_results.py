"""The records of a study: round trip, checks, and what is derived from them. R runs, E examples, C classes."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from quire.core.errors import BadInput
from quire.core.results import Arm, DataFacts, Environment, Point, Quantisation, Study


def an_arm(name: str = "tuned", **changed: Any) -> Arm:
    probabilities = np.array([[[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], [[0.2, 0.8], [0.3, 0.7], [1 / 3, 2 / 3]]])
    fields: dict[str, Any] = {
        "title": "Tuned",
        "how": "Trained.",
        "seeds": (3, 4),
        "dev": (0.5, 0.75),
        "predictions": probabilities.argmax(-1),
        "probabilities": probabilities,
        "curves": ((Point(step=1, loss=0.7),), (Point(step=2, dev=0.5),)),
    }
    return Arm(name=name, **{**fields, **changed})


def a_study(**changed: Any) -> Study:
    fields: dict[str, Any] = {
        "title": "标题",
        "labels": ("好", "坏"),
        "truth": [0, 0, 0],
        "metric": "accuracy",
        "arms": (an_arm(),),
        "selected": "tuned",
        "budget": "60 s",
        "data": DataFacts(splits=()),
        "environment": Environment(cpu="some", cores=2, threads=1),
        "seconds": 1.5,
        "leaked": (1,),
    }
    return Study(**{**fields, **changed})


def test_json_gives_back_the_same_study() -> None:
    study = a_study().with_texts(["一", "二", "三"])
    again = Study.from_json(study.to_json())
    assert again.to_json() == study.to_json()
    ours, theirs = study.arm("tuned"), again.arm("tuned")
    assert ours.probabilities is not None
    assert theirs.probabilities is not None
    np.testing.assert_array_equal(theirs.probabilities, ours.probabilities)
    np.testing.assert_array_equal(theirs.predictions, ours.predictions)
    assert theirs.curves == ours.curves
    assert again.texts == study.texts


def test_arrays_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        a_study().truth[0] = 1


def test_the_callers_array_stays_the_callers() -> None:
    truth = np.array([0, 0, 0])
    study = a_study(truth=truth)
    truth[0] = 1
    assert study.truth[0] == 0


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"title": 3}'])
def test_what_is_no_study_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput, match=r"^run/results\.json: not the results of a study: .+$"):
        Study.from_json(text, where="run/results.json")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"selected": "tunde"}, "no arm named 'tunde'"),
        ({"arms": (an_arm(), an_arm())}, "different names"),
        ({"truth": [0, 0]}, "3 predictions for 2 truths"),
        ({"truth": [0, 0, 2]}, "indices of the 2 labels"),
        ({"truth": [0.5, 0.0, 1.0]}, "whole numbers"),
        ({"arms": (an_arm(predictions=[[0, 1, 2], [0, 0, 0]]),)}, "no index of the 2 labels"),
        ({"labels": ("a", "b", "c")}, "probabilities of 2 classes"),
    ],
)
def test_a_study_that_contradicts_itself_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        a_study(**changed)


@pytest.mark.parametrize(
    "changed", [{"seeds": (3,)}, {"seeds": (3, 3)}, {"dev": (0.5,)}, {"curves": ((),)}, {"predictions": [0, 1, 0]}]
)
def test_an_arm_that_contradicts_itself_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        an_arm(**changed)


def test_worst_mistakes_are_those_of_the_deployed_run_the_surest_first() -> None:
    assert a_study().worst() == [0, 1, 2]  # run 1, best on dev: wrong everywhere, sure by 0.8, 0.7, 0.67
    assert a_study(truth=[1, 0, 1]).worst() == [1]
    assert a_study().with_texts(["a", "b", "c"], limit=2).texts == {0: "a", 1: "b"}


@pytest.mark.parametrize(("kept", "deployed"), [(True, "int8"), (False, "tuned")])
def test_int8_is_deployed_when_it_was_kept(kept: bool, deployed: str) -> None:
    quantisation = Quantisation(arm="int8", kept=kept, why="", speedup=2.0, loss=0.1)
    study = a_study(arms=(an_arm(), an_arm("int8")), quantisation=quantisation)
    assert study.deployed.name == deployed
