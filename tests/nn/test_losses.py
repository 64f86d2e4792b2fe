"""Losses against their formulas."""

import pytest
import torch

from quire.nn.losses import cross_entropy

LOGITS, ANSWERS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 3.0, 1.0]]), torch.tensor([0, 2])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_smoothing_spreads_its_share_over_all_classes(smoothing: float) -> None:
    truth = torch.full((2, 3), smoothing / 3)
    truth[[0, 1], ANSWERS] += 1 - smoothing
    expected = -(truth * LOGITS.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(cross_entropy(LOGITS, ANSWERS, smoothing=smoothing), expected)


def test_nothing_asked_is_zero_with_a_gradient() -> None:
    logits = torch.zeros(0, 3, requires_grad=True)
    loss = cross_entropy(logits, torch.zeros(0, dtype=torch.long), smoothing=0.1)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0
