"""Answers come back in the order the examples came in, whatever the batches were."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quire.core.example import Batch, Example, Passage, World
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.paradigms.classify import Classify
from quire.train import evaluate

Draw = Callable[[int, Rng], Passage]
TASK = Classify(labels=("a", "b", "c"))


@pytest.fixture(scope="module")
def model(tiny: Backbone, world: World) -> Model:
    spec = tiny.model_copy(update={"init_std": 0.3, "dropout": 0.5})
    return Model(spec, TASK.parts(spec, world), seed=1)


@given(lengths=st.lists(st.integers(1, 30), max_size=12), budget=st.integers(1, 60))
def test_batches_hold_each_example_once_and_keep_to_the_budget(
    passage: Draw, world: World, lengths: list[int], budget: int
) -> None:
    examples = [Example.of(world.vocab, passage(n, rng(n))) for n in lengths]
    found = list(evaluate.batches(examples, tokens=budget))
    assert sorted(int(i) for part in found for i in part) == list(range(len(lengths)))
    for part in found:
        assert len(part) == 1 or sum(len(examples[i]) for i in part) <= budget


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=9))
def test_answers_and_means_come_back_in_order(model: Model, passage: Draw, world: World, lengths: list[int]) -> None:
    examples = [Example.of(world.vocab, passage(n, rng(n, i))) for i, n in enumerate(lengths)]
    model.train()  # evaluating must not draw dropout
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "TOKENS", 40)
        rows, means = evaluate.predict(model, TASK, examples), evaluate.embed(model, examples)
    assert rows.dtype == np.float32
    for example, row, mean in zip(examples, rows, means, strict=True):
        with torch.inference_mode():
            step = Step(model.eval(), Packed(Batch.pack([example])))
            np.testing.assert_allclose(row, TASK.says(step)[0], atol=1e-5)
            np.testing.assert_allclose(mean, step.encode().mean(dim=0), atol=1e-5)
