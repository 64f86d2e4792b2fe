"""Sequence-to-sequence denoising: the survey's rows word for word, and the laws of T5's, BART's and MASS's targets."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quire import recipe
from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Bools, Example, Ints, Passage, Vocab, World
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.core.visibility import Causal
from quire.nn.model import Model, Packed, Step
from quire.noise.rewrite import Mask
from quire.noise.select import Fragment, Select
from quire.objectives import Objective
from quire.objectives.denoise import Denoise
from quire.objectives.mlm import Mlm
from quire.train.feed import Feed, Fixed
from quire.train.loop import planned

WORDS = ["Thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week", "."]
PIECES = ["<pad>", "<unk>", "<cls>", "<sep>", "<M>", *WORDS, "apple", "<Z>", "<Y>", "<X>"]
ID = {piece: i for i, piece in enumerate(PIECES)}
ROW = Vocab(
    size=len(PIECES),
    pad=0,
    unk=1,
    cls=2,
    sep=3,
    mask=4,
    special=frozenset({*range(5), *range(17, 20)}),
    sentinels=(ID["<X>"], ID["<Y>"], ID["<Z>"]),
)


class Hand(Select):
    """Chooses these places."""

    places: tuple[int, ...]

    def choose(self, free: Bools, starts: Bools, rng: Rng) -> Bools:
        return np.isin(np.arange(len(free)), self.places)


def row_of(places: Sequence[int], rewrite: object, write: str, draw: Rng | None = None) -> tuple[str, str]:
    """What is read and what is written of the survey's sentence, as it prints them."""
    settings: dict[str, Any] = {"select": Hand(places=tuple(places)), "rewrite": rewrite, "write": write}
    denoise = Denoise.model_validate({**settings, "opening": False, "start": "pad"})
    text = Passage(np.array([ID[word] for word in WORDS]), np.ones(len(WORDS), dtype=bool))
    made = denoise.corrupt(Example.of(ROW, text), World(ROW, length=16), rng(0) if draw is None else draw)
    assert made.target is not None
    assert made.tokens[-1] == made.target.truth[-1] == ROW.sep
    assert made.target.tokens.tolist() == [ROW.pad, *made.target.truth[:-1].tolist()]
    sides = made.tokens[:-1].tolist(), made.target.truth[:-1].tolist()
    read, written = (" ".join(PIECES[i] for i in side) for side in sides)
    return read, written


ORIGINAL = " ".join(WORDS)
IID, SPANS = (2, 3, 8), (2, 3, 4, 6, 7, 8)


@pytest.mark.parametrize(
    ("places", "rewrite", "write", "inputs", "targets"),
    [
        (range(4, 11), "drop", "hidden", "Thank you for inviting", "me to your party last week ."),
        (
            IID,
            {"mask": {"mask": 1.0, "random": 0.0}},
            "text",
            "Thank you <M> <M> me to your party <M> week .",
            ORIGINAL,
        ),
        (IID, "sentinels", "sentinels", "Thank you <X> me to your party <Y> week .", "<X> for inviting <Y> last <Z>"),
        (IID, "drop", "hidden", "Thank you me to your party week .", "for inviting last"),
        (
            SPANS,
            "sentinels",
            "sentinels",
            "Thank you <X> to <Y> week .",
            "<X> for inviting me <Y> your party last <Z>",
        ),
    ],
)
def test_the_rows_of_the_survey(places: Sequence[int], rewrite: object, write: str, inputs: str, targets: str) -> None:
    assert row_of(places, rewrite, write) == (inputs, targets)


def test_the_row_of_bert_has_a_random_word() -> None:
    """Two masks and "apple": what some generator draws."""
    rewrite = {"mask": {"mask": 0.9, "random": 0.1, "random_from": "ordinary"}}
    rows = [row_of(IID, rewrite, "text", rng("row", i)) for i in range(2000)]
    assert ("Thank you <M> <M> me to your party apple week .", ORIGINAL) in rows
    assert sum(read.split()[2] == "for" for read, _ in rows) < 60, "T5 keeps a chosen token by chance alone"


