"""Answers as two edges: every span that may be one is weighed, in every window, and what cannot be told is refused."""

import math
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from quire.core.answers import Answer, Inexpressible, Item, Span
from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Passage, Vocab, World
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.paradigms.edges import Reading, Units
from quire.paradigms.extract import Extract
from quire.paradigms.extract_label import ExtractLabel
from quire.paradigms.extract_spans import ExtractSpans
from quire.predict.encode import fitted
from quire.train.evaluate import said
from quire.train.loop import planned

VOCAB = Vocab(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)))


def world(length: int = 32) -> World:
    def spelled(text: str) -> Passage:
        return run(*(5 + sum(word.encode()) % 55 for word in text.split()))

    return World(VOCAB, length=length, spell=spelled)


def run(*tokens: int) -> Passage:
    return Passage(np.array(tokens, dtype=np.int64), np.ones(len(tokens), dtype=bool))


def item(first: list[int], length: int, *, question: int = 2) -> Item:
    """A passage of so many tokens, in which words begin at `first`, behind a question."""
    return Item((run(*range(5, 5 + question)), run(*(5 + i % 55 for i in range(length)))), np.array(first))


def answer(start: int, end: int, label: str = "answer") -> Answer:
    return frozenset({Span(start, end, label)})


def test_an_answer_is_asked_at_its_first_and_its_last_token() -> None:
    (example,) = Extract().format(item([0, 2, 3, 6], 7), answer(1, 3), world())
    assert example.tokens.tolist() == [2, 5, 6, 3, 5, 6, 7, 8, 9, 10, 11, 3]
    assert example.segments.tolist() == [0] * 4 + [1] * 8
    assert np.flatnonzero(example.answers["extract"] != IGNORE).tolist() == [4 + 2]
    assert np.flatnonzero(example.answers["extract_ends"] != IGNORE).tolist() == [4 + 5]
    (example,) = Extract().format(item([0, 2, 3, 6], 7), frozenset(), world())
    assert np.flatnonzero(example.answers["extract"] != IGNORE).tolist() == [0]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (answer(1, 2), "words 1 to 2: no token begins or ends there"),
        (answer(2, 4), "words 2 to 4: no token begins or ends there"),
        (answer(5, 9), "words 5 to 9"),
        (answer(0, 6), "an answer of 6 words, where 5 is the most"),
        (frozenset({Span(0, 1, "answer"), Span(3, 4, "answer")}), "2 spans, where one is asked for"),
    ],
)
def test_what_no_tokens_can_tell_is_inexpressible(asked: Answer, why: str) -> None:
    shared = item([0, 1, -1, 2, 3, 5, 6], 7)  # words 1 and 2 are one token
    with pytest.raises(Inexpressible, match=why):
        Extract(longest=5).format(shared, asked, world())
    whole = Extract(longest=5).format(shared, answer(1, 5), world())
    assert Extract(longest=5).decode(shared, [Extract().gold(e) for e in whole], world()) == answer(1, 5)


def test_an_answer_that_no_window_shows_is_inexpressible() -> None:
    long = item(list(range(40)), 40)
    assert len(Extract().format(long, answer(10, 20), world(26))) == 3  # of 21 tokens, 10 apart
    with pytest.raises(Inexpressible, match="longer than what windows share"):
        Extract().format(long, answer(5, 25), world(26))
    with pytest.raises(Inexpressible, match="no answer, where each question has one"):
        Extract(null_margin=None).format(long, frozenset(), world(26))


@pytest.mark.parametrize("absent", [True, False])
def test_a_window_without_the_answer_is_asked_for_the_first_position_or_for_nothing(absent: bool) -> None:
    asked = Extract(absent=absent).format(item(list(range(40)), 40), answer(0, 3), world(26))
    starts = [np.flatnonzero(e.answers.get("extract", np.full(1, IGNORE)) != IGNORE).tolist() for e in asked]
    assert starts == [[4], [0], [0]] if absent else starts == [[4], [], []]


def test_loss_and_scores_are_those_of_each_sequence_by_itself(tiny: Backbone) -> None:
    task = Extract()
    model = Model(tiny.model_copy(update={"init_std": 0.3}), planned([task], tiny, world()), seed=3).eval()
    answers: tuple[tuple[Answer, int], ...] = ((answer(0, 2), 5), (answer(3, 7), 9), (frozenset(), 4))
    examples = [e for a, n in answers for e in task.format(item(list(range(n)), n), a, world())]
    edges = [(4, 5), (7, 10), (0, 0)]
    expected, scores = [], []
    for example, (start, end) in zip(examples, edges, strict=True):
        scores_L2 = Step(model, Packed(Batch.pack([example]))).scores("extract", torch.arange(len(example)))
        told = torch.tensor([start]), torch.tensor([end])
        scores.append(scores_L2.detach().numpy())
        expected += [torch.nn.functional.cross_entropy(scores_L2[None, :, i], at) for i, at in enumerate(told)]
    step = Step(model, Packed(Batch.pack(examples)))
    torch.testing.assert_close(task.loss(step), torch.stack(expected).mean())
    for alone, among in zip(scores, task.says(step), strict=True):
        np.testing.assert_allclose(among, alone, atol=1e-5)


