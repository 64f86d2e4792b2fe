"""What is expressible comes back, what is not is refused, and no walk of legal actions goes astray."""

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.answers import Answer, Inexpressible, Span, Tree
from quire.core.random import Rng, rng
from quire.core.transitions import ArcStandard, Nested, System

LABELS = ("a", "b", "好")
PARSER, NESTER = ArcStandard(LABELS), Nested(LABELS)
SYSTEMS = (PARSER, NESTER)
SPANS = st.tuples(st.integers(0, 9), st.integers(1, 9), st.sampled_from(LABELS)).map(
    lambda drawn: Span(drawn[0], drawn[0] + drawn[1], drawn[2])
)


@st.composite
def trees(draw: Any) -> Tree:
    """Any tree: words in some order, each below one before it or the root below nothing."""
    size = draw(st.integers(1, 9))
    order = draw(st.permutations(range(1, size + 1)))
    heads = [0] * size
    for place, word in enumerate(order[1:], start=1):
        heads[word - 1] = order[draw(st.integers(0, place - 1))]
    return Tree(tuple(heads), tuple(draw(st.sampled_from(LABELS)) for _ in heads))


def projective(tree: Tree) -> bool:
    """Whether all words between two ends of an arc are below its head."""

    def above(word: int) -> list[int]:
        return [word] if not word else [word, *above(tree.heads[word - 1])]

    arcs = [(head, word) for word, head in enumerate(tree.heads, start=1)]
    return all(head in above(between) for head, word in arcs for between in range(min(head, word) + 1, max(head, word)))


def crossing(spans: frozenset[Span]) -> bool:
    return any(one.start < two.start < one.end < two.end for one in spans for two in spans)


def taken(system: System[Any, Any], words: int, actions: list[int]) -> Answer:
    """What legal actions make."""
    at = system.start(words)
    for action in actions:
        assert not system.ended(at)
        assert system.legal(at)[action], system.actions[action]
        system.apply(at, action)
    assert system.ended(at)
    answer: Answer = system.answer(at)
    return answer


def wandered(system: System[Any, Any], words: int, draw: Rng) -> tuple[Any, int]:
    """The end of a walk of legal actions, and its length."""
    at, steps = system.start(words), 0
    while not system.ended(at):
        system.apply(at, int(draw.choice(np.flatnonzero(system.legal(at)))))
        steps += 1
    return at, steps


@given(trees())
def test_a_tree_comes_back_if_no_arcs_cross(tree: Tree) -> None:
    if not projective(tree):
        with pytest.raises(Inexpressible, match="cross"):
            PARSER.oracle(len(tree.heads), tree)
        return
    actions = PARSER.oracle(len(tree.heads), tree)
    assert len(actions) == 2 * len(tree.heads)
    assert taken(PARSER, len(tree.heads), actions) == tree


@given(st.frozensets(SPANS, max_size=6))
def test_spans_come_back_if_none_cross(spans: frozenset[Span]) -> None:
    words = max((span.end for span in spans), default=0)
    if crossing(spans):
        with pytest.raises(Inexpressible, match="crosses"):
            NESTER.oracle(words, spans)
        return
    assert taken(NESTER, words + 1, NESTER.oracle(words + 1, spans)) == spans
    assert taken(NESTER, words, NESTER.oracle(words, spans)) == spans


@given(st.integers(1, 12), st.integers(0, 999))
def test_every_walk_makes_a_tree_of_one_root_without_crossing_arcs(words: int, seed: int) -> None:
    at, steps = wandered(PARSER, words, rng(seed))
    tree = PARSER.answer(at)
    assert tree.fault() is None
    assert tree.heads.count(0) == 1
    assert projective(tree)
    assert steps == 2 * words


@given(st.integers(0, 12), st.integers(0, 999))
def test_every_walk_makes_spans_that_do_not_cross(words: int, seed: int) -> None:
    at, steps = wandered(NESTER, words, rng(seed))
    spans = NESTER.answer(at)
    assert not crossing(spans)
    assert len(spans) == len(at.spans), "none is made twice"
    assert all(0 <= span.start < span.end <= words for span in spans)
    assert steps <= 1 + words * (2 + 2 * len(LABELS))


