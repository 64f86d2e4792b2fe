"""ELMo's objective: what each direction may know, and what stands where."""

import numpy as np
import pytest
import torch

from quire.core.bodies import Lstm
from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Passage, World
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.objectives.bilm import Bilm
from quire.objectives.mlm import Mlm
from quire.train.loop import planned

SPEC = Lstm(vocab=60, width=24, embedding=12, positions=64, dropout=0.0, directions="apart", residual=True)


def asked(world: World, tokens: list[int]) -> Packed:
    passage = Passage(np.array(tokens), np.ones(len(tokens), dtype=bool))
    return Packed(Batch.pack([Bilm().corrupt(Example.of(world.vocab, passage), world, np.random.default_rng(0))]))


def logits(step: Step) -> list[torch.Tensor]:
    return [scores.scores() for scores in Bilm().scores(step)]


def test_a_token_is_told_from_what_stands_before_it_and_from_what_stands_behind(world: World) -> None:
    """Changed at 3: in each direction what is told from it moves, and what is told of it does not."""
    model = Model(SPEC, planned([Bilm()], SPEC, world), seed=1).eval()
    with torch.no_grad():
        was, now = (logits(Step(model, asked(world, [9, 8, 7, t, 6, 5]))) for t in (20, 30))
    moved = [((a - b).abs().amax(1) > 1e-6).tolist() for a, b in zip(was, now, strict=True)]
    assert moved[0] == [False, False, False, False, True, True]
    assert moved[1] == [True, True, True, False, False, False]


def test_the_loss_is_half_of_each_and_both_are_noted(world: World) -> None:
    model = Model(SPEC, planned([Bilm()], SPEC, world), seed=1).eval()
    step = Step(model, asked(world, [9, 8, 7]))
    loss = Bilm().loss(step)
    by_hand = [torch.nn.functional.cross_entropy(said, torch.tensor([9, 8, 7])) for said in logits(step)]
    torch.testing.assert_close(loss, sum(by_hand) / 2)
    assert step.notes.keys() == {"bilm_forward", "bilm_backward"}
    assert {"nats", "backward_nats"} <= Bilm().health(step).keys()


@pytest.mark.parametrize(
    ("backbone", "says"),
    [
        (Backbone(), "take backbone.kind lstm with `directions: apart`"),
        (Lstm(width=24), "take backbone.kind lstm with `directions: apart`"),
        (Lstm(width=24, directions="apart"), "a direction is 12 wide, the softmax 24; set backbone.embedding to 12"),
    ],
)
def test_bodies_that_would_tell_or_do_not_fit_are_refused(backbone: Backbone, says: str, world: World) -> None:
    with pytest.raises(BadInput, match=says):
        planned([Bilm()], backbone, world)


def test_who_asks_before_it_is_refused(world: World) -> None:
    example = Example.of(world.vocab, Passage(np.arange(9, 19), np.ones(10, dtype=bool)))
    hidden = Mlm().corrupt(example, world, np.random.default_rng(0))
    with pytest.raises(BadInput, match="bilm tells the tokens that others ask for; list it first, or alone"):
        Bilm().corrupt(hidden, world, np.random.default_rng(0))
