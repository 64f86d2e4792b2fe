"""Tags of words: where they are asked for, what has no form, what a broken row means, and what a CRF adds."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from quire.core.answers import Inexpressible, Item, Span
from quire.core.example import IGNORE, Batch, Passage, World
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.core.tags import broken, read, write
from quire.nn.model import Model, Packed, Step
from quire.paradigms.label import Label
from quire.train.evaluate import said
from quire.train.loop import planned

KINDS = ("PER", "LOC")
SOFT, CRF = Label(labels=KINDS), Label(labels=KINDS, crf=True)


def item(*first: int, tokens: int = 9) -> Item:
    """Words that begin at these tokens."""
    starts = np.zeros(tokens, dtype=bool)
    starts[[at for at in first if at >= 0]] = True
    return Item((Passage(5 + np.arange(tokens) % 55, starts),), np.array(first, dtype=np.int64))


def test_a_word_is_asked_about_at_its_first_token(world: World) -> None:
    [example] = SOFT.format(item(0, 3, 4), frozenset({Span(0, 2, "LOC")}), world)
    tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    assert SOFT.tags == tuple(tags)
    asked = {int(at): tags[example.answers["label"][at]] for at in np.flatnonzero(example.answers["label"] != IGNORE)}
    assert asked == {1: "B-LOC", 4: "I-LOC", 5: "O"}  # behind [CLS]
    two = Item((Passage(np.array([7, 8]), np.ones(2, dtype=bool)), *item(0, 3, 4).passages), np.array([0, 3, 4]))
    [example] = SOFT.format(two, frozenset(), world)
    assert np.flatnonzero(example.answers["label"] != IGNORE).tolist() == [4, 7, 8]


def test_a_word_without_a_token_lies_outside_or_has_no_form(world: World) -> None:
    gone, answer = item(0, -1, 4), frozenset({Span(0, 1, "PER"), Span(2, 3, "LOC")})
    assert SOFT.decode(gone, [SOFT.gold(e) for e in SOFT.format(gone, answer, world)], world) == answer
    with pytest.raises(Inexpressible, match="word 1 is in a span"):
        SOFT.format(gone, frozenset({Span(0, 2, "PER")}), world)
    with pytest.raises(Inexpressible, match=r"the span of word 1 \(PER\) shares a word"):
        SOFT.format(gone, frozenset({Span(0, 1, "PER"), Span(0, 1, "LOC")}), world)


def test_a_long_text_takes_each_tag_from_the_window_that_reads_it_best(world: World) -> None:
    """Every window says of its own words where it stands; 30 tokens fit, and half of them are read twice."""
    long = item(*range(60), tokens=60)
    examples = SOFT.format(long, None, world)
    assert [len(example) for example in examples] == [32, 32, 32]
    claims = [np.eye(5, dtype=np.float32)[[window + 1] * 30] for window in range(3)]  # B-PER, I-PER, B-LOC
    first = {Span(word, word + 1, "PER") for word in range(22)}
    last = {Span(word, word + 1, "LOC") for word in range(38, 60)}
    assert SOFT.decode(long, claims, world) == first | {Span(22, 38, "PER")} | last


@pytest.mark.parametrize("scheme", ["bio", "bioes"])
def test_a_span_over_the_seam_of_two_windows_is_one(world: World, scheme: str) -> None:
    label = Label.model_validate({"labels": KINDS, "scheme": scheme})
    long = item(*range(60), tokens=60)
    for start in range(10, 40):
        answer = frozenset({Span(start, start + 18, "PER")})
        assert label.decode(long, [label.gold(e) for e in label.format(long, answer, world)], world) == answer


def test_a_broken_row_is_read_as_conlleval_reads_it(world: World) -> None:
    row = [0, 2, 4, 4]  # O I-PER I-LOC I-LOC
    found = SOFT.decode(item(0, 1, 2, 3), [np.eye(5, dtype=np.float32)[row]], world)
    assert found == {Span(1, 2, "PER"), Span(2, 4, "LOC")}


@pytest.mark.parametrize("crf", [False, True])
def test_what_must_keep_to_the_scheme_does(
    crf: bool, world: World, passage: Callable[[int, Rng], Passage], tiny: Backbone
) -> None:
    label = Label(labels=KINDS, scheme="bioes", crf=crf, valid=True)
    model = Model(tiny.model_copy(update={"init_std": 0.5}), planned([label], tiny, world), seed=3)
    draw = rng("valid")
    texts = [passage(n, draw) for n in range(1, 30)]
    items = [Item((text,), np.flatnonzero(text.starts)) for text in texts]
    examples = [example for one in items for example in label.format(one, None, world)]

    def rows(label: Label) -> list[list[str]]:
        return [[label.tags[tag] for tag in row.argmax(axis=1)] for row in said(model, label, examples)]

    kept, free = rows(label), rows(label.model_copy(update={"valid": False}))
    assert all(broken(row, scheme="bioes") is None for row in kept)
    assert all(write(read(row), len(row), scheme="bioes") == row for row in kept)
    assert any(broken(row, scheme="bioes") is not None for row in free), "else the test could not tell"


def test_a_crf_begins_as_the_softmax(world: World, tiny: Backbone) -> None:
    texts = [item(*range(n), tokens=n) for n in (7, 3, 4)]
    answers = [frozenset({Span(1, 5, "LOC")}), frozenset({Span(0, 2, "PER")}), frozenset[Span]()]
    batch = [e for one, answer in zip(texts, answers, strict=True) for e in SOFT.format(one, answer, world)]
    model = Model(tiny, planned([CRF], tiny, world), seed=3).eval()
    step = Step(model, Packed(Batch.pack(batch)))
    torch.testing.assert_close(CRF.loss(step), SOFT.loss(step))
    assert [len(one) for one in CRF.says(step)] == [7, 3, 4]  # as the examples came in
    for one, other in zip(CRF.says(step), SOFT.says(step), strict=True):
        assert (one.argmax(axis=1) == other.argmax(axis=1)).all()


@pytest.mark.parametrize("label", [SOFT, CRF], ids=["softmax", "crf"])
def test_nobody_learns_from_tags_that_nobody_knows(label: Label, world: World, tiny: Backbone) -> None:
    model = Model(tiny, planned([label], tiny, world), seed=3)
    step = Step(model, Packed(Batch.pack(label.format(item(0, 3, 4), None, world))))
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        label.loss(step)
