"""LSTMs over packed sequences, from left to right and back (survey: 序列模型; ELMo, CoVe).

i, f, o = sigmoid(W x_t + U h_{t-1} + b),  c_t = f c_{t-1} + i tanh(W x_t + U h_{t-1} + b),  h_t = P (o tanh(c_t))

P is there where `cells` are more than what is said (Sak et al. 2014). Nothing is padded: at each step as many sequences
are read as are long enough, and who reads from the right begins at each one's last token. Forget gates begin open, with
a bias of 1 (Jozefowicz et al. 2015).

Legend: N positions of all sequences, S sequences, W width, E width of what is read; T steps of a course, or positions
of what a decoder writes, M some of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from quire.core.bodies import Lstm
from quire.nn.attention import Layout
from quire.nn.body import Body
from quire.nn.characters import CharacterTable
from quire.nn.crossing import CrossAttention, Source
from quire.nn.dropout import Dropout
from quire.nn.embeddings import Embeddings


@dataclass(frozen=True, eq=False)
class Course:
    """In which order positions are read: at each step one of every sequence that is long enough, the longest first."""

    orders: tuple[Tensor, Tensor]  # [N] from the left, [N] from the right
    places: tuple[Tensor, Tensor]  # [N] where each position stands in these orders
    sizes_T: Tensor  # sequences that are read at each step; on the CPU, where torch wants it
    longest_first_S: Tensor  # which sequences these are

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Course:
        """Of packed sequences with these lengths."""
        lengths_S = np.asarray(lengths)
        longest_first_S = np.argsort(-lengths_S, kind="stable")
        sizes_T = np.bincount(lengths_S)[::-1].cumsum()[::-1][1:]
        step_N = np.repeat(np.arange(len(sizes_T)), sizes_T)
        of_N = longest_first_S[np.arange(len(step_N)) - np.repeat(sizes_T.cumsum() - sizes_T, sizes_T)]
        first_S = lengths_S.cumsum() - lengths_S
        orders = first_S[of_N] + step_N, (first_S + lengths_S)[of_N] - 1 - step_N
        left, right, longest_first = (torch.from_numpy(order).to(device) for order in (*orders, longest_first_S))
        return cls((left, right), (left.argsort(), right.argsort()), torch.from_numpy(sizes_T.copy()), longest_first)


class Reader(nn.LSTM):
    """One LSTM that reads in one direction; 0 is from the left, 1 from the right."""

    def __init__(self, inputs: int, width: int, *, cells: int | None) -> None:
        super().__init__(inputs, cells or width, proj_size=width if cells else 0)

    def begin(self) -> None:
        """Open the forget gates: torch adds two biases, and keeps the gates in the order i, f, c, o."""
        self.get_parameter("bias_ih_l0")[self.hidden_size : 2 * self.hidden_size] = 1.0

    def read(self, x_NE: Tensor, course: Course, *, direction: int) -> Tensor:
        """[N, E] -> what it says at each position when it has read so far."""
        said, _ = self(PackedSequence(x_NE[course.orders[direction]], course.sizes_T))
        states_NW: Tensor = said.data[course.places[direction]]
        return states_NW


class LstmLayer(nn.Module):
    """A reader for each direction."""

    def __init__(self, inputs: int, spec: Lstm) -> None:
        super().__init__()
        self.readers = nn.ModuleList(
            Reader(inputs, spec.width // spec.ways, cells=spec.cells) for _ in range(spec.ways)
        )

    def forward(self, seen: Sequence[Tensor], course: Course) -> list[Tensor]:
        """What each direction sees [N, E] -> what it says."""
        pairs = enumerate(zip(self.readers, seen, strict=True))
        return [reader.read(x, course, direction=way) for way, (reader, x) in pairs]  # type: ignore[operator]


class LstmDecoder(nn.Module):
    """Layers that read what was written before, and one look at the source (Luong et al. 2015, section 3.1, global).

    s_t = tanh(W [c_t; h_t]),  c_t = sum_i a_ti v_i,  a_t = softmax over i of q_t k_i

    With q, k and v linear in h_t and in the source's states, q k is their score "general". Their input feeding, where
    s_{t-1} is read with the token t, is left out, so that all places are computed at once; states begin at 0, not at
    the source's last ones.
    """

    def __init__(self, spec: Lstm, *, depth: int) -> None:
        super().__init__()
        self.embeddings = Embeddings(spec.model_copy(update={"segments": 0}), shares_tokens=True)
        reading = spec.model_copy(update={"directions": "forward", "cells": None})
        sizes = [spec.embedding_width] + [spec.width] * (depth - 1)
        self.blocks = nn.ModuleList(LstmLayer(size, reading) for size in sizes)
        looking = {"heads": 1, "score": "dot", "attention_dropout": 0.0}
        self.cross = CrossAttention(spec.model_copy(update=looking))
        self.join = nn.Linear(2 * spec.width, spec.width, bias=False)
        self.dropout = Dropout(spec.dropout)

    def forward(self, x_TE: Tensor, layout: Layout, at_M: Tensor | None, source: Source) -> Tensor:
        """Embedded tokens [T, E] -> states [T, W], or [M, W] at the positions `at_M`."""
        course = Course.of(layout.lengths, x_TE.device)
        for number, block in enumerate(self.blocks):
            [x_TE] = block([self.dropout(x_TE) if number else x_TE], course)
        states_TW: Tensor = self.join(torch.cat([self.cross(x_TE, source), x_TE], dim=1)).tanh()
        return states_TW if at_M is None else states_TW[at_M]


class LstmEncoder(Body):
    """`depth` layers, whose directions read each other's states, or never meet (`directions`)."""

    def __init__(self, spec: Lstm, *, shares_embeddings: bool = False) -> None:
        spelled = None if spec.characters is None or shares_embeddings else CharacterTable(spec, spec.characters)
        super().__init__(spec, shares_embeddings=shares_embeddings, tokens=spelled, project=False)
        self.joined, self.residual, self.ways = spec.directions == "joined", spec.residual, spec.ways
        inner = spec.width if self.joined else spec.width // spec.ways
        sizes = [spec.embedding_width] + [inner] * (spec.depth - 1)
        self.blocks = nn.ModuleList(LstmLayer(size, spec) for size in sizes)
        self.dropout = Dropout(spec.dropout)
        self.decoder = LstmDecoder(spec, depth=spec.decoder) if spec.decoder else None

    def layers(self, x_NE: Tensor, layout: Layout) -> Iterator[Tensor]:
        """The first is the embedded token once for each direction, where that is as wide (ELMo's layer 0)."""
        yield x_NE if x_NE.shape[1] == self.spec.width else x_NE.repeat(1, self.ways)
        course = Course.of(layout.lengths, x_NE.device)
        seen = [x_NE] * self.ways
        states_NW = x_NE
        for number, block in enumerate(self.blocks):
            said = block(seen, course)
            before_NW, states_NW = states_NW, torch.cat(said, dim=1)
            if self.residual and number:
                states_NW = states_NW + before_NW
            yield states_NW
            dropped_NW = self.dropout(states_NW)
            seen = [dropped_NW] * self.ways if self.joined else list(dropped_NW.chunk(self.ways, dim=1))
