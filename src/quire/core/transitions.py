"""Transition systems: a structure is the end of a sequence of actions, each taken in a configuration.

An answer becomes actions by an oracle, and actions become an answer by being taken. No action but a legal one is ever
taken, so that whatever chooses among them ends, and ends with a structure. A step costs the same in a text of any
length. What is chosen by, where nothing else is known, is a handful of words: the features of a configuration.

Legend: W words, A actions, K features.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from quire.core.answers import Answer, Inexpressible, Span, Spans, Tree
from quire.core.example import Bools

Configuration = TypeVar("Configuration")
Made = TypeVar("Made", bound=Answer)

SHIFT = 0
"""The first action of every system: the next word is pushed onto the stack."""


class System(ABC, Generic[Configuration, Made]):
    """Configurations change in place; actions are numbers, whose names are `actions`."""

    width: ClassVar[int]
    """K."""
    actions: tuple[str, ...]

    @abstractmethod
    def start(self, words: int) -> Configuration:
        """Before anything is read of so many words."""

    @abstractmethod
    def ended(self, at: Configuration) -> bool:
        """Whether nothing is left to do."""

    @abstractmethod
    def legal(self, at: Configuration) -> Bools:
        """[A], of which at least one is True until the end."""

    @abstractmethod
    def apply(self, at: Configuration, action: int) -> None:
        """Take a legal action."""

    @abstractmethod
    def features(self, at: Configuration) -> tuple[int, ...]:
        """[K] the words, from 0, that the choice is made by; -1 where there is none."""

    @abstractmethod
    def oracle(self, words: int, answer: Made) -> list[int]:
        """The actions that make an answer. Inexpressible where none do."""

    @abstractmethod
    def answer(self, at: Configuration) -> Made:
        """What was made, at the end."""

    def run(self, words: int, actions: Iterable[int]) -> Configuration:
        """The configuration after some actions."""
        at = self.start(words)
        for action in actions:
            self.apply(at, action)
        return at


@dataclass
class Arcs:
    """Words count from 1; 0 is the root, at the bottom of the stack."""

    words: int
    front: int = 1
    """The first word of the buffer, which is one more than there are when it is empty."""
    stack: list[int] = field(default_factory=lambda: [0])
    heads: list[int] = field(default_factory=list)
    relations: list[str] = field(default_factory=list)


class ArcStandard(System[Arcs, Tree]):
    """Dependency trees without crossing arcs (Nivre 2004), by the features of Kiperwasser & Goldberg (2016, section 4).

    shift         the next word is pushed
    left-arc r    the word below the top of the stack is r of the top, and leaves
    right-arc r   the top is r of what is below it, and leaves

    The root takes one word, the last on the stack, so that every tree has one root. Features: the three words on top
    of the stack, the lowest first, and the first of the buffer. The oracle is static: an arc as soon as its dependent
    has all of its own.
    """

    width = 4

    def __init__(self, relations: Sequence[str]) -> None:
        self.relations = tuple(relations)
        arcs = [f"{side}-arc {relation}" for side in ("left", "right") for relation in relations]
        self.actions = ("shift", *arcs)
        sizes = (1, len(relations), len(relations))
        self._legal = {kinds: np.repeat(kinds, sizes) for kinds in product((False, True), repeat=3)}

    def start(self, words: int) -> Arcs:
        return Arcs(words, heads=[0] * words, relations=[""] * words)

    def ended(self, at: Arcs) -> bool:
        return len(at.stack) == 1 and at.front > at.words

    def legal(self, at: Arcs) -> Bools:
        left, more = len(at.stack) > 2, at.front <= at.words
        return self._legal[more, left, left or (len(at.stack) == 2 and not more)]

    def apply(self, at: Arcs, action: int) -> None:
        if action == SHIFT:
            at.stack.append(at.front)
            at.front += 1
            return
        right, relation = divmod(action - 1, len(self.relations))
        dependent = at.stack.pop(-1 if right else -2) - 1
        at.heads[dependent], at.relations[dependent] = at.stack[-1], self.relations[relation]

    def features(self, at: Arcs) -> tuple[int, ...]:
        third, second, top = [0, 0, *at.stack[-3:]][-3:]
        return third - 1, second - 1, top - 1, at.front - 1 if at.front <= at.words else -1

    def oracle(self, words: int, answer: Tree) -> list[int]:
        if not words or len(answer.heads) != words:
            raise Inexpressible(f"no tree of {words} words")
        if fault := answer.fault():
            raise Inexpressible(fault)
        at, actions = self.start(words), []
        waiting = np.bincount(answer.heads, minlength=words + 1).tolist()  # dependents that each still waits for
        while not self.ended(at):
            action = self._told(at, answer, waiting)
            if action != SHIFT:
                waiting[answer.heads[at.stack[-1 if action > len(self.relations) else -2] - 1]] -= 1
            self.apply(at, action)
            actions.append(action)
        return actions

    def _told(self, at: Arcs, answer: Tree, waiting: Sequence[int]) -> int:
        top, below = at.stack[-1], at.stack[-2] if len(at.stack) > 1 else 0
        if below and answer.heads[below - 1] == top and not waiting[below]:
            return 1 + self._number(answer.relations[below - 1])
        if top and answer.heads[top - 1] == below and not waiting[top]:
            return 1 + len(self.relations) + self._number(answer.relations[top - 1])
        if at.front > at.words:
            raise Inexpressible("arcs of the tree cross")
        return SHIFT

    def _number(self, relation: str) -> int:
        if relation not in self.relations:
            raise Inexpressible(f"the relation {relation!r} is none of those that were learnt")
        return self.relations.index(relation)

    def answer(self, at: Arcs) -> Tree:
        return Tree(tuple(at.heads), tuple(at.relations))


class Part(NamedTuple):
    """What stands on the stack, up to where the next begins: a word (kind -1), a span, or the beginning of one."""

    start: int
    kind: int = -1
    begun: bool = False


@dataclass
class Forest:
    """Words count from 0."""

    words: int
    front: int = 0
    """The first word of the buffer."""
    stack: list[Part] = field(default_factory=list)
    begun: int = 0
    """How many on the stack are only begun."""
    spans: list[Span] = field(default_factory=list)
    ended: bool = False


class Nested(System[Forest, Spans]):
    """Spans that may stand in each other, as a forest (Wang et al. 2018, section 2, and their `util/oracle.py`).

    shift       the next word is pushed; once there is none and no span is begun, this is the end
    unary X     the top of the stack is an X
    reduce X    the two on top are an X
    reduce X*   the two on top are the beginning of an X, which goes on

    A span of several parts is put together from the left: begun with the first two, or with two and each that follows.
    Words may be spans of several kinds, the first of `kinds` innermost (theirs: of one). Spans that cross are
    inexpressible. Features, in place of their stack LSTMs: the first and the last word of the three on top of the stack
    and the first of the buffer. What is only begun, or is an X already, shows in what is legal.
    """

    width = 7

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds, count = tuple(kinds), len(kinds)
        starred = [f"reduce {kind}*" for kind in kinds]
        self.actions = ("shift", *(f"unary {kind}" for kind in kinds), *(f"reduce {kind}" for kind in kinds), *starred)
        number, nothing = np.arange(count), np.zeros(count, dtype=bool)
        end = nothing[:1], nothing, nothing
        self._shift = np.concatenate([~nothing[:1], *[nothing] * 3])
        self._unary = [np.concatenate([end[0], number > kind, nothing, nothing]) for kind in range(-1, count)]
        among = [number == kind for kind in range(count)] + [~nothing]
        self._reduce = [[np.concatenate([*end[:2], a, a if more else nothing]) for a in among] for more in (0, 1)]

    def start(self, words: int) -> Forest:
        return Forest(words)

    def ended(self, at: Forest) -> bool:
        return at.ended

    def legal(self, at: Forest) -> Bools:
        more = at.front < at.words
        found = self._shift.copy() if more or not at.begun else np.zeros_like(self._shift)
        if at.stack and not at.stack[-1].begun:
            found |= self._unary[at.stack[-1].kind + 1]
            if len(at.stack) > 1:
                below = at.stack[-2]
                found |= self._reduce[more][below.kind if below.begun else -1]
        return found

    def apply(self, at: Forest, action: int) -> None:
        if action == SHIFT:
            if at.front < at.words:
                at.stack.append(Part(at.front))
                at.front += 1
            else:
                at.ended = True
            return
        what, kind = divmod(action - 1, len(self.kinds))
        last = at.stack.pop()
        if what:
            at.begun -= at.stack[-1].begun
            last = at.stack.pop()
        at.stack.append(Part(last.start, kind, begun=what == 2))
        if what == 2:
            at.begun += 1
        else:
            at.spans.append(Span(last.start, at.front, self.kinds[kind]))

    def features(self, at: Forest) -> tuple[int, ...]:
        third, second, top = [-1, -1, -1, *(part.start for part in at.stack[-3:])][-3:]
        edges = (third, second - 1 if third >= 0 else -1, second, top - 1 if second >= 0 else -1, top)
        return *edges, at.front - 1, at.front if at.front < at.words else -1

    def oracle(self, words: int, answer: Spans) -> list[int]:
        beginning = self._by_beginning(words, answer)
        actions: list[int] = []
        around: list[tuple[int, int, int]] = []  # spans that are not complete: end, kind, parts so far
        for word in range(words):
            for end, kind in beginning[word]:
                if around and end > around[-1][0]:
                    raise Inexpressible(f"words {word} to {end - 1} are a span that crosses another")
                around.append((end, kind, 0))
            actions.append(SHIFT)
            while around:
                end, kind, parts = around.pop()
                complete = end == word + 1
                if complete or parts:
                    step = 1 + (bool(parts) if complete else 2) * len(self.kinds) + kind
                    actions.append(step)
                if not complete:
                    around.append((end, kind, parts + 1))
                    break
        return [*actions, SHIFT]

    def _by_beginning(self, words: int, answer: Spans) -> list[list[tuple[int, int]]]:
        """[W] the spans that begin with each word, the outermost first: their ends and kinds."""
        found: list[list[tuple[int, int]]] = [[] for _ in range(words)]
        for span in answer:
            if span.label not in self.kinds or not 0 <= span.start < span.end <= words:
                told = f"the span of {span.place} is of no kind that was learnt, or outside {words} words"
                raise Inexpressible(told)
            found[span.start].append((span.end, self.kinds.index(span.label)))
        return [sorted(spans, reverse=True) for spans in found]

    def answer(self, at: Forest) -> Spans:
        return frozenset(at.spans)
