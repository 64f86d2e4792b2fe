"""ELECTRA: samples stand on unmasked text, all tokens are judged, and only embeddings carry it to the generator."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from quire import recipe
from quire.core.example import IGNORE, Batch, Example, Passage, World
from quire.core.heads import DetectionHead, TokenHead
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.objectives.mlm import Mlm
from quire.objectives.rtd import Rtd, sampled, smaller
from quire.train.feed import Fixed
from quire.train.loop import Job, fit, planned
from quire.train.optim import TrainPlan

Draw = Callable[[int, Rng], Passage]


@pytest.fixture
def packed(passage: Draw, world: World) -> Packed:
    draw = rng(0, "rtd")
    examples = [Example.of(world.vocab, passage(n, draw)) for n in (30, 3, 12, 30, 18, 30, 25)]
    return Packed(Batch.pack([Rtd().corrupt(e, world, rng(1, i)) for i, e in enumerate(examples)]))


@pytest.fixture
def model(tiny: Backbone, world: World) -> Model:
    return Model(tiny.model_copy(update={"init_std": 0.2}), planned([Rtd()], tiny, world), seed=3)


def knowing(model: Model, token: int) -> Model:
    """The generator is made sure of one token."""
    with torch.no_grad():
        model.get_parameter("heads.generator_mlm.bias")[token] = 1e4
    return model


def gradients(loss: Tensor, model: Model) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def test_eighty_five_percent_are_masked_and_the_rest_stays(passage: Draw, world: World) -> None:
    asked = masked = 0
    for seed in range(300):
        example = Rtd().corrupt(Example.of(world.vocab, passage(100, rng(seed))), world, rng(seed, "x"))
        where = example.answers["rtd"] != IGNORE
        shown = example.tokens[where]
        assert ((shown == world.vocab.mask) | (shown == example.truth[where])).all(), "no random tokens"
        assert where.sum() <= round(0.15 * 102)
        asked, masked = asked + where.sum(), masked + (shown == world.vocab.mask).sum()
    assert abs(masked / asked - 0.85) < 4 * (0.85 * 0.15 / asked) ** 0.5


def test_fakes_stand_on_the_whole_text_and_hits_count_as_original(model: Model, packed: Packed, world: World) -> None:
    seen: list[Tensor] = []
    model.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    round_ = Rtd().play(Step(knowing(model, 7), packed))
    at_M, truth_M = packed.asked["rtd"], packed.answers["rtd"]
    expected_N = packed.tokens.clone()
    expected_N[at_M] = 7
    assert world.vocab.mask not in expected_N
    with torch.no_grad():
        torch.testing.assert_close(seen[0], model.embed(packed.showing(expected_N)))
    changed_N = torch.zeros(len(packed.tokens), dtype=torch.bool)
    changed_N[at_M] = truth_M != 7
    assert torch.equal(round_.fake_N, changed_N)
    assert 0 < changed_N.float().mean() <= 0.15


def test_a_perfect_generator_leaves_nothing_to_find(model: Model, packed: Packed) -> None:
    packed.answers["rtd"] = torch.full_like(packed.answers["rtd"], 7)
    round_ = Rtd().play(Step(knowing(model, 7), packed))
    assert not round_.fake_N.any()
    assert Rtd().health(Step(model, packed))["fake_rate"] == 0
    assert float(round_.generator_loss.detach()) == 0


def test_the_loss_is_the_sum_as_published_over_every_token(model: Model, packed: Packed) -> None:
    torch.manual_seed(0)
    round_ = Rtd().play(Step(model, packed))
    torch.manual_seed(0)
    step = Step(model, packed)
    loss = Rtd().loss(step)
    log_p = round_.guesses_MV.log_softmax(dim=-1)
    mlm = -np.mean([float(log_p[m, token].detach()) for m, token in enumerate(packed.answers["rtd"])])
    p = round_.suspicion_N.detach().sigmoid().double().numpy()
    fake = round_.fake_N.numpy()
    assert len(p) == len(packed.tokens), "specials too"
    detection = -np.where(fake, np.log(p), np.log1p(-p)).mean()
    assert float(loss.detach()) == pytest.approx(mlm + 50 * detection, rel=1e-5)
    assert float(step.notes["rtd_generator"]) == pytest.approx(mlm, rel=1e-5)
    assert float(step.notes["rtd_detection"]) == pytest.approx(detection, rel=1e-5)


def test_the_detector_reaches_the_generator_by_the_embeddings_alone(model: Model, packed: Packed) -> None:
    round_ = Rtd().play(Step(model, packed))
    by_detection, by_guess = gradients(round_.detection_loss, model), gradients(round_.generator_loss, model)
    shared = {name for name, _ in model.named_parameters() if name.startswith("backbone.embeddings.")}
    assert {"backbone.embeddings.tokens.weight", "backbone.embeddings.positions.weight"} < shared
    assert not any(name.startswith(("bodies.", "heads.generator")) for name in by_detection)
    assert not any(name.startswith(("backbone.blocks", "heads.rtd")) for name in by_guess)
    assert shared <= by_detection.keys() & by_guess.keys()
    assert any(name.startswith("bodies.generator.blocks.1.") for name in by_guess)


def test_the_generator_is_as_deep_and_thinner_whatever_divides() -> None:
    for name, widths in (("electra-small", (64, 1, 256, 128)), ("electra-base", (256, 4, 1024, 768))):
        system = recipe.load(name)
        assert system.backbone is not None
        found = smaller(system.backbone, share=system.objectives[0].model_dump(mode="json")["rtd"]["generator"])
        assert (found.width, found.heads, found.ffn, found.embedding) == widths
    for width in (6, 36, 100, 312, 1000):
        odd = smaller(Backbone(width=width, heads=1, position="rotary"), share=0.3)
        assert abs(odd.width - 0.3 * width) <= odd.heads + 1
    parts = Rtd().parts(Backbone(), World.__new__(World))
    assert parts["generator_mlm"] == TokenHead(of="generator")
    assert parts["rtd"] == DetectionHead()


def test_fakes_are_drawn_and_not_the_likeliest(model: Model, packed: Packed) -> None:
    def fakes(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return Rtd().play(Step(model, packed)).suspicion_N

    assert torch.equal(fakes(0), fakes(0))
    assert not torch.equal(fakes(0), fakes(1))


def test_samples_have_the_probabilities_of_the_softmax() -> None:
    logits = torch.tensor([2.0, 0.0, -1.0, float("-inf"), 1.0])
    torch.manual_seed(0)
    counts = sampled(logits.expand(40_000, 5)).bincount(minlength=5)
    expected = logits.softmax(dim=-1) * 40_000
    assert counts[3] == 0
    assert float(((counts - expected) ** 2 / expected.clamp(min=1e-9)).nansum()) < 20  # chi-square, 3 degrees
    torch.manual_seed(1)
    one = sampled(logits.expand(50, 5))
    torch.manual_seed(1)
    assert torch.equal(one, sampled(logits.expand(50, 5)))


def test_fakes_get_fewer_as_the_generator_learns_and_the_log_shows_both_terms(world: World, tiny: Backbone) -> None:
    """A text that counts: a hidden token follows from its neighbours. Weight 50 would take longer."""
    rows = [Passage(5 + (np.arange(20) + i) % 8, np.ones(20, dtype=bool)) for i in range(16)]
    examples = Fixed([Example.of(world.vocab, row) for row in rows], "counting")
    plan = TrainPlan.model_validate({"steps": 350, "batch": 16, "lr": 4e-3, "schedule": "constant", "warmup": 10})
    objective = Rtd(generator=1.0, weight_detection=1.0)
    job = Job(examples, (objective,), world, plan)
    model = Model(tiny, planned(job.objectives, tiny, world), seed=0)
    packed = Packed(Batch.pack([objective.corrupt(e, world, rng(9, i)) for i, e in enumerate(examples.examples)]))

    def health() -> dict[str, float]:
        torch.manual_seed(0)
        return dict(objective.health(Step(model.eval(), packed)))

    before, records = health(), fit(model, job)
    after = health()
    assert 0.1 < before["fake_rate"] <= 0.15
    assert after["fake_rate"] < 0.5 * before["fake_rate"]
    assert after["accuracy"] > 0.7 > before["accuracy"]
    assert {"top_share", "entropy", "detected", "flagged"} < after.keys()
    assert health() == after, "the seed decides what is sampled"
    last = records[-1]
    assert last["loss"] == pytest.approx(last["loss_rtd_generator"] + last["loss_rtd_detection"], rel=1e-5)
    assert last["loss_rtd_detection"] < 0.6 * records[0]["loss_rtd_detection"]


def test_beside_another_objective_nothing_is_asked_twice(passage: Draw, world: World, tiny: Backbone) -> None:
    both = (Rtd(), Mlm())
    model = Model(tiny, planned(both, tiny, world), seed=0)
    example = Example.of(world.vocab, passage(28, rng(0)))
    for objective in both:
        example = objective.corrupt(example, world, rng(1))
    asked = [example.answers[slot] != IGNORE for slot in ("rtd", "mlm")]
    assert not (asked[0] & asked[1]).any()
    batch = Batch.pack([example, replace(example, answers={})])
    step = Step(model, Packed(batch))
    assert all(torch.isfinite(objective.loss(step)) for objective in both)