@given(seed=st.integers(0, 999), length=st.integers(1, 30), longest=st.integers(1, 9), count=st.integers(1, 12))
def test_candidates_are_the_best_of_all_spans_in_all_windows(seed: int, length: int, longest: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    first = np.flatnonzero(np.append(True, draw.random(length - 1) < 0.6))
    words = [w for token in first.tolist() for w in (token, *([-1] * int(draw.random() < 0.2)))]
    question, here = item(words, length), world(14)
    task = Extract(longest=longest)
    reading = Reading.of(question.passages[:1], question.passages[1], here, limit=64)
    rows = [draw.normal(size=(len(e), 2)).astype(np.float32) for e in task.format(question, None, here)]
    best: dict[Span, float] = {}
    behind = [next((t for t in words[w + 1 :] if t >= 0), length) for w in range(len(words))]
    for start in range(len(words)):
        for end in range(start + 1, min(start + longest, len(words)) + 1):
            if words[start] < 0 or (end < len(words) and words[end] < 0):
                continue
            for window, rows_L2 in zip(reading.windows, rows, strict=True):
                if window.start <= words[start] and behind[end - 1] <= window.stop:
                    at, to = words[start] - window.start + 4, behind[end - 1] - 1 - window.start + 4
                    score = float(rows_L2[at, 0] + rows_L2[to, 1])
                    span = Span(start, end, "answer")
                    best[span] = max(score, best.get(span, -math.inf))
    expected = sorted(best.values(), reverse=True)[:count]
    found = task.candidates(question, rows, here, count=count)
    spans = [c for c in found if c.span]
    assert [c.score for c in spans] == pytest.approx(expected)
    assert all(best[c.span] == pytest.approx(c.score) for c in spans if c.span)
    none = min(float(rows_L2[0].sum()) for rows_L2 in rows)
    assert [c.score for c in found if c.span is None] == pytest.approx([none])
    assert sum(c.probability for c in found) == pytest.approx(1)
    wins = bool(best) and none - expected[0] <= 0
    assert task.decode(question, rows, here) == (frozenset({spans[0].span}) if wins else frozenset())


def test_a_margin_weighs_no_answer_against_the_best_span() -> None:
    question = item([0, 1, 2], 3)
    rows = np.zeros((8, 2), dtype=np.float32)
    rows[0], rows[5] = 2.0, 1.5  # none scores 4, the second word 3
    assert Extract().margin(question, [rows], world()) == 1
    assert Extract().decode(question, [rows], world()) == frozenset()
    assert Extract(null_margin=1).decode(question, [rows], world()) == answer(1, 2)
    sure = Extract(null_margin=None)
    assert sure.decode(question, [rows], world()) == answer(1, 2)
    assert all(c.span for c in sure.candidates(question, [rows], world()))


@given(seed=st.integers(0, 999), words=st.integers(1, 12), count=st.integers(0, 5))
def test_spans_are_told_exactly_where_each_start_has_the_nearest_end(seed: int, words: int, count: int) -> None:
    """Else they are refused; spans of other kinds do not count."""
    draw = np.random.default_rng(seed)
    spans = set()
    for _ in range(count):
        start = int(draw.integers(words))
        spans.add(Span(start, int(draw.integers(start, words)) + 1, ("PER", "LOC")[int(draw.integers(2))]))
    fine = all(
        one.end == min(other.end for other in spans if other.label == one.label and other.end > one.start)
        for one in spans
    ) and len({(s.start, s.label) for s in spans}) == len(spans)
    task, text = ExtractSpans(labels=("PER", "LOC")), item(list(range(words)), words)
    text = Item(text.passages[1:], text.first)
    try:
        examples = task.format(text, frozenset(spans), world(9))
    except Inexpressible:
        assert not fine
        return
    assert fine
    assert task.decode(text, [task.gold(e) for e in examples], world(9)) == frozenset(spans)


def test_each_kind_has_its_question() -> None:
    task = ExtractSpans(labels=("PER", "LOC"), questions={"LOC": "a place or town"})
    text = Item((run(5, 6),), np.array([0, 1]))
    per, loc = task.format(text, None, world())
    assert per.tokens.tolist() == [2, *world().spelled("PER").tokens, 3, 5, 6, 3]
    assert loc.tokens.tolist() == [2, *world().spelled("a place or town").tokens, 3, 5, 6, 3]
    with pytest.raises(ValidationError, match="a question about 'LOK', which is no label; did you mean 'LOC'"):
        ExtractSpans(labels=("PER", "LOC"), questions={"LOK": "?"})
    alike = ExtractSpans(labels=("PER", "LOC"), questions={"PER": "a place", "LOC": "a place"})
    with pytest.raises(BadInput, match="the labels 'PER' and 'LOC' are the same in tokens"):
        alike.parts(Backbone(vocab=60, depth=1, width=8, heads=1, ffn=8, positions=40), world())


def test_what_is_asked_gives_way_to_the_passage() -> None:
    reading = Reading.of([run(*[7] * 50)], run(*[8] * 9), world(23), limit=64)
    assert (len(reading.asked[0]), [w.stop - w.start for w in reading.windows]) == (10, [9])
    assert len(Reading.of([run(*[7] * 50)], run(8), world(100), limit=6).asked[0]) == 6
    with pytest.raises(BadInput, match="length 4: no room for a question and its passage"):
        Reading.of([run(7)], run(8), world(4), limit=64)


@given(words=st.lists(st.integers(0, 9), max_size=8), length=st.integers(0, 12), data=st.data())
def test_units_are_what_tokens_can_tell_apart(words: list[int], length: int, data: Any) -> None:
    first = [w if i == 0 or w > max(words[:i]) else -1 for i, w in enumerate(words)]
    first = [w if w < length else -1 for w in first]
    units = Units.of(item(first, length))
    for one in range(len(units)):
        for last in range(one, len(units)):
            span = units.span(one, last, "x")
            assert units.held(span) == (one, last)
            start, end = units.edges(one, last)
            assert start == first[span.start]
            assert end == next((t for t in first[span.end :] if t >= 0), length) - 1


def test_labels_are_pointed_at_by_their_descriptions(tiny: Backbone) -> None:
    here = world(40)
    task = ExtractLabel(labels=("bad", "good", "mixed"), descriptions={"good": "a fine thing"})
    text = Item((run(5, 6, 7),))
    (example,) = task.format(text, "good", here)
    spelled = [here.spelled(t).tokens.tolist() for t in ("bad", ";", "a fine thing", ";", "mixed")]
    assert example.tokens.tolist() == [2, 5, 6, 7, 3, *chain.from_iterable(spelled), 3]
    model = Model(tiny.model_copy(update={"init_std": 0.3}), planned([task], tiny, here), seed=3).eval()
    scores_L2 = Step(model, Packed(Batch.pack([example]))).scores("extract_label", torch.arange(len(example)))
    edges = (5, 5), (7, 9), (11, 11)
    expected = torch.stack([scores_L2[a, 0] + scores_L2[b, 1] for a, b in edges]).softmax(0).detach()
    other = Item((run(8, 9, 10, 11, 12), run(5)))
    rows = said(model, task, [*task.format(other, None, here), *task.format(text, None, here)])
    torch.testing.assert_close(torch.from_numpy(rows[1]), expected)
    asked = [
        np.flatnonzero(example.answers[slot] != IGNORE).tolist() for slot in ("extract_label", "extract_label_ends")
    ]
    assert asked == [[7], [9]]


def test_a_text_gives_way_to_descriptions_and_those_to_nothing() -> None:
    task = ExtractLabel(labels=("bad", "good"))
    (kept,) = fitted([Item((run(*[8] * 90), run(9, 9)))], task, world(20), how="head")
    (example,) = task.format(kept, "bad", world(20))
    described = [t for word in ("bad", ";", "good") for t in world().spelled(word).tokens.tolist()]
    assert example.tokens.tolist() == [2, *[8] * 11, 3, 9, 9, 3, *described, 3]
    with pytest.raises(BadInput, match=r"2 descriptions take 44 of 40 tokens and leave no room for a text"):
        ExtractLabel(labels=("bad", "good"), descriptions={"bad": "b " * 39}).parts(Backbone(), world(40))
    with pytest.raises(BadInput, match="label ' ': its description has no token"):
        ExtractLabel(labels=("bad", " ")).parts(Backbone(), world(40))
    with pytest.raises(ValidationError, match="a description of 'god', which is no label"):
        ExtractLabel(labels=("bad", "good"), descriptions={"god": "x"})