class Told(np.random.Generator):
    """Draws what it was told."""

    def __init__(self, values: Ints) -> None:
        super().__init__(np.random.PCG64(0))
        self.values = values

    def random(self, *size: Any, **options: Any) -> Any:
        return self.values / len(self.values)


def test_the_row_of_deshuffling() -> None:
    """The survey's row, as the paper's, has a word "fun" that is not in the sentence: it is left out here."""
    printed = "party me for your to . last fun you inviting week Thank"
    order = np.array([WORDS.index(word) for word in printed.split() if word != "fun"])
    read, written = row_of(range(len(WORDS)), {"shuffle": 512}, "text", Told(order.argsort()))
    assert read == printed.replace("fun ", "")
    assert written == ORIGINAL
    assert "fun" not in ORIGINAL


VOCAB = Vocab(
    size=160,
    pad=0,
    unk=1,
    cls=2,
    sep=3,
    mask=4,
    special=frozenset([*range(5), *range(100, 160)]),
    sentinels=tuple(range(159, 99, -1)),
    stops=frozenset({5}),
)
WORLD = World(VOCAB, length=64)
TEXTS = st.tuples(st.integers(1, 62), st.integers(0, 2**20))
RECIPES = [name for name in recipe.names() if name.startswith(("t5", "bart", "mass"))]
SYSTEMS = {name: recipe.load(name).objectives[0] for name in RECIPES}
every = pytest.mark.parametrize("name", RECIPES)


def text(length: int, key: int) -> Example:
    draw = rng(key, length)
    return Example.of(VOCAB, Passage(draw.integers(5, 100, size=length), draw.random(length) < 0.7, document=7))


def made_of(denoise: Objective, example: Example, key: int) -> tuple[Ints, Example]:
    """What is read, without the specials around it, and what is written."""
    assert isinstance(denoise, Denoise)
    made = denoise.corrupt(example, WORLD, rng("made", key))
    assert made.target is not None
    return made.tokens[int(denoise.opening) : -1], made.target


@every
@given(TEXTS)
@settings(max_examples=25)
def test_contract(name: str, drawn: tuple[int, int]) -> None:
    denoise, example = SYSTEMS[name], text(*drawn)
    assert isinstance(denoise, Denoise)
    before = example.tokens.copy()
    made, again = (denoise.corrupt(example, WORLD, rng(3, drawn[1])) for _ in range(2))
    assert (made.tokens == again.tokens).all()
    assert (example.tokens == before).all()
    assert not example.answers
    assert made.document == 7
    assert not made.answers
    assert not made.free.any()
    assert made.tokens[-1] == VOCAB.sep
    assert (made.tokens[0] == VOCAB.cls) == denoise.opening
    target = made.target
    assert target is not None
    assert 1 <= len(target) <= WORLD.length
    assert len(made) <= WORLD.length
    assert target.sees == Causal()
    assert (target.answers[denoise.slot] == target.truth).all()
    if denoise.write != "fragment":
        assert target.truth[-1] == VOCAB.sep
        assert target.tokens[0] == {"sep": VOCAB.sep, "pad": VOCAB.pad}[denoise.start]
        assert (target.tokens[1:] == target.truth[:-1]).all()
    if denoise.write == "text":
        assert (target.truth[:-1] == example.tokens[1:-1]).all()


