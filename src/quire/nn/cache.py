"""Keys and values of what was read, kept for what comes next.

Legend: N positions of a packed batch, R rows (one sequence each), H heads, D width of a head, C capacity, K places
in view.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from quire.nn.attention import Layout
from quire.nn.buckets import DistanceBias

ROOM = 32
"""Places that a fresh buffer has behind what was read."""


def rowwise(packed_NHD: Tensor, layout: Layout, order: Tensor, *, capacity: int) -> Tensor:
    """[R, H, C, D]: the packed sequences as rows, sequence s in row order[s]; what lies beyond a sequence is 0.

    Nothing but memory is spent on that: it is never looked at.
    """
    rows = packed_NHD.new_zeros(len(order), packed_NHD.shape[1], capacity, packed_NHD.shape[2])
    first = 0
    for run, piece in zip(layout.runs, torch.split(packed_NHD, layout.sizes), strict=True):
        here = order[first : first + run.sequences]
        rows[here, :, : run.length] = piece.view(run.sequences, run.length, *piece.shape[1:]).transpose(1, 2)
        first += run.sequences
    return rows


def beyond(lengths_R: Tensor, places_K: Tensor) -> Tensor | None:
    """[R, 1, 1, K], additive: -inf from the end of each row on. None where no row ends among these places."""
    hidden_RK = places_K >= lengths_R[:, None]
    if not bool(hidden_RK.any()):
        return None
    return torch.zeros(hidden_RK.shape, device=hidden_RK.device).masked_fill_(hidden_RK, float("-inf"))[:, None, None]


@dataclass(frozen=True, eq=False)
class View:
    """The places that a new token in each row looks at, its own the last; what it adds to their scores."""

    places: slice
    mask: Tensor | None  # [R, 1 or H, 1, K]


class Cache:
    """Buffers [R, H, C, D] for keys and values of each layer; row r holds `lengths[r]` places, and grows by one."""

    def __init__(self, lengths_R: Tensor) -> None:
        self.lengths = lengths_R
        self.layers: list[tuple[Tensor, Tensor]] = []
        self.spare: Tensor | None = None
        self._measure()

    def _measure(self) -> None:
        self.shortest, self.longest = int(self.lengths.min()), int(self.lengths.max())

    def keep(self, k_NHD: Tensor, v_NHD: Tensor, layout: Layout, order: Tensor) -> None:
        """The next layer's keys and values of a packed batch, with room for more; buffers double when it is used up."""
        capacity = self.longest + ROOM
        k, v = (rowwise(t, layout, order, capacity=capacity) for t in (k_NHD, v_NHD))
        self.layers.append((k, v))

    def view(self, *, radius: int | None = None, distances: DistanceBias | None = None) -> View:
        """What the tokens that come next see: all places of their rows, or those within a radius."""
        first = 0 if radius is None else max(0, self.shortest - radius)
        places_K = torch.arange(first, self.longest + 1, device=self.lengths.device)
        mask = None if self.shortest == self.longest else beyond(self.lengths + 1, places_K)
        if radius is not None and mask is not None:
            far_RK = self.lengths[:, None] - places_K > radius
            mask = mask.masked_fill(far_RK[:, None, None], float("-inf"))
        if distances is not None:
            bias_RH1K = distances(places_K - self.lengths[:, None]).transpose(0, 1).unsqueeze(2)
            mask = bias_RH1K if mask is None else bias_RH1K + mask
        return View(slice(first, self.longest + 1), mask)

    def add(self, layer: int, k_RHD: Tensor, v_RHD: Tensor, view: View) -> tuple[Tensor, Tensor]:
        """Put a key and a value behind each row of a layer; returns those in view [R, H, K, D]."""
        if self.longest == self.layers[layer][0].shape[2]:
            k, v = (torch.cat([t, torch.zeros_like(t)], dim=2) for t in self.layers[layer])
            self.layers[layer] = k, v
        for held, new_RHD in zip(self.layers[layer], (k_RHD, v_RHD), strict=True):
            if self.shortest == self.longest:
                held[:, :, self.longest] = new_RHD
            else:
                held[torch.arange(len(held), device=held.device), :, self.lengths] = new_RHD
        k, v = self.layers[layer]
        return k[:, :, view.places], v[:, :, view.places]

    def grow(self) -> None:
        """Every row is one place longer: call it when all layers have theirs."""
        self.lengths = self.lengths + 1
        self.shortest, self.longest = self.shortest + 1, self.longest + 1

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes what row rows[i] was."""
        self.lengths = self.lengths[rows]
        self.layers = [(self._taken(k, rows), self._taken(v, rows)) for k, v in self.layers]
        self._measure()

    def _taken(self, held: Tensor, rows: Tensor) -> Tensor:
        """These rows of a buffer, in the memory of the one that was taken from last.

        A beam does so at each token, and to be given new memory of this size takes several times as long as the copy.
        """
        spare, self.spare = self.spare, held
        if spare is None or spare.shape[1:] != held.shape[1:] or len(spare) < len(rows):
            spare = torch.empty(len(rows), *held.shape[1:], dtype=held.dtype, device=held.device)
        return torch.index_select(held, 0, rows, out=spare[: len(rows)])
