"""A small model learns what a toy language says, and answers reviews, free and within the grammar.

Legend: T columns.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from quire import recipe
from quire.core.errors import BadInput, Stopped
from quire.core.opinions import POLARITIES, Opinion, Polarity, Review
from quire.core.random import rng
from quire.core.search import Search
from quire.core.spec import Backbone
from quire.core.subtasks import SUBTASKS, Question, Subtask, Told
from quire.nn.pointing import PointerScores
from quire.objectives.point import Point
from quire.predict.pointer import Asked, Pointer, Pointing
from quire.text.tokenizers import Tokenizer
from quire.train.feed import Fixed
from quire.train.loop import Job, fit, planned
from quire.train.optim import TrainPlan
from quire.train.signals import StopRequest
from quire.train.start import Base, started, with_decoder
from quire.train.weights import ModelFiles, read_model

ASPECTS = ("wine list", "food", "service", "beer")
WORDS: dict[str, Polarity] = {"superb": "positive", "not bad": "positive", "awful": "negative", "middling": "neutral"}
LENGTH = 48


def review(*said: tuple[str, str]) -> Review:
    """the A is O , the A is O ..."""
    words, opinions = list[str](), list[Opinion]()
    for aspect, opinion in said:
        words += ["the", *aspect.split(), "is", *opinion.split(), ","]
        end = len(words) - 1
        start = end - len(opinion.split())
        opinions.append(Opinion((start - 1 - len(aspect.split()), start - 1), (start, end), WORDS[opinion]))
    return Review.of_words(words[:-1], opinions, " ".join(words))


def reviews(count: int, *key: str) -> list[Review]:
    """Of one aspect or two different ones: a decoder reads what stands at a position, and equal words are the same."""
    draw, opinions = rng("reviews", *key), [*WORDS]

    def drawn() -> Review:
        aspects = draw.permutation(len(ASPECTS))[: draw.integers(1, 3)]
        return review(*((ASPECTS[aspect], opinions[draw.integers(len(opinions))]) for aspect in aspects))

    return [drawn() for _ in range(count)]


@cache
def tokenizer() -> Tokenizer:
    """In which "superb" and others are several pieces."""
    return Tokenizer.train([r.text for r in reviews(50, "tokens")], kind="wordpiece", size=74, lowercase=True)


SPEC = Backbone(vocab=74, depth=2, decoder=2, width=48, heads=4, ffn=96, positions=64, segments=0, dropout=0.0,
                attention_dropout=0.0)  # fmt: skip


def begun(
    task: Point,
    files: ModelFiles | None = None,
    *,
    tokens: Tokenizer | None = None,
    grammar: bool = True,
    beam: int = 1,
) -> Pointer:
    tokens = tokens or tokenizer()
    files = files or ModelFiles(SPEC, {}, {})
    files = replace(
        files, backbone=files.backbone.model_copy(update={"vocab": max(files.backbone.vocab, tokens.vocab.size)})
    )
    plan = Pointing(task=task, length=LENGTH, search=Search(limit=24, beam=beam), grammar=grammar)
    parts = planned([task], files.backbone, tokens.world(length=LENGTH))
    return Pointer(started(files, parts, seed=1), tokens, plan)


def job(pointer: Pointer, learnt: Sequence[Review], *, steps: int, lr: float = 2e-3, every: int = 1000) -> Job:
    asked = [one for subtask in pointer.plan.task.subtasks for one in pointer.asked(learnt, subtask)]
    examples, lost = pointer.examples(asked)
    assert not lost
    plan = TrainPlan(steps=steps, batch=16, lr=lr, warmup=10, checkpoint_every=every)
    return Job(Fixed(examples, "toy"), (pointer.plan.task,), pointer.world, plan, seed=2)


def right(pointer: Pointer, subtask: Subtask, tried: Sequence[Review]) -> float:
    """The share of questions that are answered whole and without an invalid piece."""
    asked = pointer.asked(tried, subtask)
    told = pointer.told(asked)
    hits = [
        t.opinions == a.question.answer(a.review.opinions) and not t.invalid for a, t in zip(asked, told, strict=True)
    ]
    return sum(hits) / len(hits)


@cache
def learnt(subtasks: tuple[Subtask, ...]) -> Pointer:
    pointer = begun(Point(subtasks=subtasks, dropout=0.0))
    fit(pointer.model, job(pointer, reviews(300, "train"), steps=120 if len(subtasks) == 1 else 250, lr=5e-3))
    return pointer


def with_plan(pointer: Pointer, **changes: object) -> Pointer:
    return Pointer(pointer.model, pointer.tokenizer, pointer.plan.model_copy(update=changes))


def test_words_of_the_toy_language_have_several_pieces() -> None:
    assert any(not start for passage in tokenizer().encode(WORDS) for start in passage.starts.tolist())


def test_triplets_are_learnt_and_told_free_greedily_and_in_a_beam() -> None:
    pointer, tried = learnt(("triplet",)), reviews(60, "test")
    assert right(pointer, "triplet", tried) > 0.9
    assert right(with_plan(pointer, grammar=False), "triplet", tried) > 0.9
    assert right(with_plan(pointer, search=Search(limit=24, beam=4, length_penalty=1.0)), "triplet", tried) > 0.9


def test_one_model_learns_all_seven() -> None:
    """So small a model takes longer for polarities without their words, and for what is asked about an aspect."""
    pointer, tried = learnt(SUBTASKS), reviews(60, "test")
    found = {subtask: right(pointer, subtask, tried) for subtask in SUBTASKS}
    assert min(found[subtask] for subtask in ("ae", "oe", "pair", "triplet")) > 0.9, found
    assert min(found[subtask] for subtask in ("aesc", "alsc", "aoe")) > 0.5, found


def test_a_text_is_answered_as_a_review() -> None:
    found = learnt(("triplet",))("the wine list is not bad")
    assert [found.quoted(words) for said in found.opinions for words in (said.aspect, said.opinion) if words] == [
        "wine list",
        "not bad",
    ]
    assert found.opinions[0].polarity == "positive"


def test_what_is_asked_about_aspects_is_asked_about_each_that_a_review_holds() -> None:
    pointer = learnt(SUBTASKS)
    text = "the Food is superb , the wine list is awful"
    found = pointer(text, subtask="alsc", aspects=["wine list", "food", "beer", "wine lis"])
    assert [found.quoted(said.aspect) for said in found.opinions if said.aspect] == ["Food", "wine list"]
    truth = [Question("alsc", (1, 2)), Question("alsc", (6, 8))]
    raw = pointer.told([Asked(replace(found, opinions=()), question) for question in truth])
    assert found.opinions == (*raw[0].opinions, *raw[1].opinions)
    both = pointer.reviews(["the beer is awful", text], subtask="aoe", aspects=["beer", "Food"])
    assert [{review.quoted(said.aspect) for said in review.opinions if said.aspect} for review in both] == [
        {"beer"},
        {"Food"},
    ]
    assert both[0].opinions[0].opinion is not None
    assert pointer("İ food is superb", subtask="alsc", aspects=["food"]).opinions[0].aspect == (1, 2)


def test_annotated_aspects_are_asked_about_and_nothing_else_of_them_is_kept() -> None:
    pointer, told = learnt(SUBTASKS), review(("food", "awful"), ("wine list", "superb"))
    told = replace(told, opinions=(*told.opinions, Opinion(category="PLACE"), Opinion(told.opinions[0].aspect)))
    (found,) = pointer.answered([told], subtask="alsc")
    assert [(said.aspect, said.category, said.opinion) for said in found.opinions] == [
        ((1, 2), None, None),
        ((6, 8), None, None),
    ]
    (whole,) = pointer.answered([told], subtask="triplet")
    assert whole.opinions == pointer.told([Asked(told, Question("triplet"))])[0].opinions
    assert whole.places == told.places, "the words are those of the file"


def test_each_opinion_is_answered_once_as_first_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted keeps all that was written."""
    pointer = begun(Point())
    one, two = Opinion((1, 2), (3, 4), "negative"), Opinion((0, 1), (3, 4), "positive")
    written = Told((one, two, one, two))
    monkeypatch.setattr(pointer, "_answers", lambda posed, asked: [written] * len(posed))
    assert pointer("the food is awful").opinions == (one, two)
    asked = pointer.asked(pointer.reviews(["the food is awful"]), "triplet")
    assert pointer.told(asked) == [written]


