"""A grid of short sequences gives what they give run by run, and nobody looks at a blank."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.core.spec import Backbone
from quire.core.visibility import Causal, Full, Visibility
from quire.nn import attention, crossing
from quire.nn.attention import Attention, Layout
from quire.nn.crossing import CrossAttention, Crossing, Source
from quire.nn.grid import Grid, worth_it

SPEC = Backbone(width=12, heads=3, attention_dropout=0)
LENGTHS = st.lists(st.integers(1, 7), min_size=2, max_size=6).filter(lambda lengths: len(set(lengths)) > 1)


def drawn(module: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(states(*parameter.shape) / 3)
    return module


def states(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@given(LENGTHS)
def test_what_is_laid_is_taken_up_again(lengths: list[int]) -> None:
    x_NHD = states(sum(lengths), 2, 3)
    grid = Grid.of(lengths, "cpu")
    laid = grid.laid(x_NHD)
    assert laid.shape == (len(lengths), max(lengths), 2, 3)
    assert torch.equal(grid.taken(laid.flatten(2)), x_NHD.flatten(1))
    for row, piece in zip(laid, torch.split(x_NHD, lengths), strict=True):
        assert torch.equal(row[: len(piece)], piece)


@given(LENGTHS, st.sampled_from([Full(), Causal()]))
@settings(max_examples=20)
def test_self_attention_is_the_same_at_once_and_run_by_run(lengths: list[int], sees: Visibility) -> None:
    module, x_NW = drawn(Attention(SPEC)), states(sum(lengths), 12).requires_grad_()
    found = []
    for worth in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention, "worth_it", lambda *_, worth=worth, **__: worth)
            layout = Layout.of(lengths, [sees] * len(lengths))
            assert (layout.grid(12) is not None) == worth
            out = module(x_NW, layout)
        found.append((out, *torch.autograd.grad(out.square().sum(), [x_NW, *module.parameters()])))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


@given(LENGTHS, st.booleans(), st.data())
@settings(max_examples=20)
def test_cross_attention_is_the_same_at_once_and_pair_by_pair(
    targets: list[int], covered: bool, data: st.DataObject
) -> None:
    sources = [data.draw(st.integers(2, 6)) for _ in targets]
    hidden = torch.rand(sum(sources), generator=torch.Generator().manual_seed(3)) < 0.5
    hidden[torch.tensor([0, *sources[:-1]]).cumsum(0)] = False  # something is seen of each
    module, x_TW, states_NW = drawn(CrossAttention(SPEC)), states(sum(targets), 12), states(sum(sources), 12)
    found = []
    for worth in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(crossing, "worth_it", lambda *_, worth=worth, **__: worth)
            found.append(module(x_TW, Source(states_NW, Crossing(targets, sources, hidden if covered else None))))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)


def test_long_blanks_are_not_worth_a_call() -> None:
    assert worth_it([5, 9, 7], [5, 9, 7], calls=3, inner=64)
    assert not worth_it([500, 9, 7], [500, 9, 7], calls=3, inner=64)
    assert not worth_it([5, 5], [5, 5], calls=1, inner=64)
    assert worth_it([500, 9, 7], [500, 9, 7], calls=3, inner=64, device="cuda")
