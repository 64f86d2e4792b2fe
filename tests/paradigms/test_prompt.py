"""The gap in a template, the words that fill it, and what an empty text says by itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from quire.core.answers import Item
from quire.core.config import parse
from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Passage, Vocab, World
from quire.core.spec import Backbone
from quire.nn.model import Model, Packed, Step
from quire.objectives.mlm import Mlm
from quire.paradigms.prompt import Prompt
from quire.train.evaluate import said
from quire.train.loop import planned

LABELS = ("num", "hum", "loc")
WORDS = {"num": "number", "hum": "human", "loc": "place"}


def text(*tokens: int) -> Passage:
    return Passage(np.array(tokens, dtype=np.int64), np.ones(len(tokens), dtype=bool))


def prompt(**fields: Any) -> Prompt:
    return Prompt.model_validate({"labels": LABELS, "words": WORDS, **fields})


@pytest.fixture
def model(world: World, tiny: Backbone) -> Model:
    spec = tiny.model_copy(update={"init_std": 0.3})
    return Model(spec, planned([prompt()], spec, world), seed=3).eval()


def test_the_template_is_filled(world: World) -> None:
    it, was, stop, a = (int(world.spelled(word).tokens[0]) for word in ("It", "was", ".", "and"))
    (example,) = prompt().format(Item((text(7, 8),)), "hum", world)
    assert example.tokens.tolist() == [2, 7, 8, it, was, 4, stop, 3]
    assert example.answers["prompt"].tolist() == [*[IGNORE] * 5, 1, IGNORE, IGNORE]
    pair = Item((text(7, 8), text(9)))
    (example,) = prompt(template="{text} {mask} and {pair}").format(pair, None, world)
    assert example.tokens.tolist() == [2, 7, 8, 4, a, 9, 3]
    (example,) = prompt().format(pair, None, world)
    assert example.tokens.tolist() == [2, 7, 8, 9, it, was, 4, stop, 3], "without {pair} it is all of them"


def test_probabilities_are_a_softmax_over_the_words_alone(world: World, model: Model) -> None:
    task, item = prompt(), Item((text(7, 8, 9),))
    (example,) = task.format(item, "loc", world)
    step = Step(model, Packed(Batch.pack([example])))
    ids = [int(world.spelled(WORDS[label]).tokens[0]) for label in LABELS]
    scores = step.scores("mlm", torch.tensor([6]))[0, ids]
    (row,) = said(model, task, [example])
    torch.testing.assert_close(torch.from_numpy(row), scores.softmax(0).detach())
    assert float(task.loss(step).detach()) == pytest.approx(-np.log(row[2]), rel=1e-5)


def test_permuting_the_verbaliser_permutes_the_probabilities(world: World, tiny: Backbone, model: Model) -> None:
    turned = prompt(words={"num": "human", "hum": "place", "loc": "number"})
    other = Model(model.spec, planned([turned], model.spec, world), seed=3).eval()
    item = Item((text(7, 8, 9),))
    (one,) = said(model, prompt(), prompt().format(item, None, world))
    (two,) = said(other, turned, turned.format(item, None, world))
    np.testing.assert_allclose(two, one[[1, 2, 0]], rtol=1e-5)
    assert one.std() > 0.01


def test_what_an_empty_text_says_is_divided_out(world: World, model: Model) -> None:
    task, plain = prompt(calibrate=True), prompt()
    empty, item = Item((text(),)), Item((text(7, 8, 9),))
    biased = said(model, plain, plain.format(empty, None, world))[0]
    assert biased.max() - biased.min() > 0.05, "else there is nothing to divide out"
    found = task.probabilities(said(model, task, task.format(empty, None, world)))
    np.testing.assert_allclose(found, 1 / 3, rtol=1e-5)
    shares = said(model, plain, plain.format(item, None, world))[0] / biased
    found = task.probabilities(said(model, task, task.format(item, None, world)))
    np.testing.assert_allclose(found, shares / shares.sum(), rtol=1e-4)
    assert len(task.format(item, "hum", world)) == 1, "nothing is learnt from an empty text"


def test_the_head_is_that_of_mlm(world: World, tiny: Backbone) -> None:
    parts = planned([Mlm(), prompt()], tiny, world)
    assert parts["mlm"] == planned([Mlm()], tiny, world)["mlm"]
    model = Model(tiny, parts)
    assert not [*model.heads["prompt"].parameters()]


def test_a_text_has_the_room_that_the_template_leaves(world: World) -> None:
    for task in (prompt(), prompt(template="{mask} {text}")):
        item = Item((text(*[9] * task.room(Item((text(),)), world)),))
        (example,) = task.format(item, None, world)
        assert len(example) == world.length


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"template": "{text} It was ."}, "template: {mask} must be there once, found 0 times"),
        ({"template": "{mask} {mask} {text}"}, "template: {mask} must be there once, found 2 times"),
        ({"template": "It was {mask}"}, "template: {text} must be there once, found 0 times"),
        ({"template": "{text} {mask} {sentence}"}, "no place is called 'sentence'; known: mask, pair, text"),
        ({"template": "{text} {mask}" + " so" * 40}, "template: has 43 of 32 tokens and leaves none for a text"),
        ({"words": {**WORDS, "hum": "a human"}}, "words: 'a human' for 'hum' is 2 pieces here"),
        ({"words": {**WORDS, "hum": "place"}}, "the labels 'hum' and 'loc' are the same in tokens"),
        ({"words": {"num": "a", "hum": "b"}}, "nothing for the label 'loc'"),
        ({"labels": ["num", "num"], "words": {}}, "the label 'num' is there twice"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_training(
    fields: Mapping[str, Any], says: str, world: World, tiny: Backbone
) -> None:
    with pytest.raises(BadInput) as caught:
        planned([parse(Prompt, {"labels": LABELS, "words": WORDS, **fields}, where="prompt")], tiny, world)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_without_mask_or_word_and_a_pair_without_a_second_are_refused(world: World, tiny: Backbone) -> None:
    bare = Vocab(size=60, pad=0, unk=1, cls=2, sep=3, mask=None, special=frozenset(range(4)))
    with pytest.raises(BadInput, match="the tokenizer has no mask token"):
        planned([prompt()], tiny, World(bare, length=32, spell=world.spell))
    unknown = World(world.vocab, length=32, spell=lambda word: text(1) if "human" in word else world.spelled(word))
    with pytest.raises(BadInput, match="words: 'human' for 'hum' is unknown to the tokenizer"):
        planned([prompt()], tiny, unknown)
    with pytest.raises(BadInput, match=r"has a place for a \{pair\}, and here is one text"):
        prompt(template="{text} {mask} {pair}").format(Item((text(7),)), None, world)
