"""What every paradigm promises: what it formats it can read back, and what it learnt it can say."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from quire.core.answers import Item
from quire.core.catalogue import Component, catalogue
from quire.core.example import Batch, Example, Ints, Passage, World
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.core.visibility import Apart, Prefix
from quire.nn.model import Model, Packed, Step
from quire.paradigms import Paradigm
from quire.paradigms.base import Labelling
from quire.paradigms.classify import Classify
from quire.predict.encode import fitted
from quire.text.cut import Cut
from quire.train.evaluate import said
from quire.train.loop import planned

NAMES = [
    *catalogue(Paradigm),  # type: ignore[type-abstract]
    "classify-attention",
    "classify-concat",
    "classify-private",
    "classify-windows",
    "extract-shown",
    "extract_spans-asked",
    "label-crf",
    "write_spans-named",
    "match-bi",
    "regress-scaled",
]
LABELS = ("bad", "good", "好")
Draw = Callable[[int, Rng], Passage]


@pytest.fixture
def paradigm(name: str, member: Callable[[type[Component], str], Paradigm]) -> Paradigm:
    return member(Paradigm, name)


@pytest.fixture
def posed(paradigm: Paradigm, passage: Draw, world: World, pose: Callable[..., Any]) -> list[Any]:
    """(item, answer, examples) of short and long texts, alone and in pairs."""
    draw = rng("posed")
    alone = [[passage(n, draw)] for n in (1, 2, 5, 9, 14, 25, 60)]
    pairs = [[passage(n, draw), passage(m, draw)] for n, m in ((1, 1), (3, 8), (2, 20))]
    return [pose(paradigm, texts, world, draw) for texts in alone * 4 + pairs * 2]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_formatted_is_read_back(paradigm: Paradigm, posed: list[Any], world: World) -> None:
    for item, answer, examples in posed:
        assert paradigm.decode(item, [paradigm.gold(example) for example in examples], world) == answer


@pytest.mark.parametrize("name", NAMES)
def test_without_an_answer_nothing_else_is_missing(paradigm: Paradigm, posed: list[Any], world: World) -> None:
    for item, _, examples in posed:
        unasked = paradigm.format(item, None, world)
        assert len(unasked) >= len(examples)  # of what is asked, some may be left out of training
        shown = [example.tokens.tolist() for example in unasked]
        assert all(_before_the_answer(example).tolist() in shown for example in examples)


def _before_the_answer(example: Example) -> Ints:
    """All that is shown, or the prompt where the answer is written behind one."""
    return example.tokens[: example.sees.size] if isinstance(example.sees, Prefix) else example.tokens


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_longer_than_the_world_allows(paradigm: Paradigm, posed: list[Any], world: World) -> None:
    if isinstance(paradigm, Classify):  # of a pair, what is kept is chosen before: see `quire.text.cut`
        posed = [(item, answer, examples) for item, answer, examples in posed if len(item.passages) == 1]
    elif isinstance(paradigm, Labelling) or paradigm.answers == "number":
        return
    blocks = [e.sees.sizes if isinstance(e.sees, Apart) else (len(e),) for _, _, of_item in posed for e in of_item]
    assert max(size for sizes in blocks for size in sizes) <= world.length


@pytest.mark.parametrize("how", ["head", "tail", "head+tail"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_of_a_long_text_is_read_to_its_last_token(
    paradigm: Paradigm, passage: Draw, world: World, how: Cut
) -> None:
    if not isinstance(paradigm, Labelling) and paradigm.answers != "number":  # others read windows
        return
    text, short = passage(100, rng("long")), passage(2, rng("short"))
    item = Item((short, text) if paradigm.name() == "siamese" else (text,))
    (kept,) = fitted([item], paradigm, world, how=how)
    read = kept.passages[-1].tokens
    assert read[-1] == text.tokens[len(read) - 1 if how == "head" else -1]
    (example, *_) = paradigm.format(kept, None, world)
    sizes = example.sees.sizes if isinstance(example.sees, Apart) else (len(example),)
    assert max(sizes) <= world.length
    assert read.tobytes() in example.tokens.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_learnt(
    paradigm: Paradigm, passage: Draw, pose: Callable[..., Any], world: World, tiny: Backbone
) -> None:
    draw = rng("learnt")
    posed = [pose(paradigm, [passage(4 + i, draw)], world, draw) for i in range(6)]
    examples = [example for _, _, of_item in posed for example in of_item]
    model = Model(tiny, planned([paradigm], tiny, world), seed=1)
    optimizer, step = torch.optim.AdamW(model.parameters(), lr=1e-2), Step(model, Packed(Batch.pack(examples)))
    torch.manual_seed(1)  # of dropout
    for _ in range(80):
        step = Step(model, step.batch)
        optimizer.zero_grad()
        paradigm.loss(step).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for item, answer, _ in posed:
        found = paradigm.decode(item, said(model, paradigm, paradigm.format(item, None, world)), world)
        assert found == pytest.approx(answer, abs=0.2) if paradigm.answers == "number" else found == answer


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_one_does_not_depend_on_its_company(
    paradigm: Paradigm, posed: list[Any], world: World, tiny: Backbone
) -> None:
    model = Model(tiny.model_copy(update={"init_std": 0.2}), planned([paradigm], tiny, world), seed=1)
    examples = [example for item, _, _ in posed[:10] for example in _fitting(paradigm.format(item, None, world), tiny)]
    alone = [said(model, paradigm, [example])[0] for example in examples]
    for one, among in zip(alone, said(model, paradigm, examples), strict=True):
        np.testing.assert_allclose(one, among, atol=1e-5, rtol=1e-4)


def _fitting(examples: Sequence[Example], spec: Backbone) -> list[Example]:
    return [example for example in examples if len(example) <= spec.positions]


def test_classify_says_the_softmax_of_its_scores(world: World, tiny: Backbone) -> None:
    task = Classify(labels=LABELS)
    model = Model(tiny, planned([task], tiny, world), seed=2).eval()
    texts = [Passage(np.arange(5, 5 + n), np.ones(n, dtype=bool)) for n in (4, 2, 3)]
    step = Step(model, Packed(Batch.pack([task.format(Item((text,)), None, world)[0] for text in texts])))
    scores = step.scores("classify", step.batch.first)[[2, 0, 1]]  # laid by length: 2, 3, 4
    torch.testing.assert_close(torch.from_numpy(np.stack(task.says(step))), scores.softmax(dim=1).detach())
