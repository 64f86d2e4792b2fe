"""Every objective and paradigm on every kind of body: it works, or says in one line why not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from quire.core.bodies import KINDS
from quire.core.catalogue import Component, catalogue
from quire.core.config import parse
from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Passage, World
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.objectives import Objective
from quire.paradigms import Paradigm
from quire.train.loop import planned

FIELDS: dict[str, dict[str, Any]] = {
    "transformer": {"heads": 2, "ffn": 20},
    "star": {"heads": 2},
    "bag": {"positions": 512},
    "bottleneck": {"depth": 2, "embedding": 5, "bottleneck": 6, "heads": 2, "ffn": 7},
    **{kind: {"segments": 2} for kind in ("cnn", "lstm", "tree", "hierarchical")},
}
OF: tuple[type[Component], ...] = (Objective, Paradigm)
MEMBERS = [pytest.param(kind, name, id=name) for kind in OF for name in catalogue(kind)]
LEFT_TO_RIGHT: dict[str, dict[str, Any]] = {
    "transformer": {},
    "lstm": {"directions": "forward"},
    "bag": {},
    "bottleneck": {"trigrams": False},
}


def body(kind: str, **changes: object) -> Backbone:
    return parse(Backbone, {"kind": kind, "vocab": 60, "width": 12, **FIELDS[kind], **changes}, where=kind)


def loss(
    objective: Any,
    before: tuple[Objective, ...],
    spec: Backbone,
    world: World,
    passage: Callable[[int, Rng], Passage],
    pose: Callable[..., Any],
) -> float:
    model = Model(spec, planned([objective], spec, world), seed=0)
    examples = []
    for i, length in enumerate((3, 9)):
        passages = [passage(length, rng(i))]
        if isinstance(objective, Paradigm):
            _, _, (example, *_) = pose(objective, passages, world, rng(4, i))
        else:
            example = Example.of(world.vocab, *passages, passage(4, rng(i, 1)))
        for earlier in before:
            example = earlier.corrupt(example, world, rng(2, i))
        examples.append(objective.corrupt(example, world, rng(3, i)))
    step = Step(model, Packed(Batch.pack(examples)))
    found: torch.Tensor = objective.loss(step)
    found.backward()  # type: ignore[no-untyped-call]
    objective.health(step)
    return float(found.detach())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("of", "name"), MEMBERS)
def test_it_works_or_is_refused(
    of: type[Component],
    name: str,
    kind: str,
    member: Callable[[type[Component], str], Objective],
    earlier: Callable[[str], tuple[Objective, ...]],
    passage: Callable[[int, Rng], Passage],
    world: World,
    pose: Callable[..., Any],
) -> None:
    refusal = ""
    try:
        found = loss(member(of, name), earlier(name), body(kind), world, passage, pose)
    except BadInput as error:
        refusal, found = str(error), 1.0
    assert found > 0
    assert "\n" not in refusal
    assert not (refusal and name in ("mlm", "classify")), f"these work on any body: {refusal}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_language_model_stands_on_what_reads_to_the_right_alone(
    kind: str,
    member: Callable[[type[Component], str], Objective],
    passage: Callable[[int, Rng], Passage],
    world: World,
    pose: Callable[..., Any],
) -> None:
    lm = member(Objective, "lm")
    if kind in LEFT_TO_RIGHT:
        assert loss(lm, (), body(kind, **LEFT_TO_RIGHT[kind]), world, passage, pose) > 0
    else:
        with pytest.raises(BadInput, match=r"lm: every token is told from those before it alone, but in this backbone"):
            loss(lm, (), body(kind), world, passage, pose)
