"""SimCSE: two dropouts of one sentence are partners, the batch's other sentences are not."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Passage, World
from quire.core.heads import VectorHead
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.objectives.simcse import Simcse
from quire.train.loop import planned

Draw = Callable[[int, Rng], Passage]


@pytest.fixture
def packed(passage: Draw, world: World) -> Packed:
    texts = [Example.of(world.vocab, passage(n, rng(n))) for n in (3, 8, 8, 20, 25)]
    return Packed(Batch.pack([Simcse().corrupt(text, world, rng(0)) for text in texts]))


@pytest.fixture
def dropping(tiny: Backbone) -> Backbone:
    return tiny.model_copy(update={"dropout": 0.3, "init_std": 0.3})


@pytest.fixture
def model(dropping: Backbone, world: World) -> Model:
    return Model(dropping, planned([Simcse()], dropping, world), seed=2)


def test_the_loss_is_the_formula_on_the_two_passes(model: Model, packed: Packed) -> None:
    torch.manual_seed(0)
    one, two = (view.detach().numpy() for view in Simcse().views(Step(model, packed)))
    torch.manual_seed(0)
    loss = float(Simcse().loss(Step(model, packed)).detach())
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, rtol=1e-5)
    scores = one @ two.T / 0.05
    assert loss == pytest.approx(-np.mean(np.diag(scores) - np.log(np.exp(scores).sum(axis=1))), rel=1e-4)


def test_both_passes_have_a_dropout_of_their_own_and_a_gradient(model: Model, packed: Packed) -> None:
    one, two = Simcse().views(Step(model, packed))
    assert not torch.allclose(one, two, atol=1e-3)

    def reached(view: Tensor) -> int:
        model.zero_grad()
        view[:, 0].sum().backward(retain_graph=True)  # type: ignore[no-untyped-call]
        return sum(bool(p.grad is not None and p.grad.any()) for p in model.backbone.parameters())

    assert reached(one) == reached(two) > 20


def test_in_evaluation_the_passes_are_one_and_health_still_drops(model: Model, packed: Packed) -> None:
    one, two = Simcse().views(Step(model.eval(), packed))
    assert torch.equal(one, two)
    torch.manual_seed(0)
    first = Simcse().health(Step(model, packed))
    assert not model.training, "its mode is kept"
    assert 0 <= first["accuracy"] <= 1
    torch.manual_seed(1)
    assert Simcse().health(Step(model, packed)) != first
    torch.manual_seed(0)
    assert Simcse().health(Step(model, packed)) == first
    with torch.no_grad():
        model.get_parameter("heads.simcse.dense.weight").zero_()
        model.get_parameter("heads.simcse.dense.bias").fill_(1.0)
    assert Simcse().health(Step(model, packed))["cosine"] == pytest.approx(1)


def test_dropout_is_needed_and_said_so(tiny: Backbone, dropping: Backbone, world: World) -> None:
    with pytest.raises(
        BadInput, match=r"objectives.0.simcse: two passes without dropout .* set backbone.dropout to 0.1"
    ):
        planned([Simcse()], tiny, world)
    assert planned([Simcse()], dropping, world) == {"simcse": VectorHead(dense=True)}