@pytest.mark.parametrize(
    ("odd", "why"), [(None, "None is no text"), (["a"], r"\['a'\] is no text"), (3, "3 is no text")]
)
def test_what_is_no_text_is_refused(odd: Any, why: str) -> None:
    with pytest.raises(BadInput, match=f"text 1: {why}; give a string, and several to `reviews`") as error:
        learnt(("triplet",))(odd)
    assert "\n" not in str(error.value)
    if not isinstance(odd, list):
        with pytest.raises(BadInput, match="is no list of texts; give a list"):
            learnt(("triplet",)).reviews(odd)
    with pytest.raises(BadInput, match="'food' is no list of texts"):
        learnt(("triplet",)).reviews("food")


def test_who_else_is_asked_does_not_matter() -> None:
    pointer = learnt(SUBTASKS)
    asked = [one for subtask in SUBTASKS for one in pointer.asked(reviews(4, "others"), subtask)]
    assert pointer.told(asked) == [pointer.told([one])[0] for one in asked]


def test_what_knows_nothing_is_valid_within_the_grammar_and_not_without() -> None:
    pointer = begun(Point())
    with torch.no_grad():
        for parameter in pointer.model.parameters():
            parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
        pointer.model.table.weight[pointer.world.vocab.sep] = 0.0  # something else is likelier than the end
    asked = pointer.asked(reviews(40, "random"), "triplet")
    assert all(told.invalid == 0 for told in pointer.told(asked))
    assert sum(told.invalid for told in with_plan(pointer, grammar=False).told(asked)) > 0


