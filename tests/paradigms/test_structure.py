"""Structures by actions: where words are read, what is asked of each configuration, and what is said."""

import lzma
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from quire.core.answers import Inexpressible, Item, Span, Tree
from quire.core.example import IGNORE, Batch, Example, Ints, Passage, World
from quire.core.random import rng
from quire.core.spec import Backbone
from quire.core.visibility import Apart
from quire.nn.model import Model, Packed, Step
from quire.paradigms.structure import Acting, Nest, Parse
from quire.text.conllu import read_trees
from quire.text.problems import Problem, items
from quire.text.tokenizers import Tokenizer
from quire.train.evaluate import said
from quire.train.feed import Fixed
from quire.train.loop import Job, fit, planned
from quire.train.optim import TrainPlan

PARSE = Parse(labels=("root", "obj"), dropout=0.0)
NEST = Nest(labels=("LOC", "PER"), dropout=0.0)
BOTH = (PARSE, NEST)


def item(first: list[int], length: int) -> Item:
    text = Passage(rng(length, "text").integers(5, 60, size=length), np.isin(np.arange(length), first))
    return Item((text,), np.array(first, dtype=np.int64))


def read_at(example: Example, task: Acting) -> Ints:
    """The position that each word is read at."""
    counts = example.answers[task.words]
    places = np.flatnonzero(counts != IGNORE)
    return np.repeat(places, counts[places])


def ways(task: Acting, examples: list[Example]) -> list[tuple[Example, list[int]]]:
    return [(example, task.gold(example).astype(int).tolist()) for example in examples]


def probabilities(model: Model, task: Acting, example: Example, at: Any) -> Tensor:
    """[A] log p(a | c) as the formula has it, with the states of one sequence alone."""
    head: Any = model.heads[task.slot]
    states = Step(model, Packed(Batch.pack([example]))).encode()[read_at(example, task)]
    rows = head.words.weight.view(head.features, head.width, -1)
    nothing = head.nothing.view(head.features, head.width)
    places = enumerate(task.system.features(at))
    hidden = sum(((rows[k] @ states[word] if word >= 0 else nothing[k]) for k, word in places), head.bias)
    scores: Tensor = head.out(torch.tanh(hidden))
    return scores.masked_fill(~torch.from_numpy(task.system.legal(at)), -torch.inf).log_softmax(dim=0)


@pytest.fixture(scope="module")
def answered(world: World) -> dict[str, list[Example]]:
    items = [item([0, 2, 3], 5), item([0, 1, -1], 2), item([0], 1)]
    trees = [Tree((2, 0, 2), ("obj", "root", "obj")), Tree((0, 1, 1), ("root", "obj", "obj")), Tree((0,), ("root",))]
    spans = [frozenset({Span(0, 3, "PER"), Span(1, 3, "LOC")}), frozenset({Span(2, 3, "LOC")}), frozenset()]
    return {
        "parse": [PARSE.format(i, tree, world)[0] for i, tree in zip(items, trees, strict=True)],
        "nest": [NEST.format(i, few, world)[0] for i, few in zip(items, spans, strict=True)],
    }


@pytest.fixture(scope="module")
def wild(tiny: Backbone, world: World) -> Model:
    spec = tiny.model_copy(update={"init_std": 0.3})
    return Model(spec, planned(BOTH, spec, world), seed=3).eval()


@pytest.mark.parametrize("task", BOTH)
def test_the_loss_is_the_mean_over_all_configurations(
    task: Acting, answered: dict[str, list[Example]], wild: Model
) -> None:
    told = []
    for example, actions in ways(task, answered[task.slot]):
        at = task.system.start(len(read_at(example, task)))
        for action in actions:
            told.append(probabilities(wild, task, example, at)[action])
            task.system.apply(at, action)
    found = task.loss(Step(wild, Packed(Batch.pack(answered[task.slot]))))
    torch.testing.assert_close(found, -torch.stack(told).mean())


@pytest.mark.parametrize("task", BOTH)
def test_what_is_said_is_the_most_probable_legal_action_each_time(
    task: Acting, answered: dict[str, list[Example]], wild: Model
) -> None:
    examples = answered[task.slot]
    with torch.no_grad():
        every = task.says(Step(wild, Packed(Batch.pack(examples))))
        for example, actions in zip(examples, every, strict=True):
            at, expected = task.system.start(len(read_at(example, task))), []
            while not task.system.ended(at):
                expected.append(int(probabilities(wild, task, example, at).argmax()))
                task.system.apply(at, expected[-1])
            assert actions.tolist() == expected


def test_a_word_without_a_token_is_read_where_the_word_before_it_is(world: World) -> None:
    (example,) = PARSE.format(item([-1, 0, -1, -1, 2], 3), None, world)
    assert read_at(example, PARSE).tolist() == [0, 1, 1, 1, 3]  # the first word in [CLS]


