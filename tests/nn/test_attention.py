"""Laws of the four scores and of windows. Legend: R sequences, L positions of one, H heads, D width of a head, W = H D.

With the identity as values, what attention mixes is its weights: `weights` reads them so.
"""

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from quire.core.spec import Backbone
from quire.core.visibility import Backward, Both, Causal, Full, Prefix, Visibility, Window
from quire.nn.attention import Attention, Band, Layout, Run

SCORES = get_args(Backbone.model_fields["score"].annotation)
H, D = 3, 4
RULES: list[Visibility] = [
    Full(), Causal(), Backward(), Prefix(2), Window(1), Causal() & Window(2), Backward() & Window(0)
]  # fmt: skip


def drawn(*shape: int, key: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(key))


def build(score: str = "scaled_dot", *, key: int = 0, **fields: object) -> Attention:
    spec = {"width": H * D, "heads": H, "attention_dropout": 0.0, "position": "none", "score": score, **fields}
    attention = Attention(Backbone.model_validate(spec))
    with torch.no_grad():
        for i, parameter in enumerate(attention.parameters()):
            parameter.copy_(drawn(*parameter.shape, key=key + i) * 0.5)
    return attention.eval()


def weights(attention: Attention, x_LW: Tensor, rule: Visibility) -> Tensor:
    """[H, L, L]"""
    layout = Layout.of([len(x_LW)], [rule])
    q, k, _ = (x.transpose(0, 1)[None] for x in attention.project(x_LW, layout))
    (run,) = layout.runs
    values = torch.eye(len(x_LW)).expand(1, H, -1, -1)
    with torch.no_grad():
        return attention.mix(q, k, values, mask=run.mask, causal=run.causal)[0]


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_rows_sum_to_1_and_weigh_what_is_hidden_with_0(score: str, rule: Visibility) -> None:
    found = weights(build(score), drawn(6, H * D), rule)
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(H, 6))
    seen = torch.from_numpy(rule.mask(6).copy())
    assert (found[:, ~seen] == 0).all()
    assert (found[:, seen] > 0).all()


def test_scores_are_their_formulas() -> None:
    """Head by head and pair by pair, as the textbook writes them."""
    x_LW = drawn(5, H * D, key=9)
    for score in SCORES:
        attention = build(score)
        q, k, _ = (t[0] for t in attention.qkv(x_LW).view(1, 5, 3, H, D).permute(2, 0, 3, 1, 4))
        expected = torch.empty(H, 5, 5)
        for h in range(H):
            for i in range(5):
                for j in range(5):
                    query, key = q[h, i], k[h, j]
                    match score:
                        case "additive":
                            assert attention.probe is not None
                            expected[h, i, j] = attention.probe.view(H, D)[h] @ torch.tanh(key + query)
                        case "bilinear":
                            assert attention.form is not None
                            expected[h, i, j] = key @ attention.form[h] @ query
                        case _:
                            expected[h, i, j] = key @ query / (D**0.5 if score == "scaled_dot" else 1)
        found = weights(attention, x_LW, Full())
        torch.testing.assert_close(found, expected.softmax(dim=-1).detach(), atol=1e-6, rtol=1e-5, msg=score)


def test_one_head_by_hand() -> None:
    """Keys (0, ln 2), a query of 1, values (3, 6): weights 1/3 and 2/3, so 5; the other query, 0, gives 4.5."""
    attention = Attention(Backbone(width=1, heads=1, attention_dropout=0.0, bias=False))
    mixed = attention.mix(
        torch.tensor([1.0, 0.0]).view(1, 1, 2, 1),
        torch.tensor([1.0, 2.0]).log().view(1, 1, 2, 1),
        torch.tensor([3.0, 6.0]).view(1, 1, 2, 1),
    )
    torch.testing.assert_close(mixed.flatten(), torch.tensor([5.0, 4.5]))


def test_additive_without_the_query_is_the_same_for_all() -> None:
    attention, x_LW = build("additive"), drawn(6, H * D)
    assert (weights(attention, x_LW, Full())[:, 0] - weights(attention, x_LW, Full())[:, 1]).abs().max() > 1e-3
    with torch.no_grad():
        attention.qkv.weight[: H * D] = 0  # U
        attention.qkv.bias[: H * D] = 0
    found = weights(attention, x_LW, Full())
    torch.testing.assert_close(found, found[:, :1].expand_as(found))


@pytest.mark.parametrize("score", SCORES)
@given(st.permutations(range(6)))
@settings(max_examples=10)
def test_without_positions_attention_is_equivariant_to_permutations(score: str, order: list[int]) -> None:
    attention, x_LW, layout = build(score), drawn(6, H * D), Layout.of([6], [Full()])
    torch.testing.assert_close(attention(x_LW[order], layout), attention(x_LW, layout)[order])


@pytest.mark.parametrize("score", SCORES)
def test_a_later_token_moves_nothing_before_it(score: str) -> None:
    attention, x_LW = build(score), drawn(6, H * D)
    moved = x_LW.clone()
    moved[3] += drawn(H * D, key=5)
    for rule, first in ((Causal(), 3), (Backward(), None)):
        layout = Layout.of([6], [rule])
        change = (attention(x_LW, layout) - attention(moved, layout)).abs().amax(dim=1) > 1e-5
        assert change.tolist() == [i >= 3 if first else i <= 3 for i in range(6)]


