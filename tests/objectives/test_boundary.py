"""The span boundary objective: which spans are asked, and that nothing but their edges and places tells the answer."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Example, Passage, World
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.noise.select import Spans
from quire.objectives.boundary import Boundary
from quire.objectives.mlm import Mlm
from quire.train.loop import planned

Draw = Callable[[int, Rng], Passage]


def hidden(world: World, places: list[int], *lengths: int) -> Example:
    """[CLS] 5 6 7 ... [SEP] with these positions asked by mlm and shown as masks."""
    tokens = np.arange(5, 5 + sum(lengths))
    cuts = np.split(tokens, np.cumsum(lengths)[:-1])
    example = Example.of(world.vocab, *(Passage(cut, np.ones(len(cut), dtype=bool)) for cut in cuts))
    where = np.isin(np.arange(len(example)), places)
    return example.ask("mlm", where, np.where(where, world.vocab.masking(), example.tokens))


def asked(example: Example, slot: str) -> list[int]:
    return [int(at) for at in np.flatnonzero(example.answers[slot] != IGNORE)]


@pytest.mark.parametrize(
    ("places", "inner", "edges"),
    [
        ([3, 4, 5], [3, 4, 5], [2, 6]),
        ([3, 5], [3, 5], [2, 4, 6]),  # one token between them belongs to both
        ([1, 2, 5, 9, 10], [5], [4, 6]),  # beside [CLS], and beside [SEP]: no boundary there
        ([2, 9], [2, 9], [1, 3, 8, 10]),
        ([3, 4, 5, 6, 7, 8], [3, 4, 5, 6], [2, 9]),  # of a long one the first four
        ([], [], []),
        (list(range(1, 11)), [], []),
    ],
)
def test_which_tokens_are_asked_and_which_edges_are_looked_at(
    world: World, places: list[int], inner: list[int], edges: list[int]
) -> None:
    before = hidden(world, places, 10)
    after = Boundary(longest=4).corrupt(before, world, rng(0))
    assert asked(after, "boundary") == inner
    assert after.answers["boundary"][inner].tolist() == before.truth[inner].tolist()
    assert asked(after, "boundary_edges") == edges
    assert after.tokens is before.tokens
    assert after.free is before.free


def test_the_middle_of_a_pair_is_no_boundary(world: World) -> None:
    """[CLS] 1..4 [SEP] 6..9 [SEP]: spans beside the [SEP] between are left out too."""
    after = Boundary().corrupt(hidden(world, [2, 4, 6, 8], 4, 4), world, rng(0))
    assert asked(after, "boundary") == [2, 8]


@given(length=st.integers(1, 50), key=st.integers(0, 2**20), longest=st.sampled_from([1, 3, 20]))
def test_an_asked_token_finds_its_span_again(length: int, key: int, longest: int, world: World) -> None:
    """What the loss works out from the edges is what the spans were."""
    draw = rng(key, length)
    example = hidden(world, (1 + np.flatnonzero(draw.random(length) < 0.3)).tolist(), length)
    after = Boundary(longest=longest).corrupt(example, world, draw)
    mlm, edges = asked(example, "mlm"), asked(after, "boundary_edges")
    for at in asked(after, "boundary"):
        begin = max(i for i in range(at + 1) if i not in mlm) + 1
        end = min(i for i in range(at, length + 2) if i not in mlm)
        assert (max(e for e in edges if e < at), min(e for e in edges if e > at)) == (begin - 1, end)
        assert at - begin < longest


@pytest.fixture
def model(tiny: Backbone, world: World) -> Model:
    parts = planned([Mlm(), Boundary()], tiny, world)
    return Model(tiny.model_copy(update={"init_std": 0.2}), parts, seed=4).eval()


class Told(Step):
    """A step whose states are given."""

    def __init__(self, model: Model, batch: Packed, states_NW: torch.Tensor) -> None:
        super().__init__(model, batch)
        self._states = states_NW


def test_the_inside_of_a_span_tells_nothing_and_both_edges_do(world: World, model: Model) -> None:
    example = Boundary().corrupt(hidden(world, [3, 4, 5], 10), world, rng(0))
    packed, generator = Packed(Batch.pack([example])), torch.Generator().manual_seed(1)
    states = torch.randn(len(example), model.spec.width, generator=generator)

    def logits(*changed: int) -> torch.Tensor:
        other = states.clone()
        other[list(changed)] += torch.randn(len(changed), model.spec.width, generator=generator)
        return Boundary().scores(Told(model, packed, other)).scores().detach()

    still = logits()
    assert torch.equal(logits(0, 1, 3, 4, 5, 7, 8), still)
    for edge in (2, 6):
        assert (logits(edge) - still).abs().amax(dim=1).min() > 1e-3
    # the same edges, another place
    assert (still[0] - still[1]).abs().max() > 1e-3
    assert (still[1] - still[2]).abs().max() > 1e-3


def test_it_shares_one_pass_over_the_asked_positions(
    passage: Draw, world: World, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With mlm beside it, nothing is computed twice, and the last block where somebody asks alone."""
    objectives = [Mlm(select=Spans()), Boundary()]
    examples = [Example.of(world.vocab, passage(28, rng(i))) for i in range(4)]
    for objective in objectives:
        examples = [objective.corrupt(example, world, rng(objective.name(), i)) for i, example in enumerate(examples)]
    packed, right = Packed(Batch.pack(examples)), model.forward
    passes: list[torch.Tensor | None] = []

    def spy(
        batch: Packed, at_M: torch.Tensor | None = None, *, by: str = "backbone", of: str | None = None
    ) -> torch.Tensor:
        passes.append(at_M)
        return right(batch, at_M, by=by, of=of)

    monkeypatch.setattr(model, "forward", spy)
    step = Step(model, packed)
    losses = [float(objective.loss(step).detach()) for objective in objectives]
    assert [at_M is packed.wanted for at_M in passes] == [True]
    assert len(packed.wanted) < len(packed.tokens)
    whole = Step(model, packed)
    whole.encode()
    assert [float(objective.loss(whole).detach()) for objective in objectives] == pytest.approx(losses, rel=1e-5)