SHRUNK = ("bart-base", "transformer-base", "t5-random-spans")


@pytest.mark.parametrize("name", SHRUNK)
def test_it_learns_on_every_encoder_decoder(name: str) -> None:
    backbone = recipe.load(name).shrunk().backbone
    assert backbone
    how = {"opening": False, "start": "pad"} if name.startswith("t5") else {}
    pointer = begun(Point(subtasks=("aesc",), **how), ModelFiles(backbone, {}, {}))
    log = fit(pointer.model, job(pointer, reviews(64, "train"), steps=60, lr=3e-3))
    assert log[-1]["loss"] < 0.5 * log[0]["loss"]
    assert all(told.invalid == 0 for told in pointer.told(pointer.asked(reviews(5, "test"), "aesc")))


def test_a_fresh_decoder_learns_on_a_pretrained_encoder() -> None:
    base = Base.load("minilm")
    pointer = begun(Point(), with_decoder(base.files, 1), tokens=base.tokenizer)
    head, table = pointer.model.heads["point"], base.files.state["backbone.embeddings.tokens.weight"]
    assert isinstance(head, PointerScores)
    assert head.labels is not None
    (positive,) = base.tokenizer.encode(["positive"])
    torch.testing.assert_close(head.labels.weight[0], table[positive.tokens].mean(dim=0))
    log = fit(pointer.model, job(pointer, reviews(16, "train"), steps=12, lr=1e-3))
    assert log[-1]["loss"] < 0.7 * log[0]["loss"]


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    task, train = Point(subtasks=("triplet",)), reviews(32, "train")

    def run(folder: Path, stop_after: int = 0) -> dict[str, torch.Tensor]:
        pointer, stop = begun(task), StopRequest()

        def watch(step: int) -> dict[str, float]:
            stop.reason = "enough" if step == stop_after else ""
            return {}

        fit(pointer.model, job(pointer, train, steps=6, every=2), folder=folder, stop=stop, watch=watch, watch_every=1)
        return pointer.model.state_dict()

    whole = run(tmp_path / "whole")
    with pytest.raises(Stopped):
        run(tmp_path / "parts", stop_after=3)
    again = run(tmp_path / "parts")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_saved_pointer_answers_alike(tmp_path: Path) -> None:
    pointer, tried = learnt(SUBTASKS), reviews(6, "saved")
    pointer.save(tmp_path / "model")
    found = Pointer.of(tmp_path / "model", read_model(tmp_path / "model"))
    assert found.plan == pointer.plan
    for subtask in SUBTASKS:
        assert found.told(found.asked(tried, subtask)) == pointer.told(pointer.asked(tried, subtask))