@given(TEXTS)
def test_spans_at_their_marks_give_the_text_again(drawn: tuple[int, int]) -> None:
    for name in ("t5-random-spans", "t5-iid-spans"):
        example = text(*drawn)
        read, target = made_of(SYSTEMS[name], example, drawn[1])
        written = target.truth[:-1].tolist()
        places = [at for at, token in enumerate(written) if token in VOCAB.sentinels] + [len(written)]
        spans = {written[a]: written[a + 1 : b] for a, b in pairwise(places)}
        assert list(spans) == list(VOCAB.sentinels[: len(spans)])
        restored = [token for shown in read.tolist() for token in spans.get(shown, [shown])]
        assert restored == example.tokens[1:-1].tolist()
        closed = len(spans) - np.isin(read, VOCAB.sentinels).sum()
        assert closed == (read[-1] not in VOCAB.sentinels), "one more mark where the text ends visible"


@given(TEXTS)
def test_a_prefix_and_what_is_written_are_the_text(drawn: tuple[int, int]) -> None:
    example = text(*drawn)
    read, target = made_of(SYSTEMS["t5-prefix-lm"], example, drawn[1])
    assert len(read) >= 1
    assert [*read.tolist(), *target.truth[:-1].tolist()] == example.tokens[1:-1].tolist()


@given(TEXTS)
def test_what_stays_and_what_is_dropped_are_all_tokens(drawn: tuple[int, int]) -> None:
    example = text(*drawn)
    whole = Counter(example.tokens[1:-1].tolist())
    read, target = made_of(SYSTEMS["t5-iid-drop"], example, drawn[1])
    assert Counter(read.tolist()) + Counter(target.truth[:-1].tolist()) == whole
    shuffled, _ = made_of(SYSTEMS["t5-deshuffling"], example, drawn[1])
    assert Counter(shuffled.tolist()) == whole


def test_an_empty_span_is_a_mark_with_nothing_behind_it() -> None:
    class Gap(Hand):
        def spans(self, free: Bools, starts: Bools, rng: Rng) -> Ints:
            return np.array([[0, 2], [2, 2], [4, 5]])

    denoise = Denoise.model_validate({"select": Gap(places=(0, 1, 4)), "rewrite": "sentinels", "write": "sentinels"})
    example = text(6, 0)
    a, b, c, d, e, f = example.tokens[1:-1].tolist()
    read, target = made_of(denoise, example, 0)
    assert read.tolist() == [159, 158, c, d, 157, f]
    assert target.truth.tolist() == [159, a, b, 158, 157, e, 156, VOCAB.sep]


@given(TEXTS)
def test_a_fragment_keeps_its_positions(drawn: tuple[int, int]) -> None:
    example = text(*drawn)
    made = Denoise(select=Fragment(), rewrite=Mask(mask=1, random=0), write="fragment").corrupt(
        example, WORLD, rng(drawn[1])
    )
    target, hidden = made.target, made.hidden
    assert target is not None
    assert hidden is not None
    assert target.positions is not None
    masked = np.flatnonzero(made.tokens == VOCAB.mask)
    assert (masked == target.positions + 1).all(), "what is asked for is what is masked"
    assert (np.flatnonzero(hidden) == masked).all()
    assert (target.truth == example.tokens[masked]).all()
    first = [VOCAB.sep] if masked[0] == 1 else example.tokens[masked[:1] - 1].tolist()
    assert target.tokens.tolist() == [*first, *example.tokens[masked[1:] - 1].tolist()]


def test_the_whole_text_as_a_fragment_is_a_language_model() -> None:
    example = text(9, 3)
    made = Denoise(select=Fragment(rate=1), rewrite=Mask(), write="fragment").corrupt(example, WORLD, rng(0))
    assert made.target is not None
    assert made.target.tokens.tolist() == [VOCAB.sep, *example.tokens[1:-2].tolist()]
    assert made.target.truth.tolist() == example.tokens[1:-1].tolist()
    assert made.target.positions is not None
    assert made.target.positions.tolist() == list(range(9))


def test_random_and_kept_tokens_of_a_fragment_are_looked_at() -> None:
    """MASS hides from its decoder what is shown as a mask: eight in ten."""
    made = [SYSTEMS["mass"].corrupt(text(62, i), WORLD, rng("mass", i)) for i in range(60)]
    hidden = sum(int(example.hidden.sum()) for example in made if example.hidden is not None)
    assert 0.75 < hidden / (60 * 31) < 0.85


