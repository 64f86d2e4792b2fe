"""Coins that are drawn four at a time, and attention that drops its weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from quire.nn import dropout
from quire.nn.dropout import Dropout, attention, dropped


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_each_number_is_dropped_by_itself_as_often_as_it_should_be(p: float) -> None:
    torch.manual_seed(1)
    kept_NC = (dropped(torch.ones(100_003), p) != 0)[:100_000].double().view(-1, 4)
    spread = (p * (1 - p) / len(kept_NC)) ** 0.5
    for coin in kept_NC.T:  # whichever of the four that one number gives
        assert abs(float(coin.mean()) - (1 - p)) < 5 * spread
    together = torch.corrcoef(kept_NC.T) - torch.eye(4)
    assert together.abs().max() < 5 / len(kept_NC) ** 0.5
    after = torch.corrcoef(torch.stack([kept_NC[:-1, 0], kept_NC[1:, 0]]))[0, 1]
    assert abs(float(after)) < 5 / len(kept_NC) ** 0.5


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 0, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_what_is_kept_grows_so_that_the_mean_stays_and_so_does_its_gradient(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    x = torch.full(shape, 2.0, dtype=dtype, requires_grad=True)
    y = dropped(x, 0.3)
    y.sum().backward()  # type: ignore[no-untyped-call]
    assert (y.shape, y.dtype) == (x.shape, dtype)
    share = round(0.7 * 65_536) / 65_536  # the chance to be kept, as it is
    scale = torch.tensor(1 / share, dtype=dtype)
    assert x.grad is not None
    torch.testing.assert_close(y.detach(), torch.where(y == 0, 0, 2 * scale).to(dtype))
    torch.testing.assert_close(x.grad, torch.where(y == 0, 0, scale).to(dtype))


def test_draws_come_from_torchs_generator_and_none_is_made_outside_training() -> None:
    x, layer = torch.randn(1000), Dropout(0.5)
    torch.manual_seed(3)
    first, second = layer(x), layer(x)
    torch.manual_seed(3)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)
    state = torch.get_rng_state()
    assert layer.eval()(x) is x
    assert torch.equal(dropped(x, 0.0), x)
    assert torch.equal(dropped(x, 1.0), torch.zeros(1000))
    assert torch.equal(torch.get_rng_state(), state)


def parts() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    q, k, v = (torch.randn(2, n, 3, 4, generator=generator, dtype=torch.float64).transpose(1, 2) for n in (5, 7, 7))
    return q.requires_grad_(), k.requires_grad_(), v.requires_grad_()


MASKS = {
    "none": None,
    "blanks": torch.zeros(2, 1, 1, 7).masked_fill(torch.arange(7) > 4, -torch.inf),
    "bias": torch.linspace(-1, 1, 3 * 5 * 7).view(3, 5, 7),
    "one who sees nobody": torch.zeros(5, 7).index_fill(0, torch.tensor(2), -torch.inf),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("scale", [None, 1.0])
def test_attention_with_every_weight_kept_is_torchs(
    mask: Tensor | None, scale: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropout, "_kept", lambda shape, count: torch.ones(shape, dtype=torch.bool))
    inputs = parts()
    ours = 0.5 * attention(*inputs, mask=mask, scale=scale, dropout=0.5)
    theirs = F.scaled_dot_product_attention(*inputs, attn_mask=None if mask is None else mask.double(), scale=scale)
    torch.testing.assert_close(ours, theirs)
    found, expected = (torch.autograd.grad(one.square().sum(), inputs) for one in (ours, theirs))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_attention_that_looks_left_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropout, "_kept", lambda shape, count: torch.ones(shape, dtype=torch.bool))
    _, k, v = parts()
    ours = 0.5 * attention(v, k, v, causal=True, dropout=0.5)
    torch.testing.assert_close(ours, F.scaled_dot_product_attention(v, k, v, is_causal=True))


def test_attention_drops_weights_and_not_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: a weight that is dropped takes its value away from this query alone."""
    kept = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(2)) < 0.6
    monkeypatch.setattr(dropout, "_kept", lambda shape, count: kept)
    q, k, v = parts()
    weights = (q @ k.transpose(2, 3) / 2).softmax(dim=-1)
    torch.testing.assert_close(attention(q, k, v, dropout=0.5), 2 * (weights * kept) @ v)
