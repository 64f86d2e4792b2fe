"""Next, swapped or random: which B a pair gets, and what is asked about it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from quire.core.errors import BadInput
from quire.core.example import IGNORE, Example, Passage, Vocab, World
from quire.core.heads import SequenceHead
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.core.visibility import Backward, Causal, Prefix, Visibility
from quire.objectives.mlm import Mlm
from quire.objectives.pair import Pair
from quire.train.loop import planned

Draw = Callable[[int, Rng], Passage]


def pair(vocab: Vocab, *lengths: int) -> Example:
    """Tokens 5, 6, ... so that every token tells where it came from; document 1."""
    first, passages = 5, []
    for length in lengths:
        passages.append(Passage(np.arange(first, first + length), np.ones(length, dtype=bool), document=1))
        first += length
    return Example.of(vocab, *passages)


def foreign(length: int, rng: Rng) -> Passage:
    return Passage(np.full(length, 59), np.ones(length, dtype=bool), document=2)


def test_a_kept_pair_is_untouched_and_labelled_zero(vocab: Vocab) -> None:
    example = pair(vocab, 4, 6)
    kept = Pair(rate=0.0).corrupt(example, World(vocab, foreign), rng(0))
    assert kept.tokens.tolist() == example.tokens.tolist()
    assert kept.answers["pair"].tolist() == [0, *[IGNORE] * (len(example) - 1)]


@given(st.integers(1, 20), st.integers(0, 20), st.integers(0, 99))
def test_a_random_b_comes_from_elsewhere_and_fits(one: int, two: int, seed: int) -> None:
    vocab = Vocab(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)))
    example = pair(vocab, one, two)
    other = Pair(rate=1.0).corrupt(example, World(vocab, foreign, length=48), rng(seed))
    assert other.answers["pair"][0] == 1
    # as long as the true pair, or filled up where there was none: the length tells nothing
    assert len(other) == (len(example) if two else 48)
    a, b = other.tokens[other.segments == 0], other.tokens[other.segments == 1]
    assert a[0] == vocab.cls
    assert a[-1] == b[-1] == vocab.sep
    assert (b[:-1] == 59).all()
    assert len(b) > 1
    assert len(a) > 2
    assert set(a[1:-1].tolist()) <= set(example.tokens[example.segments == 0].tolist())
    assert (np.diff(a[1:-1]) == 1).all()  # a run of A, cut at its ends only
    assert (other.tokens == other.truth).all()


def test_a_lone_passage_is_never_a_true_pair(vocab: Vocab) -> None:
    labels = {
        int(Pair(rate=0.0).corrupt(pair(vocab, 5), World(vocab, foreign), rng(s)).answers["pair"][0]) for s in range(9)
    }
    assert labels == {1}


@pytest.mark.parametrize("negatives", [("random",), ("swapped",), ("swapped", "random"), ("random", "swapped")])
def test_all_classes_are_as_frequent(vocab: Vocab, negatives: tuple[str, ...]) -> None:
    built = Pair.model_validate({"negatives": negatives})
    example, world = pair(vocab, 4, 6), World(vocab, foreign)
    labels = [int(built.corrupt(example, world, rng("class", s)).answers["pair"][0]) for s in range(2000)]
    assert chisquare(np.bincount(labels, minlength=len(negatives) + 1)).pvalue > 1e-4


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_a_swapped_pair_is_the_pair_with_a_and_b_exchanged(one: int, two: int, seed: int) -> None:
    vocab = Vocab(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)))
    example = pair(vocab, one, two)
    swapped = Pair(negatives=("swapped",), rate=1.0).corrupt(example, World(vocab, foreign), rng(seed))
    a, b = (example.tokens[example.segments == s] for s in (0, 1))
    assert swapped.tokens.tolist() == [vocab.cls, *b, *a[1:]]
    assert swapped.segments.tolist() == [0] * (len(b) + 1) + [1] * (len(a) - 1)
    assert swapped.answers["pair"].tolist() == [1, *[IGNORE] * (len(example) - 1)]
    back = Pair(negatives=("swapped",), rate=1.0).corrupt(replace(swapped, answers={}), World(vocab), rng(seed))
    assert back.tokens.tolist() == example.tokens.tolist()
    assert back.starts.tolist() == example.starts.tolist()


@pytest.mark.parametrize(
    ("negatives", "label"), [(("swapped",), 1), (("swapped", "random"), 2), (("random", "swapped"), 1)]
)
def test_a_lone_passage_gets_a_random_b(vocab: Vocab, negatives: tuple[str, ...], label: int) -> None:
    """ALBERT's release labels it as swapped, for want of a class of its own."""
    built = Pair.model_validate({"negatives": negatives, "rate": 0.0})
    other = built.corrupt(pair(vocab, 5), World(vocab, foreign), rng(0))
    assert other.answers["pair"][0] == label
    assert (other.tokens[other.segments == 1][:-1] == 59).all()


