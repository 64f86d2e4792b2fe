"""Alarms ring for what is broken, and for nothing else."""

from collections.abc import Callable

import pytest
import torch

from quire.compare.health import HeldOutText, alarms, spread
from quire.core.example import Batch, Example, Passage, World
from quire.core.random import Rng, rng
from quire.core.results import HeldOut
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.objectives.mlm import Mlm
from quire.text.shards import Entropies
from quire.train.feed import Fixed
from quire.train.loop import Job, planned
from quire.train.optim import TrainPlan

YARDSTICK = Entropies(unigram=6.0, bigram=3.0, floor=0.05)
WELL = {"mlm.nats": 4.0, "mlm.top_share": 0.2, "encoder.spread": 0.5, "rtd.fake_rate": 0.1, "rtd.detected": 0.4}


@pytest.fixture
def watched(world: World, passage: Callable[[int, Rng], Passage]) -> HeldOutText:
    examples = [Example.of(world.vocab, passage(20, rng(i))) for i in range(12)]
    return HeldOutText(Job(Fixed(examples, "x"), (Mlm(),), world, TrainPlan(steps=1, batch=4)))


def _alarms(**figures: float) -> tuple[str, ...]:
    return alarms(HeldOut(step=1, tokens=1, losses={"mlm": 4.0}, figures={**WELL, **figures}), YARDSTICK)


def test_a_healthy_arm_is_quiet() -> None:
    assert _alarms() == ()


@pytest.mark.parametrize(
    ("figure", "value", "says"),
    [
        ("mlm.top_share", 0.97, "97% of its answers are one and the same"),
        ("rtd.generator_top_share", 0.95, "rtd: 95% of its answers"),
        ("mlm.nats", 6.01, "no better than guessing by frequency"),
        ("rtd.fake_rate", 0.001, "leaves nothing to detect"),
        ("rtd.detected", 0.0, "calls everything real"),
        ("plm.query_spread", 0.001, "it is dead"),
        ("encoder.spread", 0.0, "The encoder says the same of every text"),
    ],
)
def test_each_fault_has_its_alarm(figure: str, value: float, says: str) -> None:
    [alarm] = _alarms(**{figure: value})
    assert says in alarm


def test_a_loss_that_is_no_number_is_an_alarm() -> None:
    [alarm] = alarms(HeldOut(step=1, tokens=1, losses={"mlm": float("nan")}, figures={}), YARDSTICK)
    assert "the held-out loss is nan" in alarm


def test_a_constant_encoder_is_found(watched: HeldOutText, tiny: Backbone, world: World) -> None:
    model = Model(tiny, planned([Mlm()], tiny, world), seed=1)
    _, lively = watched.measured(model)
    with torch.no_grad():  # after the last norm only its bias is left
        model.get_parameter(f"backbone.blocks.{tiny.depth - 1}.ffn_norm.weight").zero_()
        model.get_parameter(f"backbone.blocks.{tiny.depth - 1}.ffn_norm.bias").fill_(1.0)
    _, dull = watched.measured(model)
    assert lively["encoder.spread"] > 0.1
    assert dull["encoder.spread"] < 1e-3
    assert dull["mlm.top_share"] == 1.0


def test_measuring_repeats_itself_and_leaves_the_model_as_it_was(
    watched: HeldOutText, tiny: Backbone, world: World
) -> None:
    model = Model(tiny.model_copy(update={"dropout": 0.5}), planned([Mlm()], tiny, world), seed=1).train()
    state = torch.random.get_rng_state()
    assert watched.measured(model) == watched.measured(model)
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), state)


def test_spread_is_the_formula(tiny: Backbone, world: World, passage: Callable[[int, Rng], Passage]) -> None:
    examples = [Example.of(world.vocab, passage(n, rng(n))) for n in (4, 9, 9)]
    step = Step(Model(tiny, {}, seed=2).eval(), Packed(Batch.pack(examples)))
    states, lengths = step.encode().detach(), step.batch.lengths.tolist()
    vectors = torch.stack([piece.mean(dim=0) for piece in torch.split(states, lengths)])
    expected = (vectors - vectors.mean(dim=0)).norm(dim=1).mean() / vectors.norm(dim=1).mean()
    assert spread(step) == pytest.approx(float(expected), rel=1e-5)
