"""Matching: what stands in which block, what is learnt from, and what may not matter."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from quire.core.answers import Item
from quire.core.config import parse
from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Passage, World
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.core.visibility import Apart
from quire.nn.model import Model, Packed, Step
from quire.paradigms.match import Match
from quire.paradigms.siamese import Siamese
from quire.train.evaluate import said
from quire.train.loop import planned

LABELS = ("num", "hum", "loc", "desc")
BY = ("cross", "bi")


def text(*tokens: int) -> Passage:
    return Passage(np.array(tokens, dtype=np.int64), np.ones(len(tokens), dtype=bool))


def match(**fields: Any) -> Match:
    return Match.model_validate({"labels": LABELS, **fields})


@pytest.fixture
def model(world: World, tiny: Backbone) -> Any:
    spec = tiny.model_copy(update={"init_std": 0.3})
    return lambda task: Model(spec, planned([task], spec, world), seed=3).eval()


def test_cross_lays_the_text_beside_each_description(world: World) -> None:
    a, b, c = (world.spelled(word).tokens.tolist() for word in ("a", "b c", "d"))
    task = Match(labels=("x", "y", "z"), descriptions={"x": "a", "y": "b c", "z": "d"})
    (example,) = task.format(Item((text(7, 8),)), "y", world)
    assert example.tokens.tolist() == [*[2, 7, 8, 3, *a, 3], *[2, 7, 8, 3, *b, 3], *[2, 7, 8, 3, *c, 3]]
    assert example.sees == Apart((6, 7, 6))
    assert example.positions is not None
    assert example.positions.tolist() == [*range(6), *range(7), *range(6)]
    assert example.segments.tolist() == [*[0] * 4, 1, 1, *[0] * 4, 1, 1, 1, *[0] * 4, 1, 1]
    assert {i: int(v) for i, v in enumerate(example.answers["match"]) if v != IGNORE} == {0: 0, 6: 1, 13: 0}
    (pair,) = task.format(Item((text(7), text(8))), None, world)
    assert pair.tokens.tolist()[:7] == [2, 7, 3, 8, 3, *a, 3], "both stand where the one would"
    assert pair.segments.tolist()[:7] == [0] * 5 + [1, 1]


def test_bi_reads_text_and_descriptions_once_each(world: World) -> None:
    a, b = (world.spelled(word).tokens.tolist() for word in ("a", "b c"))
    task = Match(labels=("x", "y"), descriptions={"x": "a", "y": "b c"}, by="bi")
    (example,) = task.format(Item((text(7, 8),)), "x", world)
    assert example.tokens.tolist() == [2, 7, 8, 3, 2, *a, 3, 2, *b, 3]
    assert example.sees == Apart((4, 3, 4))
    assert {i: int(v) for i, v in enumerate(example.answers["match"]) if v != IGNORE} == {4: 1, 7: 0}


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("pool", ["first", "mean", "max", "attention"])
def test_the_order_of_labels_changes_nothing(by: str, pool: str, world: World, model: Any) -> None:
    one, other = (match(by=by, labels=labels, pool=pool) for labels in (LABELS, LABELS[::-1]))
    network, draw = model(one), rng("order")
    items = [Item((text(*draw.integers(5, 60, size=n)),)) for n in (1, 4, 4, 9, 17)]
    for item in items:
        first, second = (task.probabilities(_said(network, task, item, world)) for task in (one, other))
        np.testing.assert_allclose(first, second[::-1], rtol=1e-4)
        assert len({*np.round(first, 5)}) == len(LABELS), "else the order could not matter"
    answers = [{task.decode(item, _said(network, task, item, world), world) for task in (one, other)} for item in items]
    assert all(len(both) == 1 for both in answers)


def _said(network: Model, task: Any, item: Item, world: World) -> Sequence[Any]:
    return said(network, task, task.format(item, None, world))


def test_the_best_match_answers_however_small(world: World) -> None:
    row = np.log(np.array([0.02, 0.04, 0.01, 0.03], dtype=np.float32))
    task, item = match(), Item((text(7),))
    assert task.decode(item, [row], world) == "hum"
    np.testing.assert_allclose(task.probabilities([row]), [0.2, 0.4, 0.1, 0.3], rtol=1e-5)
    assert task.decode(item, [row - 300], world) == "hum", "where float32 holds no such probability"


@pytest.mark.parametrize("by", BY)
def test_negatives_are_drawn_anew_and_the_right_one_always_stays(by: str, world: World) -> None:
    task = match(by=by, negatives=2)
    (example,) = task.format(Item((text(7, 8, 9),)), "loc", world)
    described = {tuple(world.spelled(label).tokens.tolist()): label for label in LABELS}
    drawn = set()
    for i in range(40):
        made = task.corrupt(example, world, rng(i))
        assert isinstance(made.sees, Apart)
        blocks = np.split(made.tokens, np.cumsum(made.sees.sizes)[:-1])
        answers = [int(block[0]) for block in np.split(made.answers["match"], np.cumsum(made.sees.sizes)[:-1])]
        own = [described.get(tuple(block[(-2 if by == "cross" else 1) : -1].tolist()), "text") for block in blocks]
        assert answers == [{"loc": 1, "text": IGNORE}.get(label, 0) for label in own]
        assert own.count("loc") == 1
        assert len(own) == (3 if by == "cross" else 4)
        drawn.add(tuple(sorted({*own} - {"loc", "text"})))
    assert drawn == {("hum", "num"), ("desc", "num"), ("desc", "hum")}
    assert match(by=by).corrupt(example, world, rng(0)) is example
    assert match(by=by, negatives=9).corrupt(example, world, rng(0)).tokens.tolist() == example.tokens.tolist()


@pytest.mark.parametrize("by", BY)
def test_the_loss_is_the_mean_over_pairs_of_a_binary_cross_entropy(by: str, world: World, model: Any) -> None:
    task = match(by=by)
    network = model(task)
    items = [(Item((text(*range(5, 5 + n)),)), label) for n, label in ((3, "hum"), (6, "num"), (2, "desc"))]
    examples = [example for item, label in items for example in task.format(item, label, world)]
    loss = float(task.loss(Step(network, Packed(Batch.pack(examples)))).detach())
    yes = np.exp(np.stack(said(network, task, examples)))
    right = np.array([[label == own for own in LABELS] for _, label in items])
    assert loss == pytest.approx(float(-np.log(np.where(right, yes, 1 - yes)).mean()), rel=1e-4)


def test_the_vector_of_a_text_does_not_depend_on_its_partner(world: World, model: Any) -> None:
    """So descriptions can be encoded once for all texts: a vector is the pooled states of the block."""
    task = Siamese(labels=LABELS)
    network = model(task)
    head = network.heads["siamese"]
    seen: list[torch.Tensor] = []
    head.register_forward_hook(lambda _, given, __: seen.extend(given))
    a, b, c = text(7, 8, 9), text(20, 21), text(30, 31, 32, 33, 34)
    for pair in ((a, b), (a, c), (c, a)):
        said(network, task, task.format(Item(pair), None, world))
    for vector in (seen[2], seen[5]):
        torch.testing.assert_close(vector, seen[0], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(seen[0], seen[1], atol=1e-2)


def test_a_bi_encoder_scores_the_two_vectors_and_their_difference(world: World, model: Any) -> None:
    task = Siamese(labels=("a", "b"))
    network = model(task)
    texts = [text(7, 8, 9), text(20, 21)]
    (example,) = task.format(Item(tuple(texts)), None, world)
    u, v = network(Packed(Batch.pack([example]))).split([5, 4])
    u, v = u.mean(0), v.mean(0)
    out = network.heads["siamese"].out
    scores = out(torch.cat([u, v, (u - v).abs()]))
    torch.testing.assert_close(torch.from_numpy(said(network, task, [example])[0]), scores.softmax(-1).detach())
    with pytest.raises(BadInput, match="siamese: compares two texts, and here is 1; take classify or match"):
        task.format(Item((texts[0],)), None, world)


@pytest.mark.parametrize(
    ("descriptions", "says"),
    [
        ({"num": "a", "hum": "b", "loc": "a", "desc": "d"}, "the labels 'num' and 'loc' are the same in tokens"),
        ({"num": "a", "hum": "b", "loc": " ", "desc": "d"}, "the label 'loc' is called ' ', which has no tokens"),
        ({"num": "a " * 30, "hum": "b", "loc": "c", "desc": "d"}, "the longest has 30 of 32 tokens"),
        ({"num": "a", "hum": "b", "loc": "c"}, "nothing for the label 'desc'"),
        ({"num": "a", "human": "b", "loc": "c", "desc": "d"}, "no label 'human'; did you mean 'hum'?"),
    ],
)
def test_descriptions_that_cannot_tell_labels_apart_are_refused(
    descriptions: Mapping[str, str], says: str, world: World, tiny: Backbone
) -> None:
    with pytest.raises(BadInput) as caught:
        planned([parse(Match, {"labels": LABELS, "descriptions": descriptions}, where="match")], tiny, world)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_descriptions_labels_are_called_by_their_names_in_words(world: World) -> None:
    (example,) = Match(labels=("not_entailment", "x")).format(Item((text(7),)), None, world)
    assert example.tokens.tolist()[3:5] == world.spelled("not entailment").tokens.tolist()
    with pytest.raises(BadInput, match="the label 'x' is there twice"):
        parse(Match, {"labels": ["x", "y", "x"]}, where="match")


def test_a_text_has_the_room_that_the_longest_description_leaves(world: World) -> None:
    for by, beside in (("cross", 4), ("bi", 0)):
        task = Match.model_validate({"labels": ["x", "y"], "descriptions": {"x": "a", "y": "b c d"}, "by": by})
        for texts in ((text(7),), (text(7), text(8))):
            room = task.room(Item(texts), world)
            assert room == world.length - 1 - len(texts) - beside
            parts = (text(*[9] * (room - len(texts) + 1)), *texts[1:])
            (example,) = task.format(Item(parts), None, world)
            assert isinstance(example.sees, Apart)
            assert max(example.sees.sizes) == world.length
