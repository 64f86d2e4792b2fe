"""Permutation language modelling: which tokens, in which order, and who learns what of whom.

Legend: L positions of a sequence.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Bools, Example, Passage, World
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.core.visibility import Causal, Permuted
from quire.nn.model import Model, Packed, Step
from quire.objectives.mlm import Mlm
from quire.objectives.pair import Pair
from quire.objectives.plm import Plm
from quire.train.loop import planned

Draw = Callable[[int, Rng], Passage]
Suited = Callable[[str], Backbone]


def row(world: World, *, memory: int, context: int, pair: int, seed: int = 0, starts: bool = True) -> Example:
    """[memory | context | A <sep> B <sep> <cls>] as the data has it; `pair` counts the special tokens."""
    draw, vocab = rng("row", seed), world.vocab

    def text(length: int) -> Passage:
        begins = np.ones(length, dtype=bool) if starts else draw.random(length) < 0.6
        return Passage(draw.integers(5, vocab.size, size=length), begins)

    a, b = text((pair - 3) // 2), text(pair - 3 - (pair - 3) // 2)
    pieces = ((text(memory), 0), (text(context), 0), (a, 0), (vocab.sep, 0), (b, 1), (vocab.sep, 1), (vocab.cls, 2))
    made = Example.laid(vocab, *pieces)
    place = np.arange(len(made))
    parts = (place >= memory).astype(int) + (place >= memory + context)
    return replace(made, free=made.free & (place >= memory), sees=Permuted.of(parts, memory=memory))


def targets(example: Example) -> Bools:
    found: Bools = example.answers["plm"] != IGNORE
    return found


def order(example: Example) -> Permuted:
    assert isinstance(example.sees, Permuted)
    return example.sees


# What is asked.


@given(seed=st.integers(0, 10_000), reverse=st.booleans())
@settings(max_examples=25)
def test_release_asks_for_43_and_42_of_512(seed: int, reverse: bool, world: World) -> None:
    example = row(world, memory=384, context=256, pair=256, seed=seed, starts=False)
    if reverse:
        example = replace(example, positions=np.arange(len(example))[::-1])
    made = Plm().corrupt(example, world, rng(seed))
    where = targets(made)
    assert [where[:384].sum(), where[384:640].sum(), where[640:].sum()] == [0, 43, 42]
    assert (made.tokens == made.truth).all(), "the content stream shows the truth"
    assert not where[np.isin(made.truth, [world.vocab.sep, world.vocab.cls])].any()
    assert not made.free.any()


@given(length=st.integers(1, 90), seed=st.integers(0, 99), rate=st.sampled_from([1 / 6, 0.5, 0.99]))
def test_count_is_exact_and_somebody_stays(length: int, seed: int, rate: float, passage: Draw, world: World) -> None:
    example = Example.of(world.vocab, passage(length, rng(seed)))
    where = targets(Plm(rate=rate).corrupt(example, world, rng(seed, "x")))
    assert where.sum() == min(round(rate * (length + 2)), length - 1)


def test_spans_have_one_to_five_pieces_by_one_over_n_and_begin_words(world: World) -> None:
    """Of a long row where nothing is topped up: ends of spans never touch, since context lies between most of them."""
    plm, sizes, leads = Plm(), np.zeros(6), []
    for seed in range(60):
        draw = rng("spans", seed)
        free = np.ones(4000, dtype=bool)
        begins = draw.random(4000) < 0.5
        where = plm._chosen(free, begins, [(0, 4000, 300)], draw)
        edges = np.flatnonzero(np.diff(where.astype(int), prepend=0, append=0)).reshape(-1, 2)
        inside = edges[edges[:, 1] < edges[-1, 1]][:-1]  # the last may be cut short
        assert begins[inside[:, 0]].all()
        lengths = np.diff(inside, axis=1).ravel()
        kept = lengths[lengths <= 5]
        sizes += np.bincount(kept, minlength=6)
        leads += (inside[1:, 0] - inside[:-1, 1]).tolist()
    shares = sizes[1:] / sizes.sum()
    expected = 1 / np.arange(1, 6)
    assert np.abs(shares - expected / expected.sum()).max() < 0.02
    assert np.mean(leads) == pytest.approx(5 * 2.19 + 2, rel=0.15)  # context n * 6 less n itself, and the next word


def test_spans_begin_words_in_reading_order_when_text_is_reversed(world: World) -> None:
    """Words of two pieces: forwards a span begins at even places, and read from the end it ends there."""
    length, size = 600, 2
    tokens = np.full(length, 9)
    plm = Plm(longest=1, rate=0.1)
    even = np.arange(length) % size == 0
    for positions, first in ((None, True), (np.arange(length)[::-1], False)):
        example = Example(tokens, tokens, even, np.ones(length, dtype=bool), tokens * 0, positions=positions)
        found = np.zeros(length)
        for seed in range(40):
            found += targets(plm.corrupt(example, world, rng(seed)))
        share = found[even].sum() / found.sum()
        assert share > 0.95 if first else share < 0.05, share


# In which order.


@given(seed=st.integers(0, 10_000), perm_size=st.sampled_from([5, 16, 256]))
def test_order_as_the_release_lays_it(seed: int, perm_size: int, world: World) -> None:
    """`_local_perm` written out: who may look at whom, in words of the release."""
    memory, context, pair = 7, 16, 16
    made = Plm(rate=0.4, perm_size=perm_size).corrupt(
        row(world, memory=memory, context=context, pair=pair, seed=seed), world, rng(seed)
    )
    ranks, length = order(made).ranks, len(made)
    functional = np.isin(made.truth, [world.vocab.sep, world.vocab.cls])
    moved = targets(made) | functional
    seen = made.sees.mask(length)
    half = np.where(np.arange(length) < memory, 0, np.where(np.arange(length) < memory + context, 1, 2))
    block = half * length + np.where(half == 1, np.arange(length) - memory, np.arange(length) - memory - context) // (
        perm_size
    )
    for i in range(length):
        for j in range(length):
            if half[i] != half[j]:
                expected = half[j] < half[i]  # half 2 sees all of half 1, and both see the memory
            elif i == j or half[i] == 0 or not moved[j]:
                expected = True
            elif not moved[i]:
                expected = False
            elif block[i] != block[j]:
                expected = block[j] < block[i]
            else:
                expected = ranks[j] < ranks[i]
            assert seen[i, j] == expected, (i, j)
    assert len(set(ranks[moved].tolist())) == moved.sum(), "the moved come one by one"
    asked = np.flatnonzero(targets(made))
    rows = order(made).query(asked)
    assert not rows[np.arange(len(asked)), asked].any(), "a query never sees itself"
    strict = seen.copy()
    np.fill_diagonal(strict, False)
    assert (rows == strict[asked]).all()
    assert rows.any(axis=1).all(), "a query sees somebody"


def test_every_order_of_the_targets_is_as_likely(world: World) -> None:
    example = row(world, memory=0, context=3, pair=9)
    found: dict[tuple[int, ...], int] = {}
    for seed in range(1200):
        ranks = order(Plm().corrupt(example, world, rng(seed))).ranks
        special = np.flatnonzero(np.isin(example.truth, [world.vocab.sep, world.vocab.cls]))
        key = tuple(np.argsort(ranks[special]).tolist())
        found[key] = found.get(key, 0) + 1
    assert len(found) == 6
    assert min(found.values()) > 150


# Who learns what of whom. The model's query vector is drawn, not 0, like every other weight.


@pytest.fixture
def model(suited: Suited, world: World) -> Model:
    backbone = suited("plm").model_copy(update={"init_std": 0.3, "segments": 3})
    return Model(backbone, planned([Plm()], backbone, world), seed=2).eval()


def ordered(world: World, ranks: list[int], asked: list[int], *, seed: int = 0) -> Example:
    tokens = rng("ordered", seed).integers(5, world.vocab.size, size=len(ranks))
    free = np.ones(len(ranks), dtype=bool)
    where = np.isin(np.arange(len(ranks)), asked)
    example = Example(
        tokens, tokens, free, free, np.zeros(len(ranks), dtype=np.int64), sees=Permuted.of(np.array(ranks))
    )
    return example.ask("plm", where, tokens)


def logits(model: Model, example: Example, *, change: int | None = None) -> Tensor:
    tokens = example.tokens.copy()
    if change is not None:
        tokens[change] = 5 + (tokens[change] - 4) % 50
    step = Step(model, Packed(Batch.pack([replace(example, tokens=tokens)])))
    with torch.no_grad():
        return Plm().scores(step, Plm().queried(step)).scores()


def test_order_3_6_1(model: Model, world: World) -> None:
    """Targets 3, 6, 1 in this order: 3 is known to 6 and 1, 6 to 1 alone, 1 to nobody; who stays is known to all."""
    ranks = [0] * 9
    ranks[3], ranks[6], ranks[1] = 1, 2, 3
    example = ordered(world, ranks, [1, 3, 6])
    plain = logits(model, example)  # rows 1, 3, 6
    for changed, moves in ((3, [0, 2]), (6, [0]), (1, []), (0, [0, 1, 2]), (8, [0, 1, 2])):
        moved = (logits(model, example, change=changed) - plain).abs().amax(dim=1) > 1e-4
        assert moved.nonzero().flatten().tolist() == moves, changed


def test_content_of_what_stays_knows_no_target(model: Model, world: World) -> None:
    example = ordered(world, [0, 2, 0, 1, 0, 3], [1, 3, 5])
    states = []
    for change in (None, 1, 3, 5):
        tokens = example.tokens.copy()
        if change is not None:
            tokens[change] = 5 + (tokens[change] - 4) % 50
        with torch.no_grad():
            states.append(model(Packed(Batch.pack([replace(example, tokens=tokens)])))[[0, 2, 4]])
    for other in states[1:]:
        torch.testing.assert_close(other, states[0])


def test_half_one_learns_nothing_of_half_two_nor_memory_of_either(model: Model, world: World) -> None:
    example = Plm(rate=0.4).corrupt(row(world, memory=6, context=8, pair=12), world, rng(1))
    first_half = int(targets(example)[:14].sum())
    plain = logits(model, example)
    for j in range(len(example)):
        moved = (logits(model, example, change=j) - plain).abs().amax(dim=1) > 1e-4
        if j < 6:
            assert moved.all(), "memory is known to all"
        if j >= 14:
            assert not moved[:first_half].any()


def test_query_that_sees_nobody_still_answers(model: Model, world: World) -> None:
    example = ordered(world, [1, 2], [0, 1])
    found = logits(model, example)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(logits(model, example, change=0)[0], found[0])


def test_reversed_text_is_another_text(model: Model, world: World) -> None:
    example = ordered(world, [0, 1, 0, 2, 0, 0], [1, 3])
    turned = replace(example, positions=np.arange(6)[::-1])
    assert (logits(model, example) - logits(model, turned)).abs().max() > 1e-3
    shifted = replace(example, positions=np.arange(6) + 100)
    torch.testing.assert_close(logits(model, example), logits(model, shifted))


def test_batch_of_many_orders_equals_one_by_one(model: Model, world: World) -> None:
    examples = [
        Plm(rate=0.3).corrupt(row(world, memory=m, context=6, pair=9, seed=m), world, rng(m)) for m in (0, 4, 9)
    ]
    examples.append(ordered(world, [0, 0, 0], []))
    batch = Batch.pack(examples)
    step = Step(model, Packed(batch))
    with torch.no_grad():
        found = Plm().scores(step, Plm().queried(step)).scores()
        alone = torch.cat([logits(model, examples[i]) for i in batch.order])
    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)


# Health, refusals, speed of nothing.


@torch.no_grad()
def test_health_sees_a_dead_query_stream(suited: Suited, world: World) -> None:
    backbone = suited("plm").model_copy(update={"init_std": 0.3})
    model = Model(backbone, planned([Plm()], backbone, world), seed=2).eval()
    rows = [row(world, memory=0, context=30, pair=30, seed=seed) for seed in (1, 2)]
    batch = Packed(Batch.pack([Plm().corrupt(example, world, rng(2)) for example in rows]))
    alive = Plm().health(Step(model, batch))
    assert alive.keys() >= {"accuracy", "top_share", "entropy", "query_spread"}
    assert alive["query_spread"] > 0.1
    for name, parameter in model.named_parameters():
        if "attention.out" in name:
            parameter.zero_()
    assert Plm().health(Step(model, batch))["query_spread"] < 1e-4
    assert Plm().health(Step(model, Packed(Batch.pack([row(world, memory=0, context=9, pair=9)])))) == {}


def test_what_does_not_fit_is_refused_when_planning(tiny: Backbone, suited: Suited, world: World) -> None:
    with pytest.raises(
        BadInput, match=r"objectives\.0\.plm: .* the backbone's are learned; take backbone\.position relat"
    ):
        planned([Plm()], tiny, world)
    with pytest.raises(BadInput, match=r"local attention exclude each other; leave backbone\.window out"):
        planned([Plm()], suited("plm").model_copy(update={"window": 3}), world)


def test_what_hides_or_orders_tokens_beside_it_is_refused(passage: Draw, world: World) -> None:
    example = Example.of(world.vocab, passage(20, rng(0)), passage(9, rng(1)))
    with pytest.raises(BadInput, match="plm shows every token, and another asks for some"):
        Plm().corrupt(Mlm().corrupt(example, world, rng(0)), world, rng(0))
    with pytest.raises(BadInput, match="plm gives a sequence its order"):
        Plm().corrupt(replace(example, sees=Causal()), world, rng(0))
    with pytest.raises(BadInput, match="plm has taken every token, none is left for mlm; take one of them"):
        Mlm().corrupt(Plm().corrupt(example, world, rng(0)), world, rng(0))
    both = Plm().corrupt(Pair().corrupt(example, world, rng(0)), world, rng(0))
    assert both.answers.keys() == {"pair", "plm"}