def test_what_cannot_be_pointed_at_is_told() -> None:
    pointer = begun(Point(subtasks=("triplet", "alsc"), polarities=("positive", "negative")))
    long = review(*[("food", "awful")] * 12)
    dull = review(("food", "middling"))
    twice = replace(dull, opinions=tuple(replace(dull.opinions[0], polarity=p) for p in POLARITIES[:2]))
    _, lost = pointer.examples(
        [Asked(long, Question("triplet")), Asked(dull, Question("triplet")), *pointer.asked([twice], "alsc")]
    )
    assert [why.rpartition(": ")[2] for why in lost] == [
        "word 31 begins with no token that is read",
        "the polarity neutral, which is not one of positive, negative",
        "an aspect with 2 polarities",
    ]


def test_of_what_is_too_long_the_beginning_is_answered() -> None:
    """About an aspect behind it nothing is said; who else is asked still does not matter."""
    pointer, long = learnt(SUBTASKS), review(*[("food", "awful")] * 8, ("beer", "superb"))
    asked = pointer.asked([long], "alsc")
    told = pointer.told(asked)
    assert [len(one.opinions) for one in told] == [1] * 6 + [0] * 3
    assert told[0] == pointer.told(asked[:1])[0]
    assert all(said.aspect is None or said.aspect[0] < 45 for said in pointer(long.text).opinions)
    assert pointer.cut_share([long.text, "the food is awful"]) == 0.5


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(BadInput, match="a decoder points, but the backbone has none"):
        begun(Point(), ModelFiles(SPEC.model_copy(update={"decoder": None}), {}, {}))
    with pytest.raises(BadInput, match=r"asked about an aspect: give some, as in aspects=\['food'\]"):
        learnt(SUBTASKS)("the food is superb", subtask="alsc")
    with pytest.raises(BadInput, match="triplet is asked about whole reviews: leave the aspects out"):
        learnt(("triplet",))("the food is superb", aspects=["food"])
    for odd in ("food", ["food", " "]):
        with pytest.raises(BadInput, match=r"aspects: .* is no list of words; give a list of strings, none blank"):
            learnt(SUBTASKS)("the food is superb", subtask="alsc", aspects=odd)
    with pytest.raises(BadInput, match="the subtask 'pair' was not learnt; ask for triplet"):
        learnt(("triplet",))("the food is superb", subtask="pair")
    with pytest.raises(BadInput, match="text 1: the review has no words"):
        learnt(("triplet",))(" ")
    with pytest.raises(BadInput, match="limit 62: with what stands before it 66 tokens, and the model has 64"):
        with_plan(learnt(("triplet",)), search=Search(limit=62))
    with pytest.raises(ValueError, match="an answer and its end are 2"):
        Pointing(task=Point(subtasks=("alsc",)), length=9, search=Search(limit=1))
    with pytest.raises(ValueError, match=r"no label 'postive'; did you mean 'positive'"):
        Point(names={"postive": "good"})
    with pytest.raises(ValueError, match="never says some columns"):
        Point(smoothing=0.1)