def test_the_loss_is_that_of_the_formula(passage: Draw, world: World, model: Model) -> None:
    """Span by span, with the head's own layers."""
    examples = [Example.of(world.vocab, passage(n, rng(n))) for n in (28, 17)]
    for objective in (Mlm(select=Spans(rate=0.3)), Boundary()):
        examples = [objective.corrupt(example, world, rng("x", i)) for i, example in enumerate(examples)]
    batch = Batch.pack(examples)
    step, head, losses = Step(model, Packed(batch)), model.heads["boundary"], []
    states = step.encode()
    mlm = batch.answers["mlm"] != IGNORE
    for at in np.flatnonzero(batch.answers["boundary"] != IGNORE).tolist():
        begin = max(i for i in range(at) if not mlm[i]) + 1
        end = min(i for i in range(at, len(mlm)) if not mlm[i])
        scores = head(states[[begin - 1]], states[[end]], torch.tensor([at - begin]), step.table)
        losses.append(-float(scores[0].detach().log_softmax(dim=0)[batch.answers["boundary"][at]]))
    assert len(losses) > 8
    assert float(Boundary().loss(step).detach()) == pytest.approx(np.mean(losses), rel=1e-5)


def test_it_must_come_after_what_hides(world: World) -> None:
    example = hidden(world, [3], 10)
    with pytest.raises(BadInput, match=r"hidden none yet; list it after mlm, or name another slot in `of`"):
        Boundary().corrupt(replace(example, answers={}), world, rng(0))
    spans = Boundary(of="spans").corrupt(replace(example, answers={"spans": example.answers["mlm"]}), world, rng(0))
    assert asked(spans, "boundary") == [3]