@pytest.mark.parametrize("score", SCORES)
@given(st.integers(1, 9), st.integers(1, 3))
@settings(max_examples=10)
def test_right_to_left_is_left_to_right_of_flipped_text(score: str, length: int, copies: int) -> None:
    attention, x_RLW = build(score), drawn(copies, length, H * D)
    onward, back = (Layout.of([length] * copies, [rule] * copies) for rule in (Causal(), Backward()))
    flipped = attention(x_RLW.flip(1).flatten(0, 1), onward).view_as(x_RLW).flip(1)
    torch.testing.assert_close(attention(x_RLW.flatten(0, 1), back).view_as(x_RLW), flipped)


@pytest.mark.parametrize("bias", [True, False])
def test_torchs_multihead_attention_gives_the_same(bias: bool) -> None:
    ours, theirs = build(bias=bias), nn.MultiheadAttention(H * D, H, bias=bias, batch_first=True).eval()
    names = ["weight", "bias"] if bias else ["weight"]
    theirs.load_state_dict(
        {f"in_proj_{name}": ours.qkv.get_parameter(name) for name in names}
        | {f"out_proj.{name}": ours.out.get_parameter(name) for name in names}
    )
    x_RLW = drawn(2, 5, H * D)
    for rule in (Full(), Causal(), Backward(), Prefix(2)):
        expected, _ = theirs(x_RLW, x_RLW, x_RLW, attn_mask=~torch.from_numpy(rule.mask(5).copy()))
        found = ours(x_RLW.flatten(0, 1), Layout.of([5, 5], [rule] * 2))
        torch.testing.assert_close(found, expected.flatten(0, 1), atol=1e-6, rtol=1e-5)


def test_visibilities_mix_within_one_batch() -> None:
    for score in SCORES:
        attention, lengths = build(score), [3, 3, 3, 5, 5, 7, 7]
        x_NW = drawn(sum(lengths), H * D)
        together = attention(x_NW, Layout.of(lengths, RULES))
        alone = [
            attention(x, Layout.of([len(x)], [rule])) for x, rule in zip(torch.split(x_NW, lengths), RULES, strict=True)
        ]
        torch.testing.assert_close(together, torch.cat(alone), msg=score)


@given(st.integers(0, 40), st.integers(1, 260), st.integers(1, 3), st.sampled_from(SCORES))
@settings(max_examples=40)
def test_blocks_of_a_window_are_the_mask(radius: int, length: int, copies: int, score: str) -> None:
    """Results and gradients, for every length, also where attention would take the mask."""
    attention, shape = build(score), (copies * length, H, D)
    run, band = Run(0, copies, length, Window(radius)), Band(radius, length, copies, "cpu")
    found = []
    for take_blocks in (True, False):
        run.__dict__["band"] = band if take_blocks else None
        given = [drawn(*shape, key=key).requires_grad_() for key in range(3)]
        mixed = attention._attend(run, *given)
        mixed.backward(drawn(*mixed.shape, key=4))  # type: ignore[no-untyped-call]
        found.append([mixed, *(x.grad for x in given)])
    for blocks, masked in zip(*found, strict=True):
        torch.testing.assert_close(blocks, masked, atol=2e-5, rtol=1e-4)


def test_blocks_are_taken_for_long_windows_alone() -> None:
    lengths, rules = [60, 200, 200, 200], [Full(), Full(), Causal(), Prefix(3)]
    local = Layout.of(lengths, rules).within(2)
    assert [run.band is not None for run in local.runs] == [False, True, False, False]
    assert [run.sees for run in local.runs[1:]] == [Window(2), Both(Causal(), Window(2)), Both(Prefix(3), Window(2))]
    attention, x_NW = build(), drawn(sum(lengths), H * D)
    masked = Layout.of(lengths, [rule & Both(Window(2), Window(2)) for rule in rules])
    assert not any(run.band for run in masked.runs)
    torch.testing.assert_close(attention(x_NW, local), attention(x_NW, masked), atol=1e-5, rtol=1e-4)


@given(st.integers(0, 70), st.integers(1, 400), st.integers(1, 3))
@settings(max_examples=30)
def test_blocks_hold_as_many_numbers_as_the_length_allows(radius: int, length: int, copies: int) -> None:
    band = Band(radius, length, copies, "cpu")
    assert band.mask.numel() <= (copies * length + band.block) * band.span
    assert not band.mask.isneginf().all(dim=-1).any(), "an empty row would be NaN"


def test_a_window_as_wide_as_the_text_builds_nothing() -> None:
    layout = Layout.of([5, 3], [Full(), Causal()])
    assert all(run.mask is None and run.band is None for run in layout.within(4).runs)
    assert layout.within(3).runs[0].mask is not None


def test_dropout_of_0_is_not_drawn() -> None:
    for score in SCORES:
        attention, layout = build(score).train(), Layout.of([4], [Full()])
        before = torch.random.get_rng_state()
        assert torch.equal(attention(drawn(4, H * D), layout), attention(drawn(4, H * D), layout))
        assert torch.equal(torch.random.get_rng_state(), before)
    attention = build("additive", attention_dropout=0.5).train()
    x_NW = drawn(4, H * D)
    assert not torch.equal(attention(x_NW, layout), attention(x_NW, layout))
