"""FLOPs by torch's own count, and a peak that no product exceeds by much."""

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from quire.core.example import Batch, Example, World
from quire.core.spec import Backbone, TokenHead
from quire.nn.model import Model, Packed, Step
from quire.train.machine import cores, matrix_peak, processor, training_flops


def test_flops_are_what_torch_counts_of_the_matrix_products(world: World) -> None:
    """torch does not count its fused attention on CPUs (two products of 2 L^2 W a layer); we leave the head's dense
    layer out."""
    spec = Backbone(vocab=3000, depth=2, width=32, heads=2, ffn=64, positions=64)
    model = Model(spec, {"mlm": TokenHead()}).eval()
    tokens, free = np.arange(40), np.ones(40, dtype=bool)
    example = Example(tokens, tokens, free, free, np.zeros(40, dtype=np.int64)).ask("mlm", tokens < 8, tokens)
    step = Step(model, Packed(Batch.pack([example, example])))
    with FlopCounterMode(display=False) as counter:
        step.logits("mlm")
    fused, dense = 2 * 2 * (2 * 40**2) * 32 * 2, 2 * 16 * 32 * 32
    forward = counter.get_total_flops() + fused - dense
    assert training_flops(spec, tokens=80, squares=2 * 40**2, wanted=16, asked=16) == 3 * forward
    scores = 2 * 16 * 3000 * 32
    frozen = training_flops(spec, tokens=80, squares=2 * 40**2, wanted=16, asked=16, frozen=True)
    assert frozen == forward + scores  # forward, and the scores' gradient to the head below them


def test_the_peak_is_positive_and_measured_once() -> None:
    one = matrix_peak(torch.get_num_threads(), size=128, seconds=0.02)
    assert one > 1e6
    assert matrix_peak(torch.get_num_threads(), size=128, seconds=0.02) == one


def test_the_machine_has_a_name_and_cores() -> None:
    assert processor().strip()
    assert cores() >= 1
