"""Every form of auxiliary sentence is learnt by a course as it stands, and scored on the blocks it was made from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quire.core.opinions import Opinion, Polarity, Review
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.finetune.course import Course, How
from quire.nn.model import Model
from quire.paradigms.classify import Classify
from quire.scoring import Scores
from quire.scoring.categories import sentihood
from quire.text.asked import Asked
from quire.text.auxiliary import FORMS, SENTIHOOD, Form, sheet
from quire.text.tokenizers import Tokenizer
from quire.train.optim import TrainPlan
from quire.train.start import Base
from quire.train.weights import ModelFiles


def places(count: int) -> list[Review]:
    """What is said of the price alone, in one word."""
    words: tuple[tuple[str, Polarity | None], ...] = (("cheap", "positive"), ("dear", "negative"), ("there", None))
    found = []
    for number in range(count):
        word, liked = words[number % 3]
        said = () if liked is None else (Opinion((0, 1), polarity=liked, category="price"),)
        found.append(Review.of_words(["LOCATION1", "is", word, f"n{number % 7}"], said, f"row {number}"))
    return found


def learnt(folder: Path, form: Form, *, shuffled: bool = False) -> Scores:
    """Two aspects, of which only the price is ever spoken of; six blocks are scored."""
    scheme = replace(SENTIHOOD, aspects={"price": "price", "safety": "safety"})
    train, test = (
        sheet(places(count), scheme=scheme, form=form, shuffled=rng(count, "aspects") if shuffled else None)
        for count in (24, 6)
    )
    texts = [text for problem in train.problems for text in problem.texts]
    tokenizer = Tokenizer.train(texts, kind="wordpiece", size=150)
    spec = Backbone(vocab=tokenizer.vocab.size, depth=1, width=32, heads=2, ffn=32, positions=48, segments=2)
    base = Base("toy", ModelFiles(spec, heads={}, state=Model(spec, {}, seed=1).state_dict()), tokenizer)
    said_IX = np.zeros((len(test.problems), len(test.labels)), dtype=np.float32)
    for name, part in train.parts.items():
        asked_of = [test.problems[number] for number in test.parts[name]]
        asked = Asked("label", [train.problems[number] for number in part], asked_of, asked_of, train.labels)
        epochs = (480 if form == "single" else 2400) // len(part)
        how = How(train=TrainPlan(steps=1, batch=8, lr=1e-2), epochs=epochs, length=48)
        paradigm = Classify(labels=train.labels)
        solver = Course(asked, base, how).learn(paradigm, seed=0, folder=folder / name, title=name).solver
        said_IX[test.parts[name]] = solver.probabilities(asked_of)
    shares_BAC = test.shares(said_IX)
    np.testing.assert_allclose(shares_BAC.sum(axis=-1), 1, atol=1e-5)
    return sentihood(test.truth, shares_BAC)


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_learnt_and_scored(tmp_path: Path, form: Form) -> None:
    strict = learnt(tmp_path, form).official["strict"]
    if form in ("single", "nli_m"):  # the others need more updates than a test has
        assert strict >= 0.8


def test_a_second_text_of_another_aspect_is_no_help(tmp_path: Path) -> None:
    assert learnt(tmp_path, "nli_m", shuffled=True).official["strict"] <= 0.6