@given(st.sampled_from(SYSTEMS), st.integers(1, 12), st.integers(0, 999))
def test_features_are_words_in_order_or_nothing(system: System[Any, Any], words: int, seed: int) -> None:
    at, draw = system.start(words), rng(seed)
    while not system.ended(at):
        found = system.features(at)
        assert len(found) == system.width
        there = [word for word in found if word >= 0]
        assert there == sorted(there)
        assert all(-1 <= word < words for word in found)
        system.apply(at, int(draw.choice(np.flatnonzero(system.legal(at)))))


def test_arc_standard_by_hand() -> None:
    """book me a flight: two arcs of "book", one of "flight"."""
    tree = Tree((0, 1, 4, 1), ("root", "iobj", "det", "obj"))
    system = ArcStandard(("root", "iobj", "det", "obj"))
    names = [system.actions[action] for action in system.oracle(4, tree)]
    assert names == [
        "shift", "shift", "right-arc iobj", "shift", "shift", "left-arc det", "right-arc obj", "right-arc root"
    ]  # fmt: skip
    at = system.run(4, system.oracle(4, tree)[:5])
    assert at.stack == [0, 1, 3, 4]
    assert system.features(at) == (0, 2, 3, -1)


def test_nested_spans_by_hand() -> None:
    """I liked San Antonio City: a place in a place, whose second word is a person and a place by itself."""
    system = Nested(("PER", "LOC"))
    spans = frozenset({Span(2, 5, "LOC"), Span(2, 4, "LOC"), Span(3, 4, "PER"), Span(3, 4, "LOC")})
    names = [system.actions[action] for action in system.oracle(5, spans)]
    assert names == ["shift"] * 4 + ["unary PER", "unary LOC", "reduce LOC", "shift", "reduce LOC", "shift"]
    begun = [system.actions[action] for action in system.oracle(3, frozenset({Span(0, 3, "PER")}))]
    assert begun == ["shift", "shift", "reduce PER*", "shift", "reduce PER", "shift"]
    at = system.run(5, system.oracle(5, spans)[:7])
    assert system.features(at) == (0, 0, 1, 1, 2, 3, 4)


def test_a_word_is_one_kind_once_and_what_is_begun_goes_on() -> None:
    system = Nested(("PER", "LOC"))

    def legal(*actions: int) -> list[str]:
        return [system.actions[a] for a in np.flatnonzero(system.legal(system.run(3, actions)))]

    assert legal(0, 2) == ["shift"], "after unary LOC neither is left, and nothing is below"
    assert legal(0, 1) == ["shift", "unary LOC"]
    assert legal(0, 0, 5) == ["shift"], "a PER that is begun needs another part"
    assert legal(0, 0, 5, 0) == ["unary PER", "unary LOC", "reduce PER"], "and there is no other word: it ends here"


@pytest.mark.parametrize(
    ("system", "words", "answer", "why"),
    [
        (PARSER, 2, Tree((0, 0), ("a", "a")), "both roots"),
        (PARSER, 2, Tree((2, 1), ("a", "a")), "no word is the root"),
        (PARSER, 3, Tree((0, 3, 2), ("a", "a", "a")), "its own ancestor"),
        (PARSER, 2, Tree((0,), ("a",)), "no tree of 2 words"),
        (PARSER, 0, Tree((), ()), "no tree of 0 words"),
        (PARSER, 1, Tree((0,), ("c",)), "'c' is none of those"),
        (NESTER, 2, frozenset({Span(0, 1, "c")}), "no kind"),
        (NESTER, 2, frozenset({Span(1, 3, "a")}), "outside 2 words"),
    ],
)
def test_what_has_no_actions_is_inexpressible(system: System[Any, Any], words: int, answer: Answer, why: str) -> None:
    with pytest.raises(Inexpressible, match=why):
        system.oracle(words, answer)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_step_costs_the_same_in_a_long_text(system: System[Any, Any]) -> None:
    """All words on the stack, then whatever is legal: a copy of the stack would take ten times as long a step."""

    def cost(words: int) -> float:
        at, steps, begun = system.start(words), 0, time.process_time()
        while not system.ended(at):
            system.features(at)
            system.apply(
                at, int(system.legal(at).argmax()) if at.front < words else int(system.legal(at)[::-1].argmax())
            )
            steps += 1
            if steps > 2 * words - 2:
                break
        return (time.process_time() - begun) / steps

    def cost_of(words: int) -> float:
        return min(cost(words) for _ in range(3))

    assert cost_of(20_000) < 3 * cost_of(1_000)
