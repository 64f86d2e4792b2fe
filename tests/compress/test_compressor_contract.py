"""What every compressor promises: a printable plan, a new model, and the old one as it was."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from quire.compress import Compressor
from quire.core.catalogue import Component, catalogue
from quire.core.example import Batch, Example, Passage, World
from quire.core.heads import SequenceHead, TokenHead
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step

NAMES = list(catalogue(Compressor))  # type: ignore[type-abstract]
Draw = Callable[[int, Rng], Passage]


BODIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "modern": {"position": "rotary", "gated": True, "bias": False, "norm": "rms", "norm_first": True, "window": 4},
    "albert": {"groups": 1, "embedding": 12},
    "bilinear": {"score": "bilinear", "position": "sinusoidal"},
}


@pytest.fixture(scope="module", params=BODIES)
def model(tiny: Backbone, request: pytest.FixtureRequest) -> Model:
    spec = tiny.model_copy(update={"init_std": 0.2, "dropout": 0.1, **BODIES[request.param]})
    return Model(spec, {"mlm": TokenHead(), "classify": SequenceHead(outputs=3)}, seed=1)


@pytest.fixture
def compressor(name: str, member: Callable[[type[Component], str], Compressor[BaseModel]]) -> Compressor[BaseModel]:
    return member(Compressor, name)


@pytest.fixture(scope="module")
def packed(passage: Draw, world: World) -> Packed:
    return Packed(Batch.pack([Example.of(world.vocab, passage(n, rng(n))) for n in (1, 5, 9, 30)]))


def scores(model: Model, packed: Packed) -> list[np.ndarray]:
    with torch.inference_mode():
        step = Step(model, packed)
        return [step.scores(head, packed.first).numpy() for head in ("mlm", "classify")]


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_is_data(compressor: Compressor[BaseModel], model: Model) -> None:
    plan = compressor.plan(model)
    assert type(plan).model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize("name", NAMES)
def test_the_old_model_stays_as_it_was(compressor: Compressor[BaseModel], model: Model, packed: Packed) -> None:
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    small = compressor.apply(model, compressor.plan(model))
    scores(small, packed)
    assert small is not model
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    shared = {t.data_ptr() for t in small.state_dict().values()} & {t.data_ptr() for t in after.values()}
    assert not shared, "a tensor in both: training one would change the other"


@pytest.mark.parametrize("name", NAMES)
def test_the_new_model_answers_alike_and_the_same_each_time(
    compressor: Compressor[BaseModel], model: Model, packed: Packed
) -> None:
    plan, full = compressor.plan(model), scores(model.eval(), packed)
    small, twin = compressor.apply(model, plan), compressor.apply(model, plan)
    assert not small.training
    for one, two, three, fp32 in zip(
        scores(small, packed), scores(small, packed), scores(twin, packed), full, strict=True
    ):
        assert (one == two).all()
        assert (one == three).all()
        assert np.corrcoef(one.ravel(), fp32.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("name", NAMES)
def test_the_new_model_is_smaller(compressor: Compressor[BaseModel], model: Model) -> None:
    def size(of: Model) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in of.state_dict().values())

    assert size(compressor.apply(model, compressor.plan(model))) < 0.75 * size(model)
