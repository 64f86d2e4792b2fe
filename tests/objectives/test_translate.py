"""Translation: what is asked, how much it costs, and what is refused."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from quire.core.bodies import Lstm
from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Passage, World
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.objectives.mlm import Mlm
from quire.objectives.translate import Translate
from quire.train.loop import planned

BODIES: list[Backbone] = [
    Backbone(vocab=60, depth=1, decoder=2, width=12, heads=2, ffn=9, segments=0, dropout=0, attention_dropout=0),
    Lstm(vocab=60, depth=1, decoder=1, width=12, embedding=5, dropout=0),
]


@pytest.fixture
def examples(world: World, passage: Callable[[int, Rng], Passage]) -> list[Example]:
    made = []
    for i, (source, target) in enumerate([(3, 5), (7, 1), (3, 4)]):
        written = Example.written("", passage(target, rng(i, 1)).tokens, start=world.vocab.sep)
        made.append(replace(Example.of(world.vocab, passage(source, rng(i))), target=replace(written, answers={})))
    return made


@pytest.mark.parametrize("backbone", BODIES, ids=["transformer", "lstm"])
@pytest.mark.parametrize("tied", [True, False])
def test_every_target_token_is_asked_with_smoothing(
    backbone: Backbone, tied: bool, examples: list[Example], world: World
) -> None:
    objective = Translate(smoothing=0.2, tied=tied)
    model = Model(backbone, planned([objective], backbone, world), seed=1).eval()
    asked = [objective.corrupt(example, world, rng(0)) for example in examples]
    batch = Batch.pack(asked)
    step = Step(model, Packed(batch))
    assert batch.target is not None
    logits = step.target.scores("translate", torch.arange(10))
    truth = torch.from_numpy(batch.target.answers["translate"])
    log_p = F.log_softmax(logits, dim=1)
    exact, spread = -log_p[torch.arange(10), truth].mean(), -log_p.mean()
    torch.testing.assert_close(objective.loss(step), 0.8 * exact + 0.2 * spread)
    assert objective.health(step)["nats"] == pytest.approx(float(exact.detach()))


def test_the_source_may_be_asked_about_as_well(examples: list[Example], world: World) -> None:
    hidden = Mlm().corrupt(Translate().corrupt(examples[1], world, rng(0)), world, rng(1))
    assert set(hidden.answers) == {"mlm"}
    assert hidden.target is not None
    assert set(hidden.target.answers) == {"translate"}


def test_it_needs_a_decoder_and_a_translation_and_asks_once(examples: list[Example], world: World) -> None:
    with pytest.raises(BadInput, match=r"0.translate: a decoder writes, but the backbone has none: set"):
        planned([Translate()], Backbone(), world)
    with pytest.raises(BadInput, match=r"translate wants texts with their translations: take data.shape translation"):
        Translate().corrupt(replace(examples[0], target=None), world, rng(0))
    with pytest.raises(BadInput, match="again asks for what another asks a decoder for; take one of them"):
        Translate(slot="again").corrupt(Translate().corrupt(examples[0], world, rng(0)), world, rng(0))


def test_a_narrow_table_is_led_to_and_a_wide_one_is_not(world: World) -> None:
    for backbone, narrow in zip(BODIES, (False, True), strict=True):
        model = Model(backbone, planned([Translate()], backbone, world))
        shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if name.startswith("heads.")}
        leading = {"heads.translate.dense.weight": (5, 12), "heads.translate.dense.bias": (5,)}
        assert shapes == (leading if narrow else {})


def test_answers_are_in_the_order_of_the_texts(examples: list[Example], world: World) -> None:
    objective = Translate()
    batch = Batch.pack([objective.corrupt(example, world, rng(0)) for example in examples])
    assert batch.target is not None
    for found, example in zip(batch.target.unpack(batch.target.answers["translate"]), examples, strict=True):
        assert example.target is not None
        assert np.array_equal(found, example.target.truth)
