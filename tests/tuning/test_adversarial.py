"""Adversarial training: where the changes are, how large, and what is learnt from them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.tuning.conftest import ASK, Labelled
from torch import Tensor

from quire.core.answers import Item, Tree
from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Passage, World
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.paradigms.structure import Parse
from quire.train.loop import fit
from quire.tuning import Strategy
from quire.tuning.adversarial import Change, Fgm, Freelb, Pgd
from quire.tuning.distil import Sda
from quire.tuning.past import memory_of
from quire.tuning.smart import Near, Smart, Smooth, divergence

WAYS = [Fgm(), Pgd(), Freelb(), Smart()]


def gradients(model: Model) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def loss_of(model: Model, batch: Packed) -> Callable[[], Tensor]:
    return lambda: ASK.loss(Step(model, batch))


def plain(model: Model, batch: Packed) -> dict[str, Tensor]:
    model.zero_grad()
    loss_of(model, batch)().backward()  # type: ignore[no-untyped-call]
    return gradients(model)


def after(strategy: Strategy, model: Model, batch: Packed) -> dict[str, Tensor]:
    model.zero_grad()
    strategy.backward(model, batch, loss_of(model, batch))
    return gradients(model)


def test_one_pass_from_no_change_has_the_clean_gradients(labelled: Labelled, batch: Packed) -> None:
    model, _ = labelled(Fgm(), dropout=0.0)
    clean = plain(model, batch)
    found = after(Freelb(steps=1, start=0), model, batch)
    assert found.keys() == clean.keys()
    assert all(torch.equal(found[name], g) for name, g in clean.items())


def test_freelb_learns_the_mean_of_its_steps(labelled: Labelled, batch: Packed) -> None:
    model, _ = labelled(Fgm(), dropout=0.0)
    clean = plain(model, batch)
    for name, g in after(Freelb(steps=3, rate=1e-30, start=0), model, batch).items():
        torch.testing.assert_close(g, clean[name], rtol=1e-4, atol=1e-7)


def test_a_change_without_size_doubles_them(labelled: Labelled, batch: Packed) -> None:
    model, _ = labelled(Fgm(), dropout=0.0)
    clean = plain(model, batch)
    for strategy in (Fgm(size=1e-30), Pgd(size=1e-30, steps=3)):
        for name, g in after(strategy, model, batch).items():
            torch.testing.assert_close(g, 2 * clean[name], rtol=1e-4, atol=1e-7)


def test_fgm_is_one_step_along_the_gradient_of_each_text(labelled: Labelled, batch: Packed) -> None:
    """By hand: the gradient of the looked-up tokens, divided by its norm over one text."""
    model, _ = labelled(Fgm(), dropout=0.0)
    change = Change(model, batch)
    with change.made() as leaf:
        loss_of(model, batch)().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    change.climb(leaf.grad, rate=0.7, size=0.7)
    for start, length in zip(batch.first.tolist(), batch.lengths.tolist(), strict=True):
        own = leaf.grad[start : start + length]
        torch.testing.assert_close(change.d_NE[start : start + length], 0.7 * own / own.norm())
    clean = plain(model, batch)
    model.zero_grad()
    with change.made():
        loss_of(model, batch)().backward()  # type: ignore[no-untyped-call]
    moved = gradients(model)
    for name, g in after(Fgm(size=0.7), model, batch).items():
        torch.testing.assert_close(g, clean[name] + moved[name])


def test_pgd_learns_from_the_clean_pass_and_the_last_step_alone(labelled: Labelled, batch: Packed) -> None:
    """By hand: three steps, of which those on the way leave no gradient."""
    model, _ = labelled(Fgm(), dropout=0.0)
    clean, change = plain(model, batch), Change(model, batch)
    for _ in range(3):
        with change.made() as leaf:
            (gradient,) = torch.autograd.grad(loss_of(model, batch)(), leaf)
        change.climb(gradient, rate=0.4, size=1.0)
    model.zero_grad()
    with change.made():
        loss_of(model, batch)().backward()  # type: ignore[no-untyped-call]
    last = gradients(model)
    found = after(Pgd(steps=3, rate=0.4, size=1.0), model, batch)
    assert found.keys() == clean.keys()
    for name, g in found.items():
        torch.testing.assert_close(g, clean[name] + last[name])


def test_an_attack_finds_a_higher_loss_and_more_steps_a_higher_one(labelled: Labelled, batch: Packed) -> None:
    model, _ = labelled(Fgm(), dropout=0.0)
    found = []
    for steps in (0, 1, 8):
        change = Change(model, batch)
        for _ in range(steps):
            with change.made() as leaf:
                (gradient,) = torch.autograd.grad(loss_of(model, batch)(), leaf)
            change.climb(gradient, rate=1.0 / steps * 1.5, size=1.0)
            assert change.norm(change.d_NE).max() <= 1.0 + 1e-5
        with change.made():
            found.append(loss_of(model, batch)().item())
    assert found[0] < found[1] <= found[2]


def test_a_start_is_drawn_within_its_bound(labelled: Labelled, batch: Packed) -> None:
    model, _ = labelled(Fgm())
    change = Change(model, batch)
    change.draw(0.6)
    assert change.d_NE.any()
    for start, length in zip(batch.first.tolist(), batch.lengths.tolist(), strict=True):
        own = change.d_NE[start : start + length]
        assert own.abs().max() <= 0.6 / (length * own.shape[1]) ** 0.5
        assert 0 < own.norm() <= 0.6


def test_freelb_has_the_same_dropout_in_all_passes(labelled: Labelled, batch: Packed) -> None:
    model, _ = labelled(Fgm(), dropout=0.5)
    model.train()
    seen: list[Tensor] = []

    def loss() -> Tensor:
        step = Step(model, batch)
        seen.append(step.encode().detach())
        return ASK.loss(step)

    Freelb(steps=3, rate=1e-30, start=0).backward(model, batch, loss)
    assert len(seen) == 3
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_freelb_climbs_between_its_passes_alone(
    labelled: Labelled, batch: Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = labelled(Fgm(), dropout=0.0)
    climbed: list[float] = []
    monkeypatch.setattr(Change, "climb", lambda _self, _gradient, *, rate, size: climbed.append(rate))
    after(Freelb(steps=3, rate=0.2), model, batch)
    assert climbed == [0.2, 0.2]


@pytest.mark.parametrize("strategy", WAYS, ids=lambda s: s.name())
def test_nothing_is_left_at_the_table(labelled: Labelled, strategy: Strategy) -> None:
    model, job = labelled(strategy, steps=2)
    names = model.state_dict().keys()
    log = fit(model, job)
    assert not model.table._forward_hooks
    assert model.state_dict().keys() == names
    assert all(record["loss"] > 0 for record in log)


@pytest.mark.parametrize("outer", [Fgm, Pgd, Freelb])
@pytest.mark.parametrize("inner", [Fgm(), Pgd(), Freelb(), Smart(over=Sda(over=Freelb()))])
def test_one_attack_stands_over_no_other(labelled: Labelled, outer: type[Strategy], inner: Strategy) -> None:
    strategy = outer.model_validate({"over": inner})
    model, _ = labelled(strategy)
    told = rf"strategy\.{outer.name()}: stands over (fgm|pgd|freelb), whose passes its own would take the place of; "
    with pytest.raises(BadInput, match=told):
        strategy.prepare(model)


def test_attacks_stand_over_and_under_what_only_adds_a_term(labelled: Labelled) -> None:
    for strategy in (Fgm(over=Smart()), Smart(over=Freelb())):
        model, job = labelled(strategy, steps=2)
        assert all(record["loss"] > 0 for record in fit(model, job))


def test_two_texts_beside_each_other_are_refused(tiny: Backbone, examples: list[Example]) -> None:
    model = Model(tiny.model_copy(update={"decoder": 1}), {})
    bare = replace(examples[0], answers={})
    written = bare.recast(bare.tokens, Example.written("x", examples[1].tokens, start=3))
    with pytest.raises(BadInput, match="a decoder writes"):
        Change(model, Packed(Batch.pack([written])))


def test_actions_beside_a_text_are_no_second_text(world: World, examples: list[Example], labelled: Labelled) -> None:
    model, _ = labelled(Fgm())
    text = Passage(examples[0].tokens[1:-1], examples[0].starts[1:-1])
    item = Item((text,), np.arange(len(text)))
    acted = Parse(labels=("root",)).format(item, Tree(tuple(range(len(text))), ("root",) * len(text)), world)
    assert len(Change(model, Packed(Batch.pack(acted))).d_NE) == len(examples[0])


def test_a_divergence_is_kullback_and_leiblers_both_ways(world: World) -> None:
    p, q = torch.tensor([[0.2, 0.8], [0.5, 0.5]]), torch.tensor([[0.6, 0.4], [0.5, 0.5]])
    expected = (0.2 - 0.6) * torch.log(torch.tensor(0.2 / 0.6)) + (0.8 - 0.4) * torch.log(torch.tensor(2.0))
    torch.testing.assert_close(divergence(p.log() + 3, q.log()), expected / 2)


def test_smart_finds_the_change_that_moves_the_answer_and_learns_to_resist_it(
    labelled: Labelled, batch: Packed
) -> None:
    model, _ = labelled(Smart(), dropout=0.0)
    torch.manual_seed(0)
    found = Smooth(slot="smooth", rate=0.1).loss(Step(model, batch))
    noise = []
    for _ in range(5):
        change = Change(model, batch)
        change.d_NE = torch.randn_like(change.d_NE).sign() * 0.1
        clean = Step(model, batch).logits("classify")
        with change.made():
            noise.append(divergence(Step(model, batch).logits("classify"), clean).item())
    assert found.item() > max(noise) > 0
    found.backward()  # type: ignore[no-untyped-call]
    assert any(g.any() for g in gradients(model).values())


def test_smart_has_the_same_dropout_beside_the_change(labelled: Labelled, batch: Packed) -> None:
    """Else D is that of two dropouts, whatever the change: without one nothing is left of it."""
    model, _ = labelled(Smart(), dropout=0.5)
    model.train()
    torch.manual_seed(0)
    step = Step(model, batch)
    assert Smooth(slot="smooth", noise=1e-30, rate=1e-30).loss(step) == 0
    assert divergence(step.logits("classify"), step.view(batch).logits("classify")) > 1e-5
    seen: list[Tensor] = []
    handle = model.table.register_forward_hook(lambda *_: seen.append(torch.get_rng_state()))
    Smooth(slot="smooth").loss(step)
    handle.remove()
    assert len(seen) == 3, "the clean pass, the one whose gradient is climbed, and the one that is learnt from"
    assert all(torch.equal(state, seen[0]) for state in seen)


def test_the_past_of_smart_has_momentum(labelled: Labelled) -> None:
    model, _ = labelled(Smart(), dropout=0.0)
    strategy = Smart(decay=0.9)
    strategy.prepare(model)
    bias = model.get_parameter("heads.classify.out.bias")
    expected = bias.detach().clone()
    for t in range(4):
        with torch.no_grad():
            bias.add_(torch.tensor([1.0, -1.0]))
        strategy.after_step(model, t)
        expected = 0.9 * expected + 0.1 * bias.detach() if t else bias.detach().clone()
    torch.testing.assert_close(memory_of(model).mean()["heads.classify.out.bias"], expected)


def test_smart_stays_near_its_past(labelled: Labelled, batch: Packed) -> None:
    model, _ = labelled(Smart(), dropout=0.0)
    Smart().prepare(model)
    assert Near(slot="near").loss(Step(model, batch)) == 0
    Smart().after_step(model, 0)
    assert Near(slot="near").loss(Step(model, batch)) == 0
    with torch.no_grad():
        model.get_parameter("heads.classify.out.bias").add_(torch.tensor([1.0, 0.0]))
    assert Near(slot="near").loss(Step(model, batch)) > 0
    assert [term.slot for term in Smart(near=0).terms()] == ["smooth"]
