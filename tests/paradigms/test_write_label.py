"""A class that is written: the exact probability of its name, and what cannot be told apart is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from quire.core.answers import Item
from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Example, Passage, World
from quire.core.spec import Backbone
from quire.core.visibility import Prefix
from quire.nn.model import Model, Packed, Step
from quire.paradigms import write_label
from quire.paradigms.write_label import WriteLabel
from quire.predict.encode import fitted
from quire.train.loop import planned

NAMES = {"bad": "not so good", "good": "good", "好": "very good"}
TASK = WriteLabel(labels=("bad", "good", "好"), names=NAMES)


def run(*tokens: int) -> Passage:
    return Passage(np.array(tokens, dtype=np.int64), np.ones(len(tokens), dtype=bool))


def item(*lengths: int) -> Item:
    return Item(tuple(run(*(5 + (i * 7 + n) % 55 for i in range(n))) for n in lengths))


def name(text: str, world: World) -> list[int]:
    tokens: list[int] = world.spelled(text).tokens.tolist()
    return tokens


def test_a_prompt_and_its_answer(world: World) -> None:
    bad, good, very = name("not so good", world), name("good", world), name("very good", world)
    (prompt,) = TASK.format(Item((run(7, 8), run(9))), None, world)
    assert prompt.tokens.tolist() == [2, 7, 8, 3, 9, 3, *bad, 3, *good, 3, *very, 3]
    assert prompt.segments.tolist() == [0] * 6 + [1] * 9
    assert prompt.sees == Prefix(15)
    assert not prompt.answers
    (example,) = TASK.format(Item((run(7, 8), run(9))), "好", world)
    assert example.tokens.tolist() == [*prompt.tokens.tolist(), *very, 3]
    assert example.sees == Prefix(15)
    assert example.segments[15:].tolist() == [1] * 3
    asked = example.answers[TASK.slot]
    assert np.flatnonzero(asked != IGNORE).tolist() == [14, 15, 16]
    assert asked[14:17].tolist() == [*very, 3]


@pytest.mark.parametrize("texts", [(60,), (1, 60), (30, 40)])
def test_texts_are_cut_to_what_is_left(texts: tuple[int, ...], world: World) -> None:
    (kept,) = fitted([item(*texts)], TASK, world, how="head")
    examples = [TASK.format(kept, label, world)[0] for label in TASK.labels]
    assert max(map(len, examples)) == world.length
    assert all(len(example) <= world.length for example in examples)
    assert [len(example) for example in TASK.format(item(1, 2), None, world)] == [2 + 2 + 3 + 9 - 1]


def full_pass(model: Model, texts: Item, world: World) -> np.ndarray[Any, Any]:
    """p [C] from an example with its answer for each label."""
    log_p = []
    for label in TASK.labels:
        step = Step(model, Packed(Batch.pack(TASK.format(texts, label, world))))
        told = step.logits(TASK.slot, head=TASK.head).log_softmax(dim=1)
        log_p.append(told.gather(1, step.answers(TASK.slot)[:, None]).sum())
    found: np.ndarray[Any, Any] = torch.stack(log_p).softmax(dim=0).numpy()
    return found


@pytest.mark.parametrize("rows", [256, 6, 1])
def test_what_is_said_is_the_probability_of_the_whole_name(
    rows: int, world: World, tiny: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_label, "ROWS", rows)
    spec = tiny.model_copy(update={"init_std": 0.3})
    model = Model(spec, planned([TASK], spec, world), seed=5).eval()
    texts = [item(*lengths) for lengths in ((9,), (2,), (5, 3), (2,), (4, 4))]
    examples = [TASK.format(text, None, world)[0] for text in texts]
    with torch.inference_mode():
        told = TASK.says(Step(model, Packed(Batch.pack(examples))))
        expected = [full_pass(model, text, world) for text in texts]
    np.testing.assert_allclose(np.stack(told), np.stack(expected), atol=1e-5, rtol=1e-4)
    assert np.ptp(np.stack(told)) > 0.1
    again = [TASK.format(text, "bad", world)[0] for text in texts]  # what is there of an answer is not looked at
    with torch.inference_mode():
        np.testing.assert_allclose(np.stack(TASK.says(Step(model, Packed(Batch.pack(again))))), told, atol=1e-6)


def test_a_sequence_without_a_prompt_is_no_question(world: World, tiny: Backbone) -> None:
    model = Model(tiny, planned([TASK], tiny, world))
    with pytest.raises(ValueError, match="does not begin with a prompt"):
        TASK.says(Step(model, Packed(Batch.pack([Example.of(world.vocab, run(7))]))))


def test_what_cannot_be_told_apart_or_has_no_room_is_refused(world: World, tiny: Backbone) -> None:
    with pytest.raises(ValidationError, match="no label 'god'; did you mean 'good'"):
        WriteLabel(labels=("bad", "good"), names={"bad": "bad", "god": "x"})
    for task, why in (
        (
            WriteLabel(labels=("a", "b"), names={"a": "same", "b": "same"}),
            "'a' and 'b' are the same in tokens",
        ),
        (
            WriteLabel(labels=("a", "b"), names={"a": "a", "b": " "}),
            "'b' is called ' ', which has no tokens",
        ),
        (WriteLabel(labels=tuple(map(str, range(12)))), "12 names take 28 of 32 tokens and leave no room"),
    ):
        with pytest.raises(BadInput, match=why):
            planned([task], tiny, world)
    with pytest.raises(BadInput, match="cannot be told token by token"):
        planned([TASK], tiny.model_copy(update={"position": "relative", "embedding_norm": False}), world)
