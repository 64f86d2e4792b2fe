"""What every paradigm promises: what it formats it can read back, and what it learnt it can say."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from quire.core.catalogue import Component, catalogue
from quire.core.example import Batch, Example, Passage, World
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.paradigms import Paradigm
from quire.paradigms.classify import Classify
from quire.train.loop import planned

NAMES = [*catalogue(Paradigm), "classify-attention", "classify-private"]  # type: ignore[type-abstract]
LABELS = ("bad", "good", "好")


@pytest.fixture
def paradigm(name: str, member: Callable[[type[Component], str], Paradigm]) -> Paradigm:
    return member(Paradigm, name)


def records(world: World, paradigm: Paradigm, count: int = 12) -> tuple[list[Example], list[str]]:
    """Texts whose first token tells the label, of mixed lengths."""
    draw, labels = rng("records"), [LABELS[i % 3] for i in range(count)]
    made = []
    for i, label in enumerate(labels):
        tokens = np.array([10 + i % 3, *draw.integers(20, 60, size=draw.integers(0, 9))])
        made.append(paradigm.format([Passage(tokens, np.ones(len(tokens), dtype=bool))], label, world))
    return made, labels


@pytest.mark.parametrize("name", NAMES)
def test_gold_reads_back_what_format_wrote(paradigm: Paradigm, world: World) -> None:
    examples, labels = records(world, paradigm)
    assert [paradigm.gold(example) for example in examples] == labels


@pytest.mark.parametrize("name", NAMES)
def test_without_a_label_nothing_but_the_answer_is_missing(paradigm: Paradigm, world: World) -> None:
    text = Passage(np.array([7, 8]), np.ones(2, dtype=bool))
    asked, unasked = paradigm.format([text], LABELS[1], world), paradigm.format([text], None, world)
    assert (asked.tokens == unasked.tokens).all()
    assert (asked.segments == unasked.segments).all()
    assert not unasked.answers


@pytest.mark.parametrize("name", NAMES)
def test_decode_answers_in_the_order_the_examples_came_in(paradigm: Paradigm, world: World, tiny: Backbone) -> None:
    examples, labels = records(world, paradigm)
    model = Model(tiny, planned([paradigm], tiny, world), seed=1)
    optimizer, step = torch.optim.AdamW(model.parameters(), lr=1e-2), Step(model, Packed(Batch.pack(examples)))
    for _ in range(60):
        step = Step(model, step.batch)
        optimizer.zero_grad()
        paradigm.loss(step).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.eval()
    with torch.inference_mode():
        rows = paradigm.decode(Step(model, step.batch))
    torch.testing.assert_close(rows.sum(dim=1), torch.ones(len(examples)))
    assert [LABELS[i] for i in rows.argmax(dim=1)] == labels
    alone = [paradigm.decode(Step(model, Packed(Batch.pack([example])))) for example in examples]
    torch.testing.assert_close(rows, torch.cat(alone).detach(), atol=1e-5, rtol=1e-4)


def test_classify_decodes_the_softmax_of_its_scores(world: World, tiny: Backbone) -> None:
    task = Classify(labels=LABELS)
    model = Model(tiny, planned([task], tiny, world), seed=2).eval()
    examples = [Example.of(world.vocab, Passage(np.arange(5, 5 + n), np.ones(n, dtype=bool))) for n in (4, 2, 3)]
    step = Step(model, Packed(Batch.pack(examples)))
    scores = step.scores("classify", step.batch.first)[[2, 0, 1]]  # laid by length: 2, 3, 4
    torch.testing.assert_close(task.decode(step), scores.softmax(dim=1))