def test_sentences_are_damaged_in_their_new_order_and_asked_for_in_the_old() -> None:
    tokens = np.where(np.arange(40) % 5 == 4, 5, np.arange(40) + 10)  # eight sentences
    example = Example.of(VOCAB, Passage(tokens, np.ones(40, dtype=bool)))
    order: dict[str, Any] = {"reorder": ["sentences"]}
    moved, _ = made_of(Denoise.model_validate({**order, "select": {"bernoulli": 0}}), example, 4)
    assert moved.tolist() != tokens.tolist()
    assert sorted(moved.reshape(8, 5).tolist()) == sorted(tokens.reshape(8, 5).tolist())
    dropped = Denoise.model_validate({**order, "select": Hand(places=(0,)), "rewrite": "drop"})
    read, target = made_of(dropped, example, 4)
    assert read.tolist() == moved[1:].tolist()
    assert (target.truth[:-1] == tokens).all()


def test_a_rotation_comes_last() -> None:
    """The mask of the first word goes round with the text."""
    hand: dict[str, Any] = {"select": Hand(places=(0, 1)), "rewrite": "infill"}
    plain, _ = made_of(Denoise.model_validate(hand), text(20, 2), 0)
    turned = {
        tuple(made_of(Denoise.model_validate({**hand, "reorder": ["rotation"]}), text(20, 2), key)[0].tolist())
        for key in range(60)
    }
    assert turned <= {tuple(np.roll(plain, k).tolist()) for k in range(19)}
    assert len(turned) > 9


@pytest.mark.parametrize("length", [0, 1, 2])
@every
def test_a_short_text_asks_for_something(name: str, length: int) -> None:
    example = text(length, 5) if length else Example.of(VOCAB)
    for key in range(5):
        _, target = made_of(SYSTEMS[name], example, key)
        assert (target.answers["denoise"] != IGNORE).any()


def test_a_vocabulary_without_a_token_for_beginnings_has_none_before_the_text() -> None:
    vocab = replace(VOCAB, cls=0)
    example = Example.of(vocab, Passage(np.arange(10, 30), np.ones(20, dtype=bool)))
    still = Denoise.model_validate({"select": {"bernoulli": 0}})
    made = still.corrupt(example, World(vocab, length=64), rng(0))
    assert made.tokens.tolist() == example.tokens.tolist() == [*range(10, 30), vocab.sep]
    assert made.target is not None
    assert made.target.truth.tolist() == example.tokens.tolist()


def test_what_has_no_mark_or_no_room_is_left_alone() -> None:
    few = replace(VOCAB, sentinels=VOCAB.sentinels[:25])
    often = Denoise.model_validate({"select": Hand(places=tuple(range(1, 62, 2))), "rewrite": "sentinels"})
    denoise = often.model_copy(update={"write": "sentinels"})
    made = denoise.corrupt(text(62, 0), World(few, length=64), rng(0))
    assert np.isin(made.tokens, few.sentinels).sum() == 24
    assert made.target is not None
    assert made.target.truth[-2] == few.sentinels[24]
    with pytest.raises(BadInput, match="hides 31 spans of a text of 62 tokens, but there are marks for 3"):
        denoise.corrupt(text(62, 0), World(replace(VOCAB, sentinels=VOCAB.sentinels[:4]), length=64), rng(0))
    short = denoise.corrupt(text(62, 0), World(VOCAB, length=50), rng(0))
    assert short.target is not None
    assert len(short.target) == 50
    assert np.isin(short.tokens, VOCAB.sentinels).sum() == 24


def test_insertions_that_have_no_room_are_left_out() -> None:
    denoise = Denoise.model_validate({"select": {"poisson": {"rate": 0.3, "mean": 0.1}}})
    for key in range(10):
        assert len(denoise.corrupt(text(62, key), WORLD, rng(key))) == 64
        assert len(denoise.corrupt(text(10, key), WORLD, rng(key))) > 12


