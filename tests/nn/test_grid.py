"""A grid of short sequences gives what they give run by run, and nobody looks at a blank."""

from itertools import accumulate, combinations, pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.core.spec import Backbone
from quire.core.visibility import Backward, Causal, Full, Prefix, Visibility
from quire.nn import crossing, grid
from quire.nn.attention import Attention, Layout
from quire.nn.crossing import CrossAttention, Crossing, Source
from quire.nn.grid import Grid, Size, together, worth_it
from quire.nn.relative import RelativeAttention

SPEC = Backbone(width=12, heads=3, attention_dropout=0, dropout=0)
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
    whole = Grid.of(lengths, "cpu")
    laid = whole.laid(x_NHD)
    assert laid.shape == (len(lengths), max(lengths), 2, 3)
    assert torch.equal(whole.taken(laid.flatten(2)), x_NHD.flatten(1))
    for row, piece in zip(laid, torch.split(x_NHD, lengths), strict=True):
        assert torch.equal(row[: len(piece)], piece)


RULES: st.SearchStrategy[Visibility] = st.sampled_from([Full(), Causal(), Prefix(1), Backward()])


@given(st.lists(st.tuples(st.integers(1, 7), RULES), min_size=2, max_size=6), st.booleans())
@settings(max_examples=30)
def test_self_attention_is_the_same_at_once_and_run_by_run(told: list[tuple[int, Visibility]], relative: bool) -> None:
    lengths, rules = [length for length, _ in told], [rule for _, rule in told]
    module, x_NW = drawn((RelativeAttention if relative else Attention)(SPEC)), states(sum(lengths), 12)
    x_NW.requires_grad_()
    found = []
    for call in (0.0, 1e12):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(grid, "CALL", call)
            layout = Layout.of(lengths, rules)
            assert len(layout.calls(12, learning=True)) == (1 if call else len(layout.runs))
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
    assert worth_it([5, 9, 7], [5, 9, 7], calls=3, inner=64, learning=True)
    assert not worth_it([5, 9, 7], [5, 9, 7], calls=3, inner=384, learning=False)
    assert not worth_it([500, 9, 7], [500, 9, 7], calls=3, inner=64, learning=True)
    assert not worth_it([5, 5], [5, 5], calls=1, inner=64, learning=True)
    assert worth_it([500, 9, 7], [500, 9, 7], calls=3, inner=64, learning=True, device="cuda")


def cost(sizes: list[Size], *, inner: int) -> float:
    """Of one call for all: itself, blanks, and a mask where there was none."""
    area = max(size.length for size in sizes) ** 2
    own = sum(size.pairs for size in sizes)
    rows = sum(size.sequences for size in sizes)
    free = 0 if len(sizes) == 1 else sum(size.sequences for size in sizes if not size.masked)
    return grid.CALL + 12 * inner * ((rows + grid.MASK * free) * area - own)


SIZES = st.builds(Size, st.integers(1, 60), st.integers(1, 3), st.booleans())


@given(st.lists(SIZES, min_size=1, max_size=7), st.sampled_from([8, 64, 384]))
def test_neighbours_are_taken_together_where_that_costs_least(sizes: list[Size], inner: int) -> None:
    sizes = sorted(sizes, key=lambda size: size.length)  # as a batch has them
    whole = len(sizes)
    ways = [[*pairwise([0, *cuts, whole])] for number in range(whole) for cuts in combinations(range(1, whole), number)]
    least = min(sum(cost(sizes[a:b], inner=inner) for a, b in way) for way in ways)
    counts = together(sizes, inner=inner, learning=True)
    assert sum(counts) == whole
    found = sum(cost(sizes[a:b], inner=inner) for a, b in pairwise(accumulate(counts, initial=0)))
    assert found == pytest.approx(least)


def test_reading_takes_equal_lengths_together_alone() -> None:
    sizes = [Size(9, 1, True), Size(9, 1, True), Size(11, 1, True), Size(11, 4, False)]
    assert together(sizes, inner=384, learning=False) == [2, 1, 1]
