"""Cross entropy of scores that are never all there, against that of scores that are."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from quire.nn import lazy
from quire.nn.lazy import LazyScores
from quire.nn.losses import cross_entropy
from quire.train.machine import counted

M, V, E = 7, 11, 5


def parts(*, bias: bool, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    shapes = ((M, E), (V, E), (V,)) if bias else ((M, E), (V, E))
    return tuple(torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes)


ANSWERS = torch.tensor([0, 10, 3, 3, 7, 0, 5])


@pytest.mark.parametrize("room", [1, 2 * V, 3 * V + 1, 100 * V])
@pytest.mark.parametrize("cached", [1, 2 * V, 100 * V])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("bias", [True, False])
def test_the_loss_and_its_gradients_are_those_of_all_scores_together(
    room: int, cached: int, smoothing: float, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows are there at a time and near the core; scaled, as a weighted loss is, by another number."""
    monkeypatch.setattr(lazy, "ROOM", room)
    monkeypatch.setattr(lazy, "CACHED", cached)
    inputs = parts(bias=bias)
    x, table, *rest = inputs
    ours = 0.7 * cross_entropy(LazyScores(x, table, rest[0] if rest else None), ANSWERS, smoothing=smoothing)
    theirs = 0.7 * F.cross_entropy(F.linear(x, table, *rest), ANSWERS, label_smoothing=smoothing)
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-6, atol=0)
    for found, expected in zip(torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)  # softmax is in fp32


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_is_frozen_has_no_gradient_and_changes_none(frozen: int) -> None:
    inputs = parts(bias=True)
    inputs[frozen].requires_grad_(False)
    wanted = [one for one in inputs if one.requires_grad]
    found = torch.autograd.grad(cross_entropy(LazyScores(*inputs), ANSWERS), wanted)
    expected = torch.autograd.grad(F.cross_entropy(F.linear(*inputs), ANSWERS), wanted)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


def test_a_graph_may_be_gone_through_twice() -> None:
    inputs = parts(bias=True)
    loss = cross_entropy(LazyScores(*inputs), ANSWERS)
    first = torch.autograd.grad(2 * loss, inputs, retain_graph=True)
    second = torch.autograd.grad(2 * loss, inputs)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_all_scores_are_never_there_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """More positions, and no array with more than `ROOM` numbers but the states and their gradient."""
    monkeypatch.setattr(lazy, "ROOM", 2 * V)
    seen: list[int] = []
    linear = F.linear

    def watched(*args: Tensor) -> Tensor:
        found = linear(*args)
        seen.append(found.numel())
        return found

    monkeypatch.setattr(F, "linear", watched)
    cross_entropy(LazyScores(*parts(bias=True)), ANSWERS)
    assert seen == [2 * V, 2 * V, 2 * V, V]


def test_gradients_are_worked_out_where_they_are_wanted() -> None:
    """One product for the scores, and one more for each matrix that learns."""
    x, table, bias = parts(bias=True)
    one = 2 * M * V * E

    def flops(scores: LazyScores) -> int:
        return counted(lambda: cross_entropy(scores, ANSWERS))[1]

    assert flops(LazyScores(x, table, bias)) == 3 * one
    assert flops(LazyScores(x, table.detach(), bias)) == 2 * one
    with torch.no_grad():
        assert flops(LazyScores(x, table, bias)) == one
    with torch.inference_mode():
        assert flops(LazyScores(x, table, bias)) == one


def test_in_half_precision_the_softmax_is_not_halved() -> None:
    inputs = parts(bias=True, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = cross_entropy(LazyScores(*inputs), ANSWERS)
        theirs = F.cross_entropy(F.linear(*inputs).float(), ANSWERS)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)
    for found, expected in zip(torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=0.02, atol=2e-3)


def test_nothing_asked_is_zero_with_gradients_of_zero() -> None:
    x, table, bias = parts(bias=True)
    loss = cross_entropy(LazyScores(x[:0], table, bias), ANSWERS[:0])
    assert float(loss.detach()) == 0
    assert all(not grad.any() for grad in torch.autograd.grad(loss, (table, bias)))