def test_both_sides_are_in_the_language_of_the_text() -> None:
    example = text(9, 0)
    made = SYSTEMS["mass"].corrupt(replace(example, languages=np.full(len(example), 1)), WORLD, rng(0))
    assert made.languages is not None
    assert made.target is not None
    assert made.target.languages is not None
    assert set(made.languages) == set(made.target.languages) == {1}
    both = replace(example, languages=np.arange(len(example)) % 2)
    with pytest.raises(BadInput, match=r"texts of one language each: take data\.shape streams"):
        SYSTEMS["mass"].corrupt(both, WORLD, rng(0))


BODY = Backbone(vocab=160, depth=1, decoder=1, width=16, heads=2, ffn=16, positions=64, dropout=0, attention_dropout=0)


@pytest.mark.parametrize(
    ("fields", "backbone", "world", "says"),
    [
        ({}, {"decoder": None}, WORLD, "objectives.0.denoise: a decoder writes, but .*: set backbone.decoder to"),
        ({}, {"positions": 40}, WORLD, "up to 64 tokens, the backbone 40 positions: lower data.length, or raise"),
        ({"rewrite": "sentinels"}, {}, World(replace(VOCAB, sentinels=())), "no sentinels: set data.tokenizer"),
        ({"write": "sentinels"}, {}, World(replace(VOCAB, sentinels=())), "no sentinels: set data.tokenizer"),
    ],
)
def test_what_cannot_be_done_is_told(fields: dict[str, Any], backbone: dict[str, Any], world: World, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        planned(
            [Denoise.model_validate(fields)],
            BODY.model_copy(update=backbone),
            replace(world, length=64),
        )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("order", [(Denoise(), Mlm()), (Mlm(), Denoise())])
def test_no_other_objective_may_stand_beside_it(order: tuple[Objective, ...]) -> None:
    with pytest.raises(BadInput, match="denoise writes the texts anew, so that no other can ask; list it alone"):
        Feed(Fixed([text(9, 0)], "x"), order, WORLD, batch=1, seed=0)


def test_texts_with_an_order_of_their_own_are_refused() -> None:
    with pytest.raises(BadInput, match=r"texts that see all of themselves: take another data\.shape"):
        Denoise().corrupt(replace(text(9, 0), sees=Causal()), WORLD, rng(0))


@pytest.mark.parametrize("fields", [{"rewrite": "infill"}, {"rewrite": "mask", "reorder": ["rotation"]}])
def test_a_fragment_that_moves_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="write fragment: tokens must stay in their places"):
        Denoise.model_validate({"write": "fragment", **fields})


def losses(denoise: Denoise, examples: list[Example], score: Callable[[Denoise, Step], Any]) -> float:
    model = Model(BODY.model_copy(update={"init_std": 0.3}), denoise.parts(BODY, WORLD), seed=1).eval()
    with torch.no_grad():
        return float(score(denoise, Step(model, Packed(Batch.pack(examples)))))


def test_smoothing_asks_a_share_of_all_tokens_alike() -> None:
    examples = [Denoise().corrupt(text(9, i), WORLD, rng(i)) for i in range(3)]

    def spread(denoise: Denoise, step: Step) -> Any:
        scores = step.target.logits(denoise.slot, head=denoise.head)
        return 0.9 * denoise.loss(step) - 0.1 * scores.log_softmax(dim=-1).mean()

    expected = losses(Denoise(), examples, spread)
    assert losses(Denoise(smoothing=0.1), examples, Denoise.loss) == pytest.approx(expected, rel=1e-5)
    told = losses(Denoise(smoothing=0.1), examples, lambda denoise, step: denoise.health(step)["nats"])
    assert told == pytest.approx(losses(Denoise(), examples, Denoise.loss), rel=1e-5)
