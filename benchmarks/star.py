"""(d) The Star-Transformer against full attention: how time and memory grow with the length.

Every length has the same number of tokens, as one long sequence or many short ones, so that what a call costs by
itself counts alike everywhere. Seconds and bytes of one sequence are then fitted: cost = a * length ** exponent.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.harness import Result, Row, Scale, Side, agree, timed, versus
from benchmarks.text import Labelled
from quire.core.bodies import Star
from quire.core.example import Batch, Example
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.train.machine import counted
from quire.train.start import Base

FUSED, NAIVE = "full attention, fused", "full attention, naive"
STAR = "Star-Transformer"
LONGEST_NAIVE = 4096
"""Beyond it the naive one holds gigabytes."""
SIZES = {"vocab": 1000, "depth": 2, "width": 128, "heads": 2, "segments": 0, "dropout": 0.0}
REMARKS = (
    "Star: forward and backward of two layers of width 128 over random tokens, fp32, no vocabulary scores. Full "
    "attention is Quire's Encoder with an inner width of 512: fused as Quire trains, or torch's math kernel, which "
    "writes the L x L weights down. Shares of the peak count the Star's matrix products on either side.",
    "Star: memory is what the backward pass needs, exactly: the distinct storages that autograd keeps after the "
    "forward pass of one sequence, parameters left out. The fused kernel keeps no weights: its memory is linear.",
)


@dataclass(frozen=True)
class Way:
    """A model, and the kernel its attention runs with."""

    name: str
    model: Model
    naive: bool = False

    def states(self, batch: Packed) -> Tensor:
        """All states [N, W]."""
        with sdpa_kernel(SDPBackend.MATH) if self.naive else nullcontext():
            return Step(self.model, batch).encode()

    def train(self, batch: Packed) -> None:
        """Forward and backward."""
        torch.autograd.grad(self.states(batch).square().mean(), list(self.model.parameters()))

    def side(self, batch: Packed) -> Side:
        """A turn: forward and backward of the batch."""
        return Side(self.name, timed(partial(self.train, batch)))

    def held(self, batch: Packed) -> int:
        """Bytes that the backward pass needs."""
        own = {parameter.untyped_storage().data_ptr() for parameter in self.model.parameters()}
        kept: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            if tensor.untyped_storage().data_ptr() not in own:
                kept[tensor.untyped_storage().data_ptr()] = tensor  # held here, so that no address is used again
            return tensor

        with saved_tensors_hooks(keep, lambda tensor: tensor):
            _ = self.states(batch)
        return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def measure(text: list[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """Every length of the scale; text and base play no part."""
    longest = max(scale.lengths)
    full = Model(Backbone.model_validate({**SIZES, "ffn": 512, "positions": longest, "attention_dropout": 0.0}), {})
    ours = Way(STAR, Model(Star.model_validate({**SIZES, "positions": longest}), {}))
    fused, naive = Way(FUSED, full), Way(NAIVE, full, naive=True)
    short = batched(min(scale.lengths), tokens=longest)
    with torch.no_grad():
        agreements = (agree(f"{FUSED}, {NAIVE}", fused.states(short), naive.states(short)),)
    held: dict[str, dict[int, int]] = {STAR: {}, FUSED: {}, NAIVE: {}}
    turns: list[Callable[[], tuple[Row, ...]]] = []
    for length in scale.lengths:
        others = [fused, naive] if length <= LONGEST_NAIVE else [fused]
        batch, one = batched(length, tokens=longest), batched(length, tokens=length)
        for way in (ours, *others):
            held[way.name][length] = way.held(one)
            way.train(batch)  # once, untimed
        turn = partial(versus, f"star, {length:,} tokens", ours.side(batch), [way.side(batch) for way in others])
        work, flops = longest // length * length, counted(partial(ours.train, batch))[1]
        turns.append(partial(turn, pairs=1, unit="tokens", work=work, flops=flops))
    rows = joined([row for _ in range(scale.pairs) for turn in turns for row in turn()])
    return Result(rows, agreements, (*REMARKS, *findings(rows, scale.lengths, held)))


def joined(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows of the same as one, with all their pairs: every length has its turn in each round, so that a minute in
    which the machine is slow makes no length look dear."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        before = found.get((row.benchmark, row.peer))
        found[row.benchmark, row.peer] = replace(row, pairs=(*(before.pairs if before else ()), *row.pairs))
    return tuple(found.values())


def batched(length: int, *, tokens: int) -> Packed:
    """So many random tokens as sequences of one length."""
    ids = rng("star", length).integers(1000, size=(tokens // length, length))
    free, zeros = np.ones(length, dtype=bool), np.zeros(length, dtype=np.int64)
    return Packed(Batch.pack([Example(row, row, free, free, zeros) for row in ids]))


def findings(rows: Sequence[Row], lengths: Sequence[int], held: Mapping[str, Mapping[int, int]]) -> Iterator[str]:
    """The exponents of time and memory, the bytes, and where the Star wins."""
    longest = max(lengths)
    costs: dict[str, dict[int, list[tuple[float, float]]]] = {STAR: {}, FUSED: {}, NAIVE: {}}
    for row, length in placed(rows):
        share = length / longest  # of a turn, for one sequence
        ours, theirs = zip(*(zip((pair.ours, pair.peer), pair.peaks, strict=True) for pair in row.pairs), strict=True)
        for name, turns in ((STAR, ours), (row.peer, theirs)):
            costs[name].setdefault(length, []).extend((t * share, t * share * peak) for t, peak in turns)
    for name, taken in costs.items():
        least = {n: min(seconds for seconds, _ in turns) for n, turns in taken.items()}
        work = {n: float(np.median([work for _, work in turns])) for n, turns in taken.items()}
        yield (
            f"{name}: the exponent of time is {told(work)}, by medians in units of the matrix product just before, and "
            f"{told(least)} by the least seconds; that of memory is {told(held[name])}."
        )
    for name, kept in held.items():
        yield f"{name}: holds " + ", ".join(f"{b / 1e6:.1f} MB at {n:,}" for n, b in kept.items()) + "."
    wins = [length for row, length in placed(rows) if row.peer == FUSED and row.ratio.lower > 1]
    yield f"{STAR}: quicker than {FUSED} from {winning(lengths, wins)} tokens on, in three turns of four or more."


def placed(rows: Sequence[Row]) -> Iterator[tuple[Row, int]]:
    """Rows with their lengths."""
    return ((row, int(row.benchmark.split()[1].replace(",", ""))) for row in rows)


def told(costs: Mapping[int, float]) -> str:
    """The exponent over all lengths, and over the upper half of them, where what grows fastest shows most."""
    upper = dict(sorted(costs.items())[len(costs) // 2 :])
    return f"{exponent(costs):.2f} ({exponent(upper):.2f} from {min(upper):,} on)"


def exponent(costs: Mapping[int, float]) -> float:
    """The slope of log cost over log length, by least squares."""
    return float(np.polyfit(np.log(list(costs)), np.log(list(costs.values())), 1)[0])


def winning(lengths: Sequence[int], wins: Sequence[int]) -> str:
    """The first length from which on all win."""
    lost = [n for n in lengths if n not in wins]
    after = [n for n in lengths if n > max(lost, default=0)]
    return f"{min(after):,}" if after else "more than the longest of these"
