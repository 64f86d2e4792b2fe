"""What every tuning strategy promises, and what full fine-tuning does with layers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quire.core.catalogue import Component, catalogue, find
from quire.core.errors import BadInput, Stopped
from quire.core.example import Batch, Example, Passage, World
from quire.core.heads import SequenceHead, TokenHead
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.objectives import Objective
from quire.paradigms import Paradigm
from quire.train.loop import Job, fit, planned
from quire.train.signals import StopRequest
from quire.tuning import Strategy
from quire.tuning.adversarial import Fgm, Freelb, Pgd
from quire.tuning.base import Group, Over, split_decay
from quire.tuning.distil import Sda, Sdv, asked
from quire.tuning.full import Full
from quire.tuning.past import SelfEnsemble, memory_of
from quire.tuning.prompts import Prefix, PromptTuning

NAMES = list(catalogue(Strategy))
TOGETHER = [
    (name, over)
    for name, member in catalogue(Strategy).items()
    for over in (("full", "lora", "houlsby", "pals") if issubclass(member, Over) else (None,))
]
RESUMED = [
    *(
        pytest.param(find(Strategy, name).model_validate({"over": over} if over else {}), id=f"{name}-{over}")
        for name, over in TOGETHER
    ),
    pytest.param(Sda(window=3), id="a ring, averaged"),
    pytest.param(Sdv(window=3, over=Full(layer_decay=0.9)), id="a ring, voted"),
    pytest.param(Full(thaw_at=1, thaw_every=1), id="layers that thaw one by one"),
    pytest.param(Sda(window=2, over=Full(thaw_at=1, thaw_every=2)), id="a ring over layers that thaw"),
    pytest.param(Prefix(length=3, width=7), id="a prefix that a network makes"),
    *(
        pytest.param(way(over=prompt), id=f"{way.name()} over {prompt.name()}")
        for way in (Fgm, Pgd, Freelb)
        for prompt in (Prefix(length=3), PromptTuning(length=3))
    ),
]
SETTINGS = [
    pytest.param(Full(layer_decay=0.9, freeze=1, thaw_at=3, head_scale=2.0), id="full with all fields"),
    pytest.param(Full(layer_decay=1 / 2.6, thaw_at=1, thaw_every=2), id="ulmfit"),
]


@pytest.fixture
def model(tiny: Backbone) -> Model:
    return Model(tiny, {"mlm": TokenHead(), "pair": SequenceHead(outputs=2)}, seed=1)


@pytest.fixture(params=[*NAMES, *SETTINGS])
def strategy(request: pytest.FixtureRequest, member: Callable[[type[Component], str], Strategy]) -> Strategy:
    found: Strategy = request.param if isinstance(request.param, Strategy) else member(Strategy, request.param)
    return found


def learning(model: Model) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_every_trainable_parameter_is_in_exactly_one_group(strategy: Strategy, model: Model) -> None:
    prepared = strategy.prepare(model)
    groups = strategy.groups(prepared)
    held = [name for group in groups for name in group.parameters]
    assert sorted(held) == sorted(learning(prepared))
    assert held
    named = dict(prepared.named_parameters())
    assert all(named[name] is p for group in groups for name, p in group.parameters.items())
    assert all(group.scale > 0 and group.parameters for group in groups)


def test_gains_and_biases_do_not_decay_and_matrices_do(strategy: Strategy, model: Model) -> None:
    for group in strategy.groups(strategy.prepare(model)):
        assert all((p.ndim > 1) == group.decay for p in group.parameters.values())


def test_freezing_is_a_function_of_the_step_alone(strategy: Strategy, tiny: Backbone, world: World) -> None:
    def fresh() -> Model:
        return strategy.prepare(Model(tiny, {"mlm": TokenHead()}))

    walked = fresh()
    for t in range(6):
        strategy.before_step(walked, t)
        jumped = fresh()
        strategy.before_step(jumped, t)
        assert learning(walked) == learning(jumped), f"a run resumed at step {t} would learn other parameters"
        assert learning(walked)


def test_terms_are_objectives(strategy: Strategy) -> None:
    assert all(isinstance(term, Objective) for term in strategy.terms())


def test_decay_splits_without_loss() -> None:
    group = Group({"w": torch.nn.Parameter(torch.zeros(2, 2)), "b": torch.nn.Parameter(torch.zeros(2))}, scale=0.5)
    matrices, rest = split_decay(group)
    assert (list(matrices.parameters), matrices.scale, matrices.decay) == (["w"], 0.5, True)
    assert (list(rest.parameters), rest.scale, rest.decay) == (["b"], 0.5, False)
    assert split_decay(Group({"w": torch.nn.Parameter(torch.zeros(2, 2))}))[0].decay


def scales(strategy: Full, model: Model) -> dict[str, float]:
    return {name: g.scale for g in strategy.groups(strategy.prepare(model)) for name in g.parameters}


def test_layer_1_is_not_layer_11() -> None:
    deep = Model(Backbone(vocab=9, depth=12, width=4, heads=1, ffn=4, positions=4), {"pair": SequenceHead(outputs=2)})
    found = scales(Full(layer_decay=0.5, head_scale=3.0), deep)
    for k in range(12):
        layer = {scale for name, scale in found.items() if name.startswith(f"backbone.blocks.{k}.")}
        assert layer == {0.5 ** (11 - k)}, k
    assert {scale for name, scale in found.items() if ".embeddings." in name} == {0.5**12}
    assert {scale for name, scale in found.items() if name.startswith("heads.")} == {3.0}
    assert len(found) == len(list(deep.parameters()))


def test_shared_layers_are_one_and_a_final_norm_is_of_the_last() -> None:
    spec = Backbone(vocab=9, depth=6, groups=2, width=4, embedding=2, heads=1, ffn=4, positions=4, norm_first=True)
    found = scales(Full(layer_decay=0.5, head_scale=3.0), Model(spec, {"pair": SequenceHead(outputs=2)}))
    for part, scale in (("embeddings", 0.25), ("project", 0.25), ("blocks.0", 0.5), ("blocks.1", 1.0), ("norm", 1.0)):
        assert {s for name, s in found.items() if name.startswith(f"backbone.{part}.")} == {scale}, part
    with pytest.raises(BadInput, match="freeze 3: the model has 2 layers of its own"):
        Full(freeze=3).prepare(Model(spec, {}))


def test_layers_of_a_further_body_are_counted_from_the_top_and_are_no_head() -> None:
    spec = Backbone(vocab=9, depth=3, width=4, heads=1, ffn=4, positions=4)
    small = spec.model_copy(update={"depth": 2, "embedding": 4, "width": 2})
    model = Model(spec, {"generator": small, "mlm": TokenHead(of="generator")})
    found = scales(Full(layer_decay=0.5, head_scale=3.0), model)
    for part, scale in (("project", 0.125), ("blocks.0", 0.5), ("blocks.1", 1.0)):
        assert {s for name, s in found.items() if name.startswith(f"bodies.generator.{part}.")} == {scale}, part
    strategy = Full(freeze=2, thaw_at=1)
    strategy.prepare(model)
    assert {name.split(".")[3] for name in learning(model) if name.startswith("bodies.generator.blocks.")} == {"1"}
    strategy.before_step(model, 0)
    assert all(name.startswith("heads.") for name in learning(model))


@pytest.mark.parametrize("freeze", [0, 1, 2])
def test_freeze_keeps_the_embeddings_and_the_first_layers(model: Model, freeze: int) -> None:
    found = learning(Full(freeze=freeze).prepare(model))
    assert any(".embeddings." in name for name in found) == (freeze == 0)
    for k in range(2):
        assert any(name.startswith(f"backbone.blocks.{k}.") for name in found) == (k >= freeze)
    assert any(name.startswith("heads.") for name in found)
    assert len(learning(Full().prepare(model))) == len(list(model.parameters()))  # a later stage learns all again


def test_more_frozen_layers_than_there_are_is_refused(model: Model) -> None:
    with pytest.raises(BadInput, match="freeze 3: the model has 2 layers"):
        Full(freeze=3).prepare(model)


def test_thawing_starts_at_its_step(model: Model) -> None:
    strategy = Full(thaw_at=3, freeze=1)
    strategy.prepare(model)
    for t in range(6):
        strategy.before_step(model, t)
        body = {name for name in learning(model) if name.startswith("backbone.")}
        assert bool(body) == (t >= 3), t
        assert not any(".embeddings." in name or ".blocks.0." in name for name in body)
        assert any(name.startswith("heads.") for name in learning(model))


def test_layers_thaw_one_by_one_from_above() -> None:
    deep = Model(Backbone(vocab=9, depth=3, width=4, heads=1, ffn=4, positions=4), {"pair": SequenceHead(outputs=2)})
    strategy = Full(thaw_at=1, thaw_every=2)
    strategy.prepare(deep)
    for t, lowest in enumerate((3, 2, 2, 1, 1, 0, 0, -1, -1)):
        strategy.before_step(deep, t)
        found = learning(deep)
        assert any(".embeddings." in name for name in found) == (lowest == -1), t
        assert {k for k in range(3) if any(f".blocks.{k}." in name for name in found)} == {*range(max(lowest, 0), 3)}, t
        assert any(name.startswith("heads.") for name in found)


@pytest.mark.parametrize("strategy", RESUMED)
def test_a_run_that_is_stopped_goes_on_to_the_same_weights(
    strategy: Strategy, labelled: Callable[..., tuple[Model, Job]], tmp_path: Path
) -> None:
    whole, job = labelled(strategy, steps=5)
    fit(whole, job)
    stop = StopRequest()
    stop.note(15, None)
    parts, _ = labelled(strategy, steps=5)
    with pytest.raises(Stopped):
        fit(parts, job, folder=tmp_path, stop=stop)
    parts, _ = labelled(strategy, steps=5)
    fit(parts, job, folder=tmp_path)
    assert parts.state_dict().keys() == whole.state_dict().keys()
    assert all(torch.equal(t, whole.state_dict()[name]) for name, t in parts.state_dict().items())


def test_what_is_kept_has_the_body_that_is_told(strategy: Strategy, labelled: Callable[..., tuple[Model, Job]]) -> None:
    model, job = labelled(strategy, steps=1)
    before = model.spec
    fit(model, job)
    assert model.spec == strategy.body(before) == model.backbone.spec
    assert Model(model.spec, model.head_specs).state_dict().keys() == model.state_dict().keys()


def test_one_memory_stands_over_no_other(model: Model) -> None:
    with pytest.raises(BadInput, match=r"strategy\.sda: .* a model has one memory"):
        Sda(over=SelfEnsemble()).prepare(model)


def test_a_teacher_needs_a_head_to_compare(model: Model, world: World) -> None:
    text = Passage(np.arange(5, 9), np.ones(4, dtype=bool))
    step = Step(model, Packed(Batch.pack([Example.of(world.vocab, text).label("elsewhere", 1)])))
    with pytest.raises(BadInput, match="nothing here has a head of that name"):
        asked(step)


SAYS = {
    "classify": None,
    "classify-attention": None,
    "classify-concat": None,
    "classify-private": None,
    "classify-windows": None,
    "label": None,
    "match": None,
    "regress": None,
    "regress-scaled": None,
    "label-crf": "a row of tags as a CRF",
    "extract": "where an answer begins and ends",
    "extract-shown": "where an answer begins and ends",
    "extract_label": "where an answer begins and ends",
    "extract_spans": "where an answer begins and ends",
    "extract_spans-asked": "where an answer begins and ends",
    "siamese": "how two vectors go together",
    "match-bi": "how two vectors go together",
    "prompt": "nothing here has a head of that name",
    "write_label": "nothing here has a head of that name",
    "write_spans": "nothing here has a head of that name",
    "write_spans-named": "nothing here has a head of that name",
    "parse": "nothing here has a head of that name",
    "nest": "nothing here has a head of that name",
}
"""What the strategies that compare logits refuse a paradigm for."""


@pytest.mark.parametrize("name", SAYS)
@pytest.mark.parametrize("way", ["sda", "sdv", "ema", "smart"])
def test_what_compares_logits_learns_from_a_softmax_or_says_why_not(
    way: str,
    name: str,
    member: Callable[[type[Component], str], Paradigm],
    passage: Callable[[int, Rng], Passage],
    pose: Callable[..., Any],
    world: World,
    tiny: Backbone,
) -> None:
    paradigm, draw, told = member(Paradigm, name), rng("compared"), SAYS[name]
    strategy = find(Strategy, way).model_validate({})
    texts = [[passage(5, draw), passage(6, draw)] for _ in range(4)]
    packed = Packed(Batch.pack([e for text in texts for e in pose(paradigm, text, world, draw)[2]]))
    model = strategy.prepare(Model(tiny, planned([paradigm], tiny, world), seed=1))
    memory_of(model).add({n: p.detach() + 0.1 * torch.randn_like(p) for n, p in model.named_parameters()})
    terms = strategy.terms()
    if told is None:
        assert all(term.loss(Step(model, packed)) > 0 for term in terms)
    for term in terms if told else ():
        with pytest.raises(BadInput, match=told) as refused:
            term.loss(Step(model, packed))
        assert "\n" not in str(refused.value)


def test_every_paradigm_is_compared_or_refused() -> None:
    assert SAYS.keys() >= catalogue(Paradigm).keys()  # type: ignore[type-abstract]
