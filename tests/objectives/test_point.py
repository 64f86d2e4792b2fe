"""What a pointer is taught: positions of first pieces, read as their tokens, behind what is only shown.

Legend: L positions of a review, T columns.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.core.answers import Inexpressible, Item
from quire.core.errors import BadInput, Ignored
from quire.core.example import IGNORE, Example, Passage, Vocab, World
from quire.core.heads import PointerHead
from quire.core.opinions import POLARITIES, Opinion
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.core.subtasks import SUBTASKS, Question, Subtask, Told, questions
from quire.objectives.point import Point
from quire.text.absa import read_reviews
from quire.text.problems import Problem, items
from quire.train.start import Base

VOCAB = Vocab(size=60, pad=0, unk=1, cls=2, sep=3, mask=4, special=frozenset(range(5)))
WORLD = World(VOCAB, length=40)
PIECES = (10, 20, 21, 30, 31, 32, 40, 50)
"""Five words: of one piece, two, three, one and one."""
REVIEW = Item((Passage(np.array(PIECES), np.ones(8, dtype=bool)),), np.array([0, 1, 3, 6, 7]))
POS, NEG, NEU = 1, 2, 3
WINE, GOOD = (1, 3), (4, 5)


def taught(task: Point, question: Question, *said: Opinion) -> tuple[list[int], list[int]]:
    """What the decoder reads at each place, and the column that is asked for there."""
    target = task.format(REVIEW, question, said, WORLD).target
    assert target is not None
    return target.tokens.tolist(), target.answers["point"].tolist()


def test_a_run_ends_with_the_first_piece_of_its_last_word() -> None:
    read, asked = taught(Point(), Question("triplet"), Opinion(WINE, GOOD, "negative"))
    first = 1 + 3 + 1  # behind the end, three labels and [CLS]
    assert asked == [first + 1, first + 3, first + 7, first + 7, NEG, 0]
    assert read == [VOCAB.sep, 20, 30, 50, 50, 60 + NEG - 1]


def test_an_aspect_that_is_asked_about_is_shown_and_not_asked_for() -> None:
    said = Opinion(WINE, GOOD, "neutral")
    read, asked = taught(Point(subtasks=("alsc",)), Question("alsc", WINE), said)
    assert (read, asked) == ([VOCAB.sep, 20, 30, 60 + NEU - 1], [IGNORE, IGNORE, NEU, 0])
    read, asked = taught(Point(subtasks=("aoe",)), Question("aoe", WINE), said)
    assert (read, asked) == ([VOCAB.sep, 20, 30, 50, 50], [IGNORE, IGNORE, 9, 9, 0])


def test_one_of_several_subtasks_is_named_first() -> None:
    task = Point(subtasks=("oe", "alsc"))
    assert task.labels == ("positive", "negative", "neutral", "oe", "alsc")
    read, asked = taught(task, Question("alsc", WINE), Opinion(WINE, None, "positive"))
    assert (read, asked) == ([VOCAB.sep, 64, 20, 30, 60], [IGNORE, IGNORE, IGNORE, POS, 0])
    assert taught(task, Question("oe"))[1] == [IGNORE, 0]


def test_without_an_answer_the_search_goes_on_from_what_is_shown() -> None:
    task, question = Point(subtasks=("oe", "aoe")), Question("aoe", WINE)
    begun, whole = (task.format(REVIEW, question, said, WORLD).target for said in (None, [Opinion(WINE, GOOD)]))
    assert begun is not None
    assert whole is not None
    assert begun.tokens.tolist() == whole.tokens[: len(begun)].tolist()
    assert len(begun) == 4
    assert (begun.answers["point"] == IGNORE).all()


def test_t5_reads_no_opening_and_writes_from_its_padding() -> None:
    task = Point(subtasks=("ae",), opening=False, start="pad")
    made = task.format(REVIEW, Question("ae"), [Opinion((0, 1))], WORLD)
    assert made.tokens.tolist() == [*PIECES, VOCAB.sep]
    assert made.target is not None
    assert (made.target.tokens.tolist(), made.target.answers["point"].tolist()) == ([VOCAB.pad, 10, 10], [1, 1, 0])


def columns(example: Example) -> list[int]:
    assert example.target is not None
    answers = example.target.answers["point"]
    return [int(column) for column in answers[answers != IGNORE]]


@st.composite
def opinions(draw: st.DrawFn) -> list[Opinion]:
    runs = st.tuples(st.integers(0, 4), st.integers(1, 3)).map(lambda run: (run[0], min(run[0] + run[1], 5)))
    return draw(
        st.lists(st.builds(Opinion, st.none() | runs, st.none() | runs, st.sampled_from(POLARITIES)), max_size=4)
    )


@given(st.lists(st.sampled_from(SUBTASKS), min_size=1, max_size=7, unique=True), opinions())
def test_what_is_formatted_is_decoded(subtasks: list[Subtask], said: list[Opinion]) -> None:
    task = Point(subtasks=tuple(subtasks), polarities=POLARITIES)
    for question in (q for subtask in subtasks for q in questions(subtask, said)):
        if question.once and len(question.answer(said)) > 1:
            with pytest.raises(Inexpressible, match="polarities"):
                task.format(REVIEW, question, said, WORLD)
            continue
        made = task.format(REVIEW, question, said, WORLD)
        assert task.decode(REVIEW, question, columns(made), WORLD) == Told(question.answer(said))


def test_a_review_that_is_too_long_is_cut_and_what_was_cut_is_not_pointed_at() -> None:
    world = World(VOCAB, length=9)  # [CLS], seven pieces, [SEP]
    made = Point().format(REVIEW, Question("triplet"), [], world)
    assert made.tokens.tolist() == [2, *PIECES[:7], 3]
    assert Point().columns(REVIEW, world).first_W.tolist() == [1, 2, 4, 7, -1]
    with pytest.raises(Inexpressible, match="word 4 begins with no token"):
        Point().format(REVIEW, Question("triplet"), [Opinion(WINE, GOOD, "positive")], world)
    with pytest.raises(Inexpressible, match="11 columns, and there is room for 9"):
        Point().format(REVIEW, Question("triplet"), [Opinion(WINE, (w, w + 1), "positive") for w in (0, 3)], world)


def spelled(text: str) -> Passage:
    tokens = np.array([5 + len(word) for word in text.split()], dtype=np.int64)
    return Passage(tokens, np.ones(len(tokens), dtype=bool))


def test_the_head_knows_labels_by_the_tokens_of_their_names() -> None:
    spec = Backbone(vocab=60, depth=1, decoder=1, width=24, heads=3, ffn=20, positions=40)
    world = World(VOCAB, length=40, spell=spelled)
    head = Point(subtasks=("oe", "alsc"), names={"neutral": "so so"}, embedded=False).parts(spec, world)["point"]
    assert isinstance(head, PointerHead)
    assert head.labels == ((13,), (13,), (7, 7), (12,), (11, 13))
    assert (head.vocab, head.end, head.special, head.embedded) == (60, 3, (2, 3), False)
    only = Point(subtasks=("pair",)).parts(spec, world)["point"]
    assert isinstance(only, PointerHead)
    assert only.labels == ()


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda: Point().parts(Backbone(decoder=None), WORLD), "the backbone has none: set backbone.decoder"),
        (lambda: Point().parts(Backbone(decoder=1, positions=30), WORLD), "length 40: the backbone has 30 positions"),
        (lambda: Point().parts(Backbone(decoder=1), WORLD), "'positive' is called 'positive', which has no tokens"),
        (lambda: Point().corrupt(Example.of(VOCAB), WORLD, rng()), "wants reviews with what they say"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(act: Callable[[], object], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        act()


def test_a_subtask_that_is_not_learnt_is_not_asked() -> None:
    with pytest.raises(ValueError, match="pair is not one of the subtasks triplet"):
        Point().format(REVIEW, Question("pair"), [], WORLD)


RELEASES = Path(os.environ.get("QUIRE_DATA", "nowhere")) / "absa" / "bartabsa"


@pytest.mark.data("absa")
@pytest.mark.skipif(not RELEASES.is_dir(), reason="needs $QUIRE_DATA/absa")
@pytest.mark.parametrize("family", ["wang", "fan", "penga", "pengb"])
def test_every_release_survives_the_way_there_and_back(family: str) -> None:
    """For every subtask that a review has an answer to, word by word, and test files through MiniLM's tokens too."""
    tokenizer = Base.load("minilm").tokenizer
    task, world, asked = Point(subtasks=SUBTASKS, polarities=POLARITIES), tokenizer.world(length=128), 0
    for path in sorted((RELEASES / family).glob("*/*.json.gz")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Ignored)
            reviews = read_reviews(path)
        posed = items([Problem((r.text,), None, r.where, r.places) for r in reviews], tokenizer)
        for review, item in zip(reviews, posed, strict=True):
            for question in (q for subtask in SUBTASKS for q in questions(subtask, review.opinions)):
                answer = question.answer(review.opinions)
                assert question.decode(question.encode(answer)) == Told(answer), review.where
                if path.name.startswith("test"):
                    made = task.format(item, question, answer, world)
                    assert task.decode(item, question, columns(made), world) == Told(answer), review.where
                asked += len(answer)
    assert asked > 10_000
