"""Self-ensemble and self-distillation: what is remembered, what is taught, and what is left in the end."""

from pathlib import Path

import pytest
import torch
from tests.tuning.conftest import Labelled
from torch import Tensor

from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.train.loop import fit
from quire.tuning import Strategy
from quire.tuning.distil import Ema, Sda, Sdv, Teaching, logits_with
from quire.tuning.head import Head
from quire.tuning.lora import Lora
from quire.tuning.past import Memory, SelfEnsemble, memory_of, wearing
from quire.tuning.smart import Smart


def weights(model: Model) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def trail(labelled: Labelled, strategy: Strategy, steps: int) -> tuple[Model, list[dict[str, Tensor]]]:
    """The model after `steps` updates, still in training, and its weights after each."""
    seen: list[dict[str, Tensor]] = []

    class Watched(type(strategy)):  # type: ignore[misc]
        def after_step(self, model: Model, t: int) -> None:
            super().after_step(model, t)
            seen.append(weights(model))

        def finish(self, model: Model) -> None:
            pass

    watched = Watched.model_construct(**dict(strategy))
    model, job = labelled(watched, steps=steps)
    fit(model, job)
    return model, seen


@pytest.mark.parametrize("window", [1, 3])
def test_the_last_students_are_remembered_and_their_mean_is_the_teacher(labelled: Labelled, window: int) -> None:
    model, seen = trail(labelled, Sda(window=window), 5)
    past = memory_of(model)
    for name, mean in past.mean().items():
        expected = torch.stack([step[name] for step in seen[-window:]]).mean(dim=0)
        torch.testing.assert_close(mean, expected, rtol=1e-6, atol=1e-7)


def test_a_vote_is_the_mean_of_logits_and_an_average_the_logits_of_the_mean(
    labelled: Labelled, batch: Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = trail(labelled, Sdv(window=3), 4)
    model.train()
    step = Step(model, batch)
    said = step.logits("classify")
    monkeypatch.setattr(step, "logits", lambda slot: said)  # else a head has another dropout at every call
    found = Teaching(slot="past", votes=True).loss(step)
    told = []
    for student in seen[-3:]:
        with wearing(model, student), torch.no_grad():
            model.eval()
            told.append(Step(model, batch).logits("classify"))
            model.train()
    torch.testing.assert_close(found, torch.nn.functional.mse_loss(said, torch.stack(told).mean(dim=0)))
    averaged = Teaching(slot="past").loss(step)
    assert not torch.equal(found, averaged)


def test_with_one_student_a_vote_is_an_average(labelled: Labelled) -> None:
    sda, sdv = (labelled(strategy, steps=6) for strategy in (Sda(window=1), Sdv(window=1)))
    for model, job in (sda, sdv):
        fit(model, job)
    assert all(torch.equal(p, q) for p, q in zip(sda[0].parameters(), sdv[0].parameters(), strict=True))


def test_without_weight_it_is_plain_fine_tuning_bit_for_bit(labelled: Labelled) -> None:
    plain, job = labelled(Sda().over, steps=6)
    fit(plain, job)
    for strategy in (Sda(weight=0, window=2), Sdv(weight=0, window=2), Ema(weight=0), Smart(smooth=0, near=0)):
        model, job = labelled(strategy, steps=6)
        fit(model, job)
        assert weights(model).keys() == weights(plain).keys()
        assert all(torch.equal(p, q) for p, q in zip(model.parameters(), plain.parameters(), strict=True))


def test_one_that_equals_its_past_is_taught_nothing(labelled: Labelled, batch: Packed) -> None:
    model, _ = labelled(Sda(), steps=1, dropout=0.0)
    Sda().prepare(model)
    assert Teaching(slot="past").loss(Step(model, batch)) == 0
    memory_of(model).add(weights(model))
    assert Teaching(slot="past").loss(Step(model.train(), batch)) == 0
    with torch.no_grad():
        model.get_parameter("heads.classify.out.bias").add_(torch.tensor([1.0, 0.0]))
    assert Teaching(slot="past").loss(Step(model, batch)).item() == pytest.approx(0.5)


def test_the_ensemble_is_the_mean_of_all_updates_on_dev_and_in_the_end(labelled: Labelled) -> None:
    _, seen = trail(labelled, SelfEnsemble(), 5)
    model, job = labelled(SelfEnsemble(), steps=5)
    shown: list[dict[str, Tensor]] = []

    def watch(step: int) -> dict[str, float]:
        shown.append(weights(model))
        return {}

    fit(model, job, watch=watch, watch_every=2)
    for count, found in zip((2, 4, 5), shown, strict=True):
        for name, value in found.items():
            expected = torch.stack([step[name] for step in seen[:count]]).mean(dim=0)
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)
    final = weights(model)
    assert all(torch.equal(final[name], value) for name, value in shown[-1].items())