def test_a_long_text_is_read_in_windows_each_word_where_most_stands_around_it(world: World) -> None:
    first = [0, *range(1, 60, 2)]
    posed = item(first, 60)
    (example,) = PARSE.format(posed, None, replace(world, length=20))
    at = read_at(example, PARSE)
    assert isinstance(example.sees, Apart)
    assert max(example.sees.sizes) == 20
    assert (example.tokens[at] == posed.passages[-1].tokens[first]).all()
    assert example.positions is not None
    edge = example.positions[at]
    assert edge[5:-5].min() > 4, "none of the inner words at the edge of a window"
    assert edge[5:-5].max() < 16


def test_actions_are_over_all_windows(world: World, wild: Model) -> None:
    posed, small = item(list(range(40)), 40), replace(world, length=20)
    with torch.no_grad():
        told = PARSE.says(Step(wild, Packed(Batch.pack(PARSE.format(posed, None, small)))))
    tree = PARSE.decode(posed, told, small)
    assert isinstance(tree, Tree)
    assert len(tree.heads) == 40
    assert tree.fault() is None


def test_what_no_actions_make_is_said_to_be_inexpressible(world: World) -> None:
    with pytest.raises(Inexpressible, match="cross"):
        PARSE.format(item([0, 1, 2, 3], 4), Tree((0, 4, 1, 1), ("root", "obj", "obj", "obj")), world)
    with pytest.raises(Inexpressible, match="crosses"):
        NEST.format(item([0, 1, 2], 3), frozenset({Span(0, 2, "LOC"), Span(1, 3, "LOC")}), world)


def test_a_backbone_with_a_decoder_only_reads(answered: dict[str, list[Example]], tiny: Backbone, world: World) -> None:
    spec = tiny.model_copy(update={"decoder": 1})
    model = Model(spec, planned([PARSE], spec, world), seed=1)
    PARSE.loss(Step(model, Packed(Batch.pack(answered["parse"])))).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for name, p in model.named_parameters() if ".decoder." in name)
    assert all(p.grad is not None for p in model.heads.parameters())


@pytest.mark.parametrize("std", [0.002, 0.2])
def test_the_head_begins_with_one_size_on_any_body(std: float, tiny: Backbone, world: World) -> None:
    spec = tiny.model_copy(update={"init_std": std})
    head: Any = Model(spec, planned([PARSE], spec, world), seed=1).heads["parse"]
    places = head.words.weight.view(head.features, head.width, -1)
    assert places.std(dim=(1, 2)).tolist() == pytest.approx([(2 / (head.width + spec.width)) ** 0.5] * 4)
    assert float(head.out.weight.detach().std()) == pytest.approx((2 / (head.width + len(PARSE.system.actions))) ** 0.5)


@pytest.fixture
def sentences(tmp_path: Path) -> list[Problem]:
    """Short ones of UD English EWT."""
    pytest.importorskip("conllu")
    found = Path(os.environ.get("QUIRE_DATA", "")) / "seqlab/ud_english_ewt/en_ewt-ud-dev.conllu.xz"
    if "QUIRE_DATA" not in os.environ or not found.is_file():
        pytest.skip("needs seqlab/ud_english_ewt of $QUIRE_DATA")
    plain = tmp_path / "dev.conllu"
    plain.write_bytes(lzma.decompress(found.read_bytes()))
    problems = read_trees(plain, subtypes=False)
    assert len(problems) == 2001
    return [problem for problem in problems if 5 <= len(problem.words or ()) <= 12][:60]


@pytest.mark.slow
def test_real_sentences_are_learnt(sentences: list[Problem]) -> None:
    """The benchmark in small: a parser that cannot learn 60 sentences by heart has lost their words or their trees."""
    trees = [problem.answer for problem in sentences if isinstance(problem.answer, Tree)]
    tokenizer = Tokenizer.train([problem.texts[0] for problem in sentences], kind="wordpiece", size=700)
    world = World(tokenizer.vocab, length=64)
    task = Parse(labels=tuple(sorted({relation for tree in trees for relation in tree.relations})))
    posed = items(sentences, tokenizer)
    examples: list[Example] = []
    for posed_item, tree in zip(posed, trees, strict=True):
        with suppress(Inexpressible):
            examples += task.format(posed_item, tree, world)
    assert 50 < len(examples) <= 60
    spec = Backbone(vocab=tokenizer.vocab.size, depth=1, width=64, heads=4, ffn=128, positions=64, dropout=0.0,
                    init_std=0.1)  # fmt: skip
    model = Model(spec, planned([task], spec, world), seed=1)
    plan = TrainPlan(steps=100, batch=20, lr=4e-3, warmup=10, weight_decay=0.0)
    fit(model, Job(Fixed(examples, "ewt"), (task,), world, plan))
    told = said(model, task, [example for one in posed for example in task.format(one, None, world)])
    right = words = 0
    for posed_item, actions, tree in zip(posed, told, trees, strict=True):
        found = task.decode(posed_item, [actions], world)
        assert isinstance(found, Tree)
        pairs = zip(found.heads, found.relations, tree.heads, tree.relations, strict=True)
        right += sum(head == gold and relation == true for head, relation, gold, true in pairs)
        words += len(tree.heads)
    assert right / words > 0.9