@pytest.mark.parametrize("sees", [Causal(), Backward(), Prefix(3)])
def test_what_the_first_token_does_not_see_is_not_judged(vocab: Vocab, sees: Visibility) -> None:
    example = replace(pair(vocab, 4, 6), sees=sees)
    assert Pair().corrupt(example, World(vocab, foreign), rng(0)) is example


@pytest.mark.parametrize(
    ("settings", "segments", "documents", "says"),
    [
        ({}, 1, 5, r"the backbone has 1; set backbone\.segments: 2"),
        ({"negatives": ["swapped"]}, 0, 5, r"the backbone has 0; set backbone\.segments: 2"),
        ({}, 2, 1, r"another document, but the corpus has 1; .* take `negatives: \[swapped\]`"),
        ({"negatives": ["random", "random"]}, 2, 5, "'random' stands there twice"),
    ],
)
def test_what_cannot_work_is_refused_when_planning(
    vocab: Vocab, tiny: Backbone, settings: dict[str, object], segments: int, documents: int, says: str
) -> None:
    world = World(vocab, foreign, documents=documents)
    with pytest.raises(BadInput, match=rf"^objectives\.0\.pair: .*{says}"):
        planned([Pair.model_validate(settings)], tiny.model_copy(update={"segments": segments}), world)
    one = World(vocab, foreign, documents=1)
    assert planned([Pair(negatives=("swapped",))], tiny, one) == {"pair": SequenceHead(outputs=2, dropout=0.0)}
    three = planned([Pair(negatives=("swapped", "random"))], tiny, World(vocab, foreign, documents=2))
    assert three == {"pair": SequenceHead(outputs=3, dropout=0.0)}


def test_b_is_drawn_again_when_it_comes_from_the_same_document(vocab: Vocab) -> None:
    def mostly_own(length: int, draw: Rng) -> Passage:
        return replace(foreign(length, draw), document=1 if draw.random() < 0.5 else 2)

    def documents(passage: Draw) -> list[int]:
        seen: list[int] = []

        def spy(length: int, draw: Rng) -> Passage:
            seen.append((found := passage(length, draw)).document)
            return found

        Pair(rate=1.0).corrupt(pair(vocab, 4, 6), World(vocab, spy), rng(len(seen)))
        return seen

    found = [documents(mostly_own) for _ in range(3)]
    assert all(seen[-1] == 2 and set(seen[:-1]) <= {1} for seen in found)
    assert len(documents(lambda n, draw: replace(foreign(n, draw), document=1))) == 10  # then it gives up


def test_it_must_come_before_what_asks_for_tokens(vocab: Vocab) -> None:
    world = World(vocab, foreign)
    asked = Mlm().corrupt(pair(vocab, 4, 6), world, rng(0))
    with pytest.raises(BadInput, match="list it before them"):
        Pair().corrupt(asked, world, rng(1))


def test_it_needs_a_corpus(vocab: Vocab) -> None:
    with pytest.raises(ValueError, match="needs a corpus"):
        Pair(rate=1.0).corrupt(pair(vocab, 4, 6), World(vocab), rng(0))