def test_a_teacher_that_moves_follows_its_formula(labelled: Labelled) -> None:
    model, seen = trail(labelled, Ema(decay=0.3), 4)
    expected = seen[0]
    for t, student in enumerate(seen[1:], start=1):
        stays = min(0.3, (1 + t) / (10 + t))
        expected = {name: stays * value + (1 - stays) * student[name] for name, value in expected.items()}
    for name, value in memory_of(model).mean().items():
        torch.testing.assert_close(value, expected[name])


def test_weights_that_are_worn_are_given_back_and_the_gradient_is_the_students(
    labelled: Labelled, batch: Packed
) -> None:
    model, _ = labelled(Sda(), steps=1, dropout=0.0)
    other = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    Step(model, batch).logits("classify").square().sum().backward()  # type: ignore[no-untyped-call]
    plain = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    step = Step(model, batch)
    loss = step.logits("classify").square().sum()
    assert all(not told.any() for told in logits_with(other, step, ["classify"]))
    loss.backward()  # type: ignore[no-untyped-call]
    for p, before in zip(model.parameters(), plain, strict=True):
        assert (p.grad is None) == (before is None)
        assert p.grad is None or before is None or torch.equal(p.grad, before)


def test_under_bf16_a_teacher_is_itself_though_the_student_was_cast_before(labelled: Labelled, batch: Packed) -> None:
    """Autocast keeps its copies by tensor, and whose weights a tensor holds is not its matter."""
    model, _ = labelled(Sda(), steps=1, dropout=0.0)
    own = weights(model)
    far = {name: p + torch.randn_like(p) for name, p in own.items()}
    with wearing(model, far), torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        alone = Step(model.eval(), batch).logits("classify")
    with torch.autocast("cpu", torch.bfloat16):
        before = Step(model, batch).logits("classify")
        step = Step(model, batch)
        step.logits("classify")
        [told] = logits_with(far, step, ["classify"])
        after = Step(model, batch).logits("classify")
    assert torch.equal(told, alone)
    assert not torch.equal(told, before)
    assert torch.equal(after, before)


def test_a_ring_forgets_the_oldest(tiny: Backbone) -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    memory = Memory(layer, 2)
    assert len(memory) == 0
    for value in (1.0, 2.0, 6.0):
        memory.add({"weight": torch.full((1, 1), value)})
    assert memory.mean()["weight"].item() == 4.0
    assert sorted(each["weight"].item() for each in memory.each()) == [2.0, 6.0]


@pytest.mark.parametrize("over", [Head(), Lora()])
def test_only_what_learns_is_remembered(labelled: Labelled, over: Strategy) -> None:
    strategy = Sda(window=3, over=over)
    model, job = labelled(strategy)
    strategy.prepare(model)
    memory = memory_of(model)
    assert {*memory.names} == {name for name, p in model.named_parameters() if p.requires_grad}
    assert len(memory.names) < len([*model.parameters()])
    fresh, _ = labelled(strategy)
    assert all(record["loss"] > 0 for record in fit(fresh, job))


def test_a_mean_is_computed_once_an_update_and_of_one_not_at_all() -> None:
    layer = torch.nn.Linear(2, 1, bias=False)
    one, two = Memory(layer, 1), Memory(layer, 2)
    for memory in (one, two):
        for value in (1.0, 3.0):
            memory.add({"weight": torch.full((1, 2), value)})
    assert one.mean()["weight"].data_ptr() == one.get_buffer("ring_0").data_ptr()
    assert two.mean()["weight"] is two.mean()["weight"]
    assert two.mean()["weight"].tolist() == [[2.0, 2.0]]
    two.add({"weight": torch.full((1, 2), 5.0)})
    assert two.mean()["weight"].tolist() == [[4.0, 4.0]]


@pytest.mark.parametrize("strategy", [SelfEnsemble(), Sda(window=2), Sdv(window=2), Ema()])
def test_the_memory_is_gone_in_the_end(labelled: Labelled, strategy: Strategy, tmp_path: Path) -> None:
    model, job = labelled(strategy, steps=2)
    names = model.state_dict().keys()
    fit(model, job)
    assert model.state_dict().keys() == names
