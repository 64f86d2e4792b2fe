"""Texts and pairs as examples for a classifier: the layout of the paradigm, to the token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.example import Example, World
from quire.core.spec import Backbone
from quire.nn.model import Model
from quire.paradigms.classify import Classify
from quire.predict.encode import encode
from quire.predict.solver import Solver, Solving
from quire.text.cut import Cut
from quire.text.joined import Pair, joined, parts
from quire.text.problems import Problem
from quire.text.tokenizers import Tokenizer
from quire.train.evaluate import predict

WORDS = ("the", "lamp", "broke", "after", "two", "days")
TASK = Classify(labels=("no", "yes"))
TOKENIZER = Tokenizer.train([" ".join(WORDS)] * 5, kind="wordpiece", size=60)
SPEC = Backbone(vocab=TOKENIZER.vocab.size, depth=1, width=8, heads=2, ffn=8, positions=16)
MODEL = Model(SPEC, TASK.parts(SPEC, World(TOKENIZER.vocab)), seed=0)

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=14).map(" ".join)


def spelled(example: Example) -> list[str]:
    return [TOKENIZER.decode([token]) or "|" for token in example.tokens.tolist()]


@pytest.mark.parametrize(
    ("how", "first", "second"),
    [
        ("head", ["the", "lamp", "broke", "after"], ["two", "days", "the"]),
        ("tail", ["broke", "after", "two", "days"], ["two", "days", "the"]),
        ("head+tail", ["the", "after", "two", "days"], ["two", "days", "the"]),
        ("windows", ["the", "lamp", "broke", "after"], ["two", "days", "the"]),
    ],
)
def test_a_pair_is_laid_out_between_three_special_tokens_and_its_longer_text_is_cut(
    how: Cut, first: list[str], second: list[str]
) -> None:
    pair = Pair(" ".join(WORDS), "two days the")
    [example] = encode(TASK, TOKENIZER, [pair], length=10, how=how, labels=["yes"])
    vocab = TOKENIZER.vocab
    cls, sep = (TOKENIZER.decode([token]) or "|" for token in (vocab.cls, vocab.sep))
    assert spelled(example) == [cls, *first, sep, *second, sep]
    assert example.segments.tolist() == [0] * 6 + [1] * 4
    assert example.answers["classify"].tolist()[0] == 1


@given(first=texts, second=texts, alone=texts, how=st.sampled_from(["head", "tail", "head+tail", "windows"]))
def test_what_is_read_is_what_the_paradigm_reads(first: str, second: str, alone: str, how: Cut) -> None:
    mine = encode(TASK, TOKENIZER, [Pair(first, second), alone], length=12, how=how, labels=["yes", "no"])
    solver = Solver(MODEL, TOKENIZER, Solving(task="label", paradigm=TASK, length=12, cut=how))
    theirs, _ = solver.examples([Problem((first, second), "yes", "x"), Problem((alone,), "no", "x")])
    for one, other in zip(mine, theirs, strict=True):
        for field in ("tokens", "segments", "truth", "starts", "free"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
        np.testing.assert_array_equal(one.answers["classify"], other.answers["classify"])


def test_a_body_with_one_segment_has_both_texts_in_it() -> None:
    """RoBERTa's: as a body of two would read whose vectors are the same."""
    spec = SPEC.model_copy(update={"init_std": 0.5})
    two = Model(spec, TASK.parts(spec, World(TOKENIZER.vocab)), seed=3).eval()
    one = Model(spec.model_copy(update={"segments": 1}), two.head_specs).eval()
    state, name = two.state_dict(), "backbone.embeddings.segments.weight"
    one.load_state_dict({**state, name: state[name][:1]})
    examples = encode(TASK, TOKENIZER, [Pair("the lamp", "two days")], length=12, how="head")
    apart = predict(two, TASK, examples)
    state[name][1] = state[name][0]
    two.load_state_dict(state)
    np.testing.assert_array_equal(predict(one, TASK, examples), predict(two, TASK, examples))
    assert not np.allclose(apart, predict(two, TASK, examples), atol=1e-3)


@given(st.lists(texts, min_size=1, max_size=2))
def test_what_is_joined_can_be_parted(given_texts: list[str]) -> None:
    assert parts(joined(given_texts)) == tuple(given_texts)
    assert joined(given_texts) == "\n".join(given_texts)
