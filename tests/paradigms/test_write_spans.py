"""A list of spans: whatever a model has learnt it ends and can be read, and what would be read otherwise is refused."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.core.answers import Answer, Inexpressible, Item, Span
from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Example, Passage, World
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.core.visibility import Prefix
from quire.nn.model import Model, Packed, Step
from quire.paradigms.listing import Listing, Named, Source
from quire.paradigms.write_spans import WriteSpans
from quire.train.evaluate import said
from quire.train.loop import planned

SEP = 3
TASK = WriteSpans(labels=("PER", "LOC"), names={"PER": "a person", "LOC": "a"})  # one begins the other


def item(*tokens: int, first: list[int] | None = None, before: int = 0) -> Item:
    """A text whose words begin at `first`, by default at each token."""
    own = list(range(len(tokens))) if first is None else first
    starts = np.isin(np.arange(len(tokens)), own)
    text = Passage(np.array(tokens, dtype=np.int64), starts)
    return Item((*(Passage(np.full(9, 50), np.ones(9, dtype=bool)) for _ in range(before)), text), np.array(own))


def answer(*spans: tuple[int, int, str]) -> Answer:
    return frozenset(Span(*span) for span in spans)


def read_back(task: WriteSpans, asked: Item, world: World, told: Answer) -> tuple[list[Example], Answer]:
    examples = task.format(asked, told, world)
    return examples, task.decode(asked, [task.gold(example) for example in examples], world)


def test_a_prompt_and_its_list(world: World) -> None:
    person, place = ([*world.spelled(text).tokens.tolist()] for text in ("a person", "a"))
    asked = item(10, 11, 12, 13, first=[0, 1, 3])
    (prompt,) = TASK.format(asked, None, world)
    assert prompt.tokens.tolist() == [2, 10, 11, 12, 13, SEP, *person, SEP, *place, SEP]
    assert prompt.sees == Prefix(11)
    assert prompt.answers[TASK.marks].tolist() == [IGNORE, 1, 1, 0, 1, *[IGNORE] * 6]
    (example,) = TASK.format(asked, answer((2, 3, "LOC"), (0, 2, "PER")), world)
    assert example.tokens[11:].tolist() == [*person, SEP, 10, 11, 12, SEP, *place, SEP, 13, SEP, SEP]
    (none,) = TASK.format(asked, answer(), world)
    assert none.tokens[11:].tolist() == [SEP]


@pytest.mark.parametrize(
    ("spans", "why"),
    [
        ([(0, 1, "PER"), (2, 3, "PER")], None),  # equal words, both of them
        ([(2, 3, "PER")], "words that stand in the text before"),
        ([(0, 1, "PER"), (1, 2, "LOC"), (2, 3, "LOC")], None),
        ([(1, 2, "LOC"), (2, 3, "LOC")], None),  # the first of them is before the other span
        ([(0, 3, "PER"), (1, 2, "LOC")], None),  # nested
        ([(0, 1, "PER"), (0, 2, "PER")], None),  # and from one word on
        ([(0, 2, "PER"), (1, 3, "PER")], None),  # crossing
        ([(0, 1, "PER"), (0, 1, "LOC")], "one span with two labels"),
        ([(i, i + 1, "LOC") for i in range(4)], "a list of 17 tokens, where 16 is the most"),
    ],
)
def test_a_list_is_read_in_the_order_of_the_text(
    spans: list[tuple[int, int, str]], why: str | None, world: World
) -> None:
    asked = item(10, 11, 10, 12)
    if why is None:
        assert read_back(TASK, asked, world, answer(*spans))[1] == answer(*spans)
    else:
        with pytest.raises(Inexpressible, match=why):
            TASK.format(asked, answer(*spans), world)


def test_what_stands_in_several_windows_is_told_by_the_best(world: World) -> None:
    task, asked = WriteSpans(labels=("PER", "LOC"), longest=1.2), item(*range(10, 32), before=1)
    assert len(task.format(asked, None, world)) > 5
    for start in range(22):
        told = answer((start, min(start + 2, 22), "PER"))
        examples, found = read_back(task, asked, world, told)
        assert found == told
        assert all(len(example) <= world.length for example in examples)
        rows = [task.gold(example) for example in examples]
        several = [number for number, row in enumerate(rows) if len(row) > 1]
        silent = [[row if number != n else row[-1:] for n, row in enumerate(rows)] for number in several]
        assert sum(task.decode(asked, said, world) == told for said in silent) == len(several) - 1
    with pytest.raises(Inexpressible, match="longer than what windows share"):
        TASK.format(asked, answer((0, 22, "PER")), world)


@given(
    st.lists(st.integers(10, 12), max_size=9),
    st.lists(st.lists(st.integers(20, 21), min_size=1, max_size=3).map(tuple), min_size=1, max_size=4, unique=True),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=200)
def test_any_walk_ends_in_time_and_names_whole_words(
    text: list[int], names: list[tuple[int, ...]], limit: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    begins = sorted({0, *draw.integers(0, len(text), size=3).tolist()}) if text else []
    source = Source(names, text, begins, SEP)
    listing, row = Listing(source, limit=limit), list[int]()
    while not listing.ended:
        row.append(int(draw.choice(listing.allowed()[-3:])))  # rather words than an end
        listing.put(row[-1])
    assert len(row) <= limit
    assert row[-1] == SEP
    assert Listing.read(source, row) == listing.found
    assert all(one[1:] < two[1:] for one, two in pairwise(listing.found))
    written = [(*names[n], SEP, *text[start:end], SEP) for n, start, end in listing.found]
    assert [*(token for one in written for token in one), SEP] == row
    assert all(start in begins and end in {*begins[1:], len(text)} for _, start, end in listing.found)


def test_a_row_that_is_no_list_is_read_as_far_as_it_is_one() -> None:
    source = Source([(20,)], [10, 11, 12], [0, 1, 2], SEP)
    assert Listing.read(source, [20, SEP, 10, SEP, 20, SEP, 12, 11, SEP, SEP]) == [Named(0, 0, 1)]
    assert Listing.read(source, [20, SEP, 10, SEP, SEP, 20, SEP, 11, SEP]) == [Named(0, 0, 1)]
    assert Listing.read(source, [20, SEP, 10]) == []
    with pytest.raises(ValueError, match="one token at least"):
        Listing(source, limit=0)


@pytest.mark.parametrize("seed", range(3))
def test_random_weights_end_and_say_lists(seed: int, world: World, tiny: Backbone) -> None:
    spec = tiny.model_copy(update={"init_std": 0.5, "positions": 32})
    model = Model(spec, planned([TASK], spec, world), seed=seed)
    draw = rng("random", seed)
    asked = [
        item(*draw.integers(5, 60, size=n).tolist(), first=[*range(0, n, 2)], before=n % 2)
        for n in (5, 11, 0, 3, 1, 9, 2, 6)
    ]
    examples = [example for one in asked for example in TASK.format(one, None, world)]
    rows = said(model, TASK, examples)
    for example, row in zip(examples, rows, strict=True):
        assert row[-1] == SEP
        assert len(row) <= 8 + 2 * (example.answers[TASK.marks] != IGNORE).sum()
        assert len(example) + len(row) <= spec.positions + 1
    assert sum(map(len, rows)) > 3 * len(rows)
    with torch.inference_mode():
        backwards = TASK.says(Step(model.eval(), Packed(Batch.pack(examples[::-1]))))  # longest first
    assert [row.tolist() for row in backwards[::-1]] == [row.tolist() for row in rows]
    told = iter(rows)
    for one in asked:
        cut = TASK.format(one, None, world)
        together, alone = [next(told) for _ in cut], said(model, TASK, cut)
        assert TASK.decode(one, together, world) == TASK.decode(one, alone, world)


def test_what_is_said_is_the_likeliest_of_what_is_allowed(world: World, tiny: Backbone) -> None:
    """Token by token in a full pass each, and the likeliest of all tokens is not always among them."""
    spec = tiny.model_copy(update={"init_std": 0.5})
    model = Model(spec, planned([TASK], spec, world), seed=1).eval()
    asked, surprises = item(10, 11, 12, 13), 0
    (prompt,) = TASK.format(asked, None, world)
    (row,) = said(model, TASK, [prompt])
    names = [tuple(name.tokens.tolist()) for name in TASK.spelled(world)]
    listing = Listing(Source(names, [10, 11, 12, 13], [0, 1, 2, 3], SEP), limit=16)
    for place, token in enumerate(row.astype(int).tolist()):
        given_so_far = TASK.laid([asked.passages[-1]], [*row[:place].astype(int).tolist(), 0], world)
        told = _scores(model, given_so_far)[-1]
        allowed = listing.allowed()
        assert token == allowed[int(told[allowed].argmax())]
        surprises += int(told.argmax()) != token
        listing.put(token)
    assert listing.ended
    assert surprises


@torch.inference_mode()
def _scores(model: Model, example: Example) -> torch.Tensor:
    return Step(model, Packed(Batch.pack([example]))).logits(TASK.slot, head=TASK.head)


def test_no_room_is_refused(world: World, tiny: Backbone) -> None:
    crowded = WriteSpans(labels=tuple(map(str, range(12))))
    with pytest.raises(BadInput, match="length 32: no room for a text, the names of labels and a list; take more"):
        planned([crowded], tiny, world)
