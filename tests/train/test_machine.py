"""FLOPs by torch's own count, and a peak that no product exceeds by much."""

import numpy as np
import pytest
import torch

from quire.core.bodies import Bag
from quire.core.example import Batch, Example, World
from quire.core.heads import TokenHead
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.train.machine import cores, counted, matrix_peak, processor, threads_for


def test_flops_are_counted_forward_and_backward(world: World) -> None:
    """By hand: QKV, attention, its output, feed-forward and the head; a backward pass costs twice the forward."""
    spec = Backbone(vocab=300, depth=1, width=32, heads=2, ffn=64, positions=64, dropout=0, attention_dropout=0)
    model = Model(spec, {"mlm": TokenHead()})
    tokens, free = np.arange(40), np.ones(40, dtype=bool)
    example = Example(tokens, tokens, free, free, np.zeros(40, dtype=np.int64)).ask("mlm", tokens < 8, tokens)
    packed = Packed(Batch.pack([example, example]))

    n, m, w, f, v, squares = 80, 16, 32, 64, 300, 2 * 40**2
    forward = 2 * (n * 3 * w * w + 2 * squares * w + m * (w * w + 2 * w * f) + m * (w * w + w * v))
    scores, counted_forward = counted(lambda: Step(model, packed).logits("mlm"))
    assert counted_forward == forward
    _, backward = counted(lambda: scores.sum().backward())  # type: ignore[no-untyped-call]
    assert 2 * forward <= backward <= 2 * forward + 2 * squares * w  # fused attention computes its scores again


def test_the_peak_is_positive_and_measured_once() -> None:
    one = matrix_peak(torch.get_num_threads(), size=128, seconds=0.02)
    assert one > 1e6
    assert matrix_peak(torch.get_num_threads(), size=128, seconds=0.02) == one


def test_the_machine_has_a_name_and_cores() -> None:
    assert processor().strip()
    assert cores() >= 1


@pytest.mark.parametrize("lengths", [[6, 6], [6, 5]])
def test_lstms_count_whether_fused_or_not(lengths: list[int]) -> None:
    """torch fuses those over sequences of equal length."""
    lstm, read = torch.nn.LSTM(5, 7), torch.nn.utils.rnn.pack_sequence([torch.ones(n, 5) for n in lengths])
    assert counted(lambda: lstm(read))[1] == 2 * sum(lengths) * 4 * 7 * (5 + 7)


@pytest.mark.parametrize(("spec", "threads"), [(Bag(vocab=9), 1), (Backbone(vocab=9), 2)])
def test_a_bag_is_trained_by_one_thread_and_others_keep_theirs(spec: Backbone, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threads_for(spec):
            assert torch.get_num_threads() == threads
        with pytest.raises(KeyError), threads_for(spec):
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
