"""What every objective promises, paradigms included: a new one is tested without being asked."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from tests.elsewhere import there
from torch import Tensor, nn

from quire.core.catalogue import Component, catalogue
from quire.core.example import IGNORE, Batch, Bools, Example, Passage, World
from quire.core.heads import PositionHead, PrivateHead, SequenceHead, SiameseHead, VectorHead, WordsHead
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.core.visibility import Causal, Prefix
from quire.nn.model import Model, Packed, Step
from quire.objectives import Objective, rtd
from quire.paradigms import Paradigm
from quire.train.loop import planned

KINDS: tuple[type[Component], ...] = (Objective, Paradigm)
WAYS = (
    "classify-attention",
    "classify-concat",
    "classify-private",
    "classify-windows",
    "label-crf",
    "match-bi",
    "regress-scaled",
)
MEMBERS = [pytest.param(kind, name, id=name) for kind in KINDS for name in catalogue(kind)]
MEMBERS += [pytest.param(Paradigm, name, id=name) for name in WAYS]
every = pytest.mark.parametrize(("kind", "name"), MEMBERS)
Draw = Callable[[int, Rng], Passage]
LENGTHS = (1, 2, 7, 20, 30)
CLASSES = (SequenceHead, PrivateHead, PositionHead, SiameseHead, VectorHead, WordsHead)
NEUTRAL = ("heads.extract.out.bias", "heads.extract_label.out.bias")
"""What a softmax over positions does not see: it adds the same to all."""


@pytest.fixture
def objective(kind: type[Component], name: str, member: Callable[[type[Component], str], Objective]) -> Objective:
    return member(kind, name)


@pytest.fixture
def plain(
    objective: Objective,
    passage: Draw,
    world: World,
    earlier: Callable[[str], tuple[Objective, ...]],
    pose: Callable[..., Any],
) -> list[Example]:
    """Examples of one and of two passages, short and long; labelled when it is a paradigm that asks."""
    draw = rng(1, "plain")
    passages = [[passage(n, draw)] for n in LENGTHS] + [[passage(n, draw), passage(9, draw)] for n in LENGTHS]
    if isinstance(objective, Paradigm):
        return [example for p in passages for example in pose(objective, p, world, draw)[2]]
    examples = [Example.of(world.vocab, *p) for p in passages]
    for before in earlier(objective.name()):
        examples = [before.corrupt(example, world, rng(5, i)) for i, example in enumerate(examples)]
    return examples


@pytest.fixture
def damaged(objective: Objective, plain: list[Example], world: World) -> list[Example]:
    return [objective.corrupt(example, world, rng(2, i)) for i, example in enumerate(plain)]


@pytest.fixture
def model(objective: Objective, name: str, suited: Callable[[str], Backbone], world: World) -> Model:
    backbone = suited(name)
    return Model(backbone.model_copy(update={"init_std": 0.2}), planned([objective], backbone, world), seed=4)


def _comes_next(example: Example, slot: str) -> None:
    """Nothing is damaged, and what is asked for is the token behind: nobody may ask for it again."""
    asked = example.answers[slot] != IGNORE
    assert (example.tokens == example.truth).all()
    assert (example.answers[slot][asked] == np.append(example.truth[1:], IGNORE)[asked]).all()
    assert not example.free[1:][asked[:-1]].any()


def _asked(example: Example, slots: list[str]) -> Bools:
    asked: Bools = np.zeros(len(example), dtype=bool)
    for slot in slots:
        asked |= example.answers.get(slot, IGNORE) != IGNORE
    return asked


def _gradients(loss: Tensor, model: Model) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@every
def test_same_seed_same_corruption_and_the_example_stays(
    objective: Objective, plain: list[Example], world: World
) -> None:
    for i, example in enumerate(plain):
        before = example.tokens.copy(), example.free.copy(), set(example.answers)
        one, two = (objective.corrupt(example, world, rng(3, i)) for _ in range(2))
        assert (one.tokens == two.tokens).all()
        assert (one.truth == two.truth).all()
        assert one.answers.keys() == two.answers.keys()
        assert all((one.answers[slot] == two.answers[slot]).all() for slot in one.answers)
        assert (example.tokens == before[0]).all()
        assert (example.free == before[1]).all()
        assert set(example.answers) == before[2]


@every
def test_answers_are_the_truth_and_the_rest_is_untouched(
    objective: Objective, damaged: list[Example], model: Model, world: World
) -> None:
    heads = model.head_specs
    classes = [slot for slot, head in heads.items() if isinstance(head, CLASSES)]
    looked_at = ("_edges", "_reach", "_noise", "_ends", "_gap", "_words")  # and not asked for tokens
    marks = [slot for slot in damaged[0].answers if slot.endswith(looked_at)]
    token_slots = sorted(damaged[0].answers.keys() - {*classes, *marks})
    for example in damaged:
        if isinstance(example.sees, Causal | Prefix):
            _comes_next(example, objective.slot)
            continue
        asked = _asked(example, token_slots)
        assert (example.tokens == example.truth)[~asked].all()
        assert not (example.free & asked).any(), "what is asked may not be asked again"
        assert not asked[np.isin(example.truth, sorted(world.vocab.special - {world.vocab.unk}))].any()
        for slot, answers in example.answers.items():
            where = answers != IGNORE
            if slot in token_slots:
                assert (answers[where] == example.truth[where]).all()
            elif isinstance(head := heads.get(slot), SequenceHead | PrivateHead | PositionHead | SiameseHead):
                if head.outputs == 1:
                    continue  # a number's bits
                assert ((answers[where] >= 0) & (answers[where] < head.outputs)).all()


@every
def test_the_loss_is_a_finite_scalar_that_reaches_every_part(
    objective: Objective, damaged: list[Example], model: Model
) -> None:
    loss = objective.loss(Step(model, Packed(Batch.pack(damaged))))
    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert float(loss.detach()) > 0
    found = _gradients(loss, model)
    assert found.keys() == {name for name, _ in model.named_parameters()}
    assert all(torch.isfinite(grad).all() for grad in found.values())
    for name in ("backbone.embeddings.tokens.weight", next(n for n in found if n.startswith("backbone.blocks.0."))):
        assert found[name].any(), name
    heads = {name: grad for name, grad in found.items() if name.startswith("heads.")}
    assert all(grad.any() if name not in NEUTRAL else grad.abs().max() < 1e-6 for name, grad in heads.items())


@every
def test_nothing_asked_is_zero_and_never_nan(objective: Objective, passage: Draw, world: World, model: Model) -> None:
    batch = Batch.pack([Example.of(world.vocab, passage(n, rng(n))) for n in LENGTHS])
    loss = objective.loss(Step(model, Packed(batch)))
    assert float(loss.detach()) == 0
    assert not any(grad.any() or grad.isnan().any() for grad in _gradients(loss, model).values())


@every
def test_the_loss_does_not_depend_on_the_order_of_examples(
    objective: Objective, damaged: list[Example], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.eval()
    monkeypatch.setattr(torch, "rand", lambda *size, **options: torch.full(size, 0.5, **options))  # a draw has a place
    one, two = (float(objective.loss(Step(model, Packed(Batch.pack(d)))).detach()) for d in (damaged, damaged[::-1]))
    assert one == pytest.approx(two, rel=1e-5)


@every
def test_what_is_asked_can_be_learnt(objective: Objective, damaged: list[Example], model: Model) -> None:
    packed, optimizer = Packed(Batch.pack(damaged)), torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    torch.manual_seed(1)  # of dropout
    for _ in range(40):
        loss = objective.loss(Step(model, packed))
        _gradients(loss, model)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] * 0.3


@every
def test_a_table_narrower_than_the_states_will_do(
    objective: Objective, damaged: list[Example], name: str, suited: Callable[[str], Backbone], world: World
) -> None:
    backbone = suited(name)
    if backbone.embedding is None:  # bilm has one already
        backbone = backbone.model_copy(update={"embedding": backbone.width // 3})
    model = Model(backbone, planned([objective], backbone, world))
    assert torch.isfinite(objective.loss(Step(model, Packed(Batch.pack(damaged)))))


@every
def test_a_device_computes_the_same(
    objective: Objective, damaged: list[Example], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every tensor is made where the model is: none is left here, none is read there. On a GPU, where there is one,
    else on a device of paper (`tests/elsewhere.py`), which has no kernel for an LSTM."""
    real, recurrent = (
        torch.cuda.is_available(),
        any(isinstance(part, nn.LSTMCell | nn.LSTM) for part in model.modules()),
    )
    if recurrent and not real:
        pytest.skip("an LSTM computes on a CPU or a GPU alone")
    if real:  # which draws from a generator of its own
        monkeypatch.setattr(rtd, "sampled", lambda logits_MV: logits_MV.argmax(dim=-1))
    batch = Batch.pack(damaged)
    torch.manual_seed(6)
    loss = objective.loss(Step(model.eval(), Packed(batch)))
    here = _gradients(loss, model)
    native = torch.backends.cudnn.flags(enabled=not recurrent)  # cuDNN has no gradient of an LSTM that is not training
    with native, nullcontext(torch.device("cuda")) if real else there() as device:
        moved = deepcopy(model).to(device)
        torch.manual_seed(6)
        again = objective.loss(Step(moved, Packed(batch, device)))
        found = _gradients(again, moved)
        assert float(again.detach()) == pytest.approx(float(loss.detach()), rel=1e-4)
        assert found.keys() == here.keys()
        for name, gradient in here.items():
            torch.testing.assert_close(found[name].cpu(), gradient, rtol=1e-3, atol=1e-4, msg=name)
