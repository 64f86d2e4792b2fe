"""One attention for every visibility, on packed sequences.

Legend: N positions of all sequences, M some of them, n those of a run, H heads, D width of a head, W = H * D, L length
of one sequence, R sequences of one run.

Sequences stand in the batch by length, so that a run of equal length and equal visibility is a view [R, H, L, D] of
the packed array: no padding, no copy. Full and causal visibilities build no mask then. Where calls are many and blanks
few, neighbouring runs are one under a mask (`Layout.calls`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, groupby, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from quire.core.errors import BadInput
from quire.core.spec import Backbone
from quire.core.visibility import Apart, Causal, Full, Visibility, Window
from quire.nn.dropout import attention, dropped
from quire.nn.flowing import flowing, flows
from quire.nn.grid import Grid, Size, together
from quire.nn.positions import Rotation
from quire.nn.prefix import PrefixTable


def additive(sees: Visibility, length: int, device: torch.device | str) -> Tensor:
    """[L, L], 0 where a position sees another, else -inf."""
    seen = torch.from_numpy(sees.mask(length).copy()).to(device)
    return torch.zeros(length, length, device=device).masked_fill_(~seen, float("-inf"))


def _blocks(lengths: Sequence[int], sees: Sequence[Visibility]) -> tuple[Sequence[int], Sequence[Visibility]]:
    """The same, with the blocks of what stands apart in place of the whole."""
    if not any(isinstance(rule, Apart) for rule in sees):
        return lengths, sees
    parts = [
        (size, Full() if isinstance(rule, Apart) else rule)
        for length, rule in zip(lengths, sees, strict=True)
        for size in (rule.sizes if isinstance(rule, Apart) else (length,))
    ]
    return [size for size, _ in parts], [rule for _, rule in parts]


@dataclass(frozen=True, eq=False)
class Run:
    """Neighbouring sequences of equal length and visibility."""

    start: int  # first position
    sequences: int
    length: int
    sees: Visibility
    device: torch.device | str = "cpu"
    given: Tensor | None = None  # [H, L, L] or [R, 1, 1 or L, L]: a mask that holds more than the visibility
    grid: Grid | None = None  # where sequences of unequal length, at most L, stand in [R, L]

    @property
    def size(self) -> int:
        """Positions of all its sequences."""
        return self.sequences * self.length if self.grid is None else len(self.grid.place_N)

    def laid(self, x_nX: Tensor) -> Tensor:
        """[n, ...] -> [R, L, ...], a view where all are equally long."""
        return x_nX.view(self.sequences, self.length, *x_nX.shape[1:]) if self.grid is None else self.grid.laid(x_nX)

    def taken(self, x_RLX: Tensor) -> Tensor:
        """[R, L, X] -> [n, X]"""
        return x_RLX.flatten(0, 1) if self.grid is None else self.grid.taken(x_RLX)

    @property
    def here(self) -> slice:
        """Its positions in the batch."""
        return slice(self.start, self.start + self.size)

    @property
    def causal(self) -> bool:
        return isinstance(self.sees, Causal) and self.given is None

    @cached_property
    def mask(self) -> Tensor | None:
        """[L, L], additive, 0 or -inf; None for full and causal, which attention knows without. Or what is given."""
        if self.given is not None or isinstance(self.sees, Full | Causal):
            return self.given
        return additive(self.sees, self.length, self.device)

    @property
    def joins(self) -> bool:
        """Whether a mask can tell all that attention must know of it."""
        return self.given is None and self.band is None

    def within(self, radius: int) -> Run:
        """The same, where a position sees `radius` neighbours on either side at most."""
        window = Window(radius)
        given = None if self.given is None else self.given + additive(window, self.length, self.device)
        return replace(self, sees=self.sees & window, given=given)

    @cached_property
    def band(self) -> Band | None:
        """The blocks of a window, from the length on where they are quicker than a mask."""
        if not isinstance(self.sees, Window) or self.given is not None:
            return None
        band = Band(self.sees.radius, self.length, self.sequences, self.device)
        return band if self.length > 2 * band.span else None


@dataclass(frozen=True, eq=False)
class Band:
    """A window's queries in blocks of B, each with the G = B + 2 * radius keys that any of them may see.

    The sequences of a run are one line of n = R * L positions, so that what this costs is linear in n (Beltagy et al.
    2020, Longformer, section 3.1, has chunks too). Positions beyond either end are zeros that nobody real sees.
    """

    radius: int
    length: int
    sequences: int
    device: torch.device | str

    @property
    def block(self) -> int:
        """B: as wide as the radius, but wide enough to be worth a product."""
        return max(self.radius, 32)

    @property
    def span(self) -> int:
        """G."""
        return self.block + 2 * self.radius

    @property
    def blocks(self) -> int:
        return -(-self.sequences * self.length // self.block)

    def queries(self, x_nHD: Tensor) -> Tensor:
        """[blocks, H, B, D]"""
        whole = F.pad(x_nHD, (0, 0, 0, 0, 0, self.blocks * self.block - len(x_nHD)))
        return whole.view(self.blocks, self.block, *x_nHD.shape[1:]).transpose(1, 2)

    def keys(self, x_nHD: Tensor) -> Tensor:
        """[blocks, H, G, D], a view of the values with zeros before and after."""
        after = self.blocks * self.block - len(x_nHD) + self.radius
        return F.pad(x_nHD, (0, 0, 0, 0, self.radius, after)).unfold(0, self.span, self.block).transpose(2, 3)

    @cached_property
    def mask(self) -> Tensor:
        """[blocks, 1, B, G], additive: 0 within the radius and the sequence, else -inf; no row is empty."""
        first_b11 = torch.arange(self.blocks, device=self.device)[:, None, None] * self.block
        query_bB1 = first_b11 + torch.arange(self.block, device=self.device)[:, None]
        key_b1G = first_b11 + torch.arange(self.span, device=self.device) - self.radius
        together = (query_bB1 - key_b1G).abs() <= self.radius
        together &= query_bB1.div(self.length, rounding_mode="floor") == key_b1G.div(self.length, rounding_mode="floor")
        blank = torch.zeros(together.shape, device=self.device)
        return blank.masked_fill_(~together, float("-inf")).unsqueeze(1)


def _joined(runs: Sequence[Run]) -> Run:
    """Neighbours as one, under a mask for each sequence."""
    first, longest = runs[0], max(run.length for run in runs)
    if len(runs) == 1:
        return first
    lengths = [run.length for run in runs for _ in range(run.sequences)]
    grid = Grid.of(lengths, first.device)
    if all(isinstance(run.sees, Full) for run in runs):
        given = grid.blank(lengths)
    else:
        given = torch.cat([_squared(run, longest).expand(run.sequences, 1, -1, -1) for run in runs])
    unequal = grid if min(lengths) < longest else None
    return Run(first.start, len(lengths), longest, first.sees, first.device, given, unequal)


def _squared(run: Run, length: int) -> Tensor:
    """[length, length], additive: the visibility of a run, and nobody sees what stands behind its sequences."""
    own = additive(run.sees, run.length, run.device)
    more = length - run.length
    return F.pad(F.pad(own, (0, more), value=float("-inf")), (0, 0, 0, more))


class Layout:
    """Who stands where in a packed batch: its runs, in order, covering all N positions."""

    def __init__(
        self,
        runs: Sequence[Run],
        positions_N: Tensor,
        segments_N: Tensor,
        *,
        radius: int | None = None,
        rotations: dict[tuple[float, int], Rotation] | None = None,
    ) -> None:
        self.runs, self.positions, self.segments, self.radius = list(runs), positions_N, segments_N, radius
        self.sizes = [run.size for run in self.runs]
        self._local: dict[int, Layout] = {}
        self._calls: dict[tuple[int, bool], list[Run]] = {}
        self._rotations = {} if rotations is None else rotations

    @classmethod
    def of(
        cls,
        lengths: Sequence[int],
        sees: Sequence[Visibility],
        *,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> Layout:
        """Cut a packed batch of these lengths and visibilities into runs; without `positions` [N] they count from 0.

        Blocks that stand apart are sequences of their own here.
        """
        lengths, sees = _blocks(lengths, sees)
        found: list[Run] = []
        first = start = 0
        for s in range(1, len(lengths) + 1):
            if s == len(lengths) or lengths[s] != lengths[first] or sees[s] != sees[first]:
                found.append(Run(start, s - first, lengths[first], sees[first], device))
                start += (s - first) * lengths[first]
                first = s
        if positions is None:
            positions = torch.cat([torch.arange(length, device=device) for length in lengths])
        return cls(found, positions, torch.zeros_like(positions) if segments is None else segments)

    @property
    def lengths(self) -> list[int]:
        """Of all sequences, in order."""
        return [run.length for run in self.runs for _ in range(run.sequences)]

    def calls(self, inner: int, *, learning: bool) -> list[Run]:
        """The runs as attention over heads of `inner` numbers together takes them: neighbours are one where calls cost
        more than their masks and the blanks behind the shorter ones."""
        if (inner, learning) not in self._calls:
            self._calls[inner, learning] = found = []
            for joins, neighbours in groupby(self.runs, key=lambda run: run.joins):
                runs = list(neighbours)
                if not joins:
                    found += runs
                    continue
                sizes = [Size(run.length, run.sequences, not isinstance(run.sees, Full | Causal)) for run in runs]
                counts = together(sizes, inner=inner, learning=learning, device=self.positions.device)
                found += [_joined(runs[a:b]) for a, b in pairwise(accumulate(counts, initial=0))]
        return self._calls[inner, learning]

    def check(self, spec: Backbone) -> None:
        """BadInput where somebody may not see everything, and the body cannot keep it from him."""
        for run in self.runs:
            if not spec.keeps(run.sees):
                raise BadInput(
                    f"backbone.kind {spec.kind}: {spec.tells}, but an objective wants {run.sees}; take a Transformer, "
                    "or an objective with full visibility"
                )

    def within(self, radius: int) -> Layout:
        """The same, where a position sees `radius` neighbours on either side at most; made once."""
        if radius not in self._local:
            runs = [run.within(radius) if run.length > radius + 1 else run for run in self.runs]
            self._local[radius] = Layout(runs, self.positions, self.segments, radius=radius, rotations=self._rotations)
        return self._local[radius]

    def after(self, count: int) -> Layout:
        """The same with so many positions before each sequence, as if they were its own; BadInput where some of it
        would not see them."""
        runs, positions, segments, start = [], [], [], 0
        for run, *told in zip(
            self.runs, *(torch.split(t, self.sizes) for t in (self.positions, self.segments)), strict=True
        ):
            if not isinstance(run.sees, Full | Causal) or run.given is not None:
                raise BadInput(f"a prompt stands before a text that is {run.sees}; take full or causal visibility")
            places_RL, segments_RL = (t.view(run.sequences, run.length) for t in told)
            before_P = torch.arange(-count, 0, device=places_RL.device)
            positions.append(torch.cat([places_RL[:, :1] + before_P, places_RL], dim=1).flatten())
            segments.append(torch.cat([segments_RL[:, :1].expand(-1, count), segments_RL], dim=1).flatten())
            runs.append(replace(run, start=start, length=run.length + count))
            start += run.sequences * (run.length + count)
        return Layout(runs, torch.cat(positions), torch.cat(segments))

    def masked(self, masks: Sequence[Tensor]) -> Layout:
        """The same with a mask [H, L, L] for each run, which says who sees whom and more."""
        runs = [replace(run, given=mask) for run, mask in zip(self.runs, masks, strict=True)]
        return Layout(runs, self.positions, self.segments, radius=self.radius, rotations=self._rotations)

    @cached_property
    def kinds(self) -> set[type[Visibility] | None]:
        """Those of the runs; None of one whose mask was given."""
        return {type(run.sees) if run.given is None else None for run in self.runs}

    def rotation(self, *, base: float, width: int) -> Rotation:
        """The rotation of heads of `width` at all positions; made once for all layers."""
        if (base, width) not in self._rotations:
            self._rotations[base, width] = Rotation.of(self.positions, base=base, width=width)
        return self._rotations[base, width]


class Mixing(nn.Module):
    """softmax(score(q, k) + mask) v for each head (Vaswani et al. 2017, section 3.2), wherever q, k and v come from.

    The scores are

    scaled_dot  q k / sqrt(D)
    dot         q k                   (Luong et al. 2015, section 3.1)
    bilinear    k W q                 (the same, "general"); W [H, D, D] is `form`
    additive    v tanh(q + k)         (Bahdanau et al. 2015, appendix A.1.2); v [W] is `probe`, and the rows of QKV are
                                      its U and W. It keeps L * L * D numbers a head, the others none
    """

    def __init__(self, spec: Backbone) -> None:
        super().__init__()
        self.heads, self.dropout = spec.heads, spec.attention_dropout
        self.scale = None if spec.score == "scaled_dot" else 1.0
        self.probe = nn.Parameter(torch.empty(spec.inner)) if spec.score == "additive" else None
        self.prefix = PrefixTable(spec) if spec.prefix else None

    @property
    def plain(self) -> bool:
        """Whether nothing but products and a softmax happens here."""
        return self.probe is None and self.prefix is None and not (self.training and self.dropout)

    def mixed(self, q_NHD: Tensor, k_NHD: Tensor, v_NHD: Tensor, layout: Layout) -> Tensor:
        """[N, W]: what each position takes from those of its sequence that it sees, heads side by side."""
        if flows(q_NHD) and self.plain and layout.kinds in ({Full}, {Causal}):
            causal = layout.kinds == {Causal}
            return flowing(q_NHD, k_NHD, v_NHD, layout.lengths, causal=causal, scale=self.scale).flatten(1)
        calls = layout.calls(q_NHD[0].numel(), learning=self.training)
        # Split, not sliced: the gradient of slices is as many arrays of N as there are runs.
        sizes = [run.size for run in calls]
        pieces = zip(calls, *(torch.split(t, sizes) for t in (q_NHD, k_NHD, v_NHD)), strict=True)
        mixed = [self._attend(run, *qkv) for run, *qkv in pieces]
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)

    def _attend(self, run: Run, q_nHD: Tensor, k_nHD: Tensor, v_nHD: Tensor) -> Tensor:
        if (band := run.band) is not None:
            mixed = self.mix(band.queries(q_nHD), band.keys(k_nHD), band.keys(v_nHD), mask=band.mask)
            return mixed.transpose(1, 2).flatten(2).flatten(0, 1)[: len(q_nHD)]
        q, k, v = (run.laid(x).transpose(1, 2) for x in (q_nHD, k_nHD, v_nHD))
        return run.taken(self.mix(q, k, v, mask=run.mask, causal=run.causal).transpose(1, 2).flatten(2))

    def mix(self, q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """softmax(score(q, k) + mask) v: queries, keys and values [R, H, L, D] -> [R, H, L, D]."""
        dropout = self.dropout if self.training else 0.0
        if self.prefix is not None:
            k, v, mask = self.prefix.before(k, v, mask, causal=causal)
            causal = False
        if self.probe is None:
            return attention(q, k, v, mask=mask, causal=causal, scale=self.scale, dropout=dropout)
        sums_RHLLD = torch.tanh(q.unsqueeze(3) + k.unsqueeze(2))
        scores_RHLL = torch.einsum("rhqkd,hd->rhqk", sums_RHLLD, self.probe.view(self.heads, -1))
        if causal:
            mask = torch.full(scores_RHLL.shape[-2:], float("-inf"), device=q.device).triu(1)
        weights_RHLL = (scores_RHLL if mask is None else scores_RHLL + mask).softmax(dim=-1)
        return dropped(weights_RHLL, dropout) @ v


class Attention(Mixing):
    """Multi-head self-attention; QKV is one matrix, and a linear layer joins the heads.

    Queries and keys are turned where the backbone has rotary positions; local layers may have a base of their own.
    Where it does not join its heads, they come out side by side.
    """

    def __init__(self, spec: Backbone, *, joins: bool = True) -> None:
        super().__init__(spec)
        self.base = spec.rotary_base if spec.position == "rotary" else None
        self.base_local = spec.rotary_base_local or spec.rotary_base
        self.form = nn.Parameter(torch.empty(spec.heads, spec.head, spec.head)) if spec.score == "bilinear" else None
        self.qkv = nn.Linear(spec.width, 3 * spec.inner, bias=spec.bias)
        self.out = nn.Linear(spec.inner, spec.width, bias=spec.bias) if joins else nn.Identity()

    def forward(self, x_NW: Tensor, layout: Layout, at_M: Tensor | None = None) -> Tensor:
        """x [N, W] -> [N, W], or [M, W] for the positions `at_M` alone."""
        mixed_NW = self.mixed(*self.project(x_NW, layout), layout)
        joined: Tensor = self.out(mixed_NW if at_M is None else mixed_NW.index_select(0, at_M))
        return joined

    def project(self, x_NW: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [N, H, D], ready to be mixed."""
        q, k, v = self.qkv(x_NW).unflatten(1, (3, self.heads, -1)).unbind(dim=1)  # [N, H, D]
        if self.form is not None:
            q = torch.einsum("nhe,hde->nhd", q, self.form)
        if self.base is not None:
            base = self.base if layout.radius is None else self.base_local
            turn = layout.rotation(base=base, width=q.shape[-1])
            q, k = turn(q), turn(k)
        return q, k, v
