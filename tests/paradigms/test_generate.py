"""Sequence to sequence as UniLM does it: what is hidden, what is seen, and writing until [SEP]."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from quire.core.errors import BadInput
from quire.core.example import IGNORE, Batch, Example, Ints, Passage, Vocab, World
from quire.core.random import Rng, rng
from quire.core.spec import Backbone
from quire.core.visibility import Prefix
from quire.nn.model import Model, Packed, Step
from quire.paradigms import generate
from quire.paradigms.generate import Generate
from quire.train.feed import Fixed
from quire.train.loop import Job, fit, planned
from quire.train.optim import TrainPlan

SEP = 3
TASK = Generate()


def passage(*tokens: int) -> Passage:
    return Passage(np.array(tokens, dtype=np.int64), np.ones(len(tokens), dtype=bool))


def words(draw: Rng) -> Passage:
    """One to four different words of eight."""
    return passage(*(5 + draw.permutation(8)[: draw.integers(1, 5)]))


def backwards(source: Passage) -> list[int]:
    found: list[int] = source.tokens[::-1].tolist()
    return found


@pytest.fixture(scope="module")
def world(vocab: Vocab) -> World:
    return World(vocab, length=24)


@pytest.fixture(scope="module")
def model(world: World) -> Model:
    """A model that has learnt to say its source backwards, by the loop that trains everything."""
    spec = Backbone(vocab=60, depth=2, width=32, heads=2, ffn=64, positions=24, dropout=0.0, attention_dropout=0.0,
                    init_std=0.1)  # fmt: skip
    sources = [words(rng(1, i)) for i in range(2000)]
    examples = [TASK.format(source, passage(*backwards(source)), world) for source in sources]
    learner = Model(spec, planned([TASK], spec, world), seed=1)
    plan = TrainPlan(steps=160, batch=32, lr=8e-3, warmup=20, weight_decay=0.0)
    fit(learner, Job(Fixed(examples, "backwards"), (TASK,), world, plan))
    return learner


@pytest.fixture(scope="module")
def unseen() -> list[Passage]:
    return [words(rng(2, i)) for i in range(60)]


def test_the_format_is_two_segments_of_which_the_second_is_written(world: World) -> None:
    example = Generate(segments=(4, 5)).format(passage(7, 8), passage(9, 10, 11), world)
    assert example.tokens.tolist() == [2, 7, 8, SEP, 9, 10, 11, SEP]
    assert example.segments.tolist() == [4] * 4 + [5] * 4
    assert example.sees == Prefix(4)
    assert example.free.tolist() == [False] * 4 + [True] * 4, "the last [SEP] may be asked: that is how to stop"
    assert not example.answers


def test_seven_of_ten_target_tokens_are_asked_the_last_separator_among_them(world: World) -> None:
    asked: dict[bool, int] = {True: 0, False: 0}  # the separator, other targets
    for i in range(400):
        example = TASK.format(passage(*range(20, 26)), passage(*range(30, 39)), world)
        damaged = TASK.corrupt(example, world, rng(i))
        answers = damaged.answers["generate"]
        where = answers != IGNORE
        assert where.sum() == 7
        assert not where[:8].any(), "never the source"
        assert (answers[where] == example.truth[where]).all()
        assert (damaged.tokens == example.tokens)[~where].all()
        asked[True] += int(where[-1])
        asked[False] += int(where[:-1].sum())
    assert abs(asked[True] / 400 - 0.7) < 0.1
    assert abs(asked[False] / 3600 - 0.7) < 0.01


def test_an_empty_target_still_asks_for_the_end(world: World) -> None:
    damaged = TASK.corrupt(TASK.format(passage(7), passage(), world), world, rng(0))
    assert damaged.answers["generate"].tolist() == [IGNORE] * 3 + [SEP]


def test_what_is_written_is_backwards_and_ends_in_time(model: Model, unseen: list[Passage], world: World) -> None:
    found = TASK.generate(model, unseen, world, limit=8)
    right = [one.tokens.tolist() == backwards(source) for one, source in zip(found, unseen, strict=True)]
    assert np.mean(right) > 0.9
    assert all(one.finished for one, good in zip(found, right, strict=True) if good)
    assert SEP not in np.concatenate([one.tokens for one in found])


def test_a_limit_cuts(model: Model, world: World) -> None:
    (cut,) = TASK.generate(model, [passage(5, 6, 7)], world, limit=2)
    assert (cut.tokens.tolist(), cut.finished) == ([7, 6], False)
    (whole,) = TASK.generate(model, [passage(5, 6, 7)], world, limit=4)
    assert (whole.tokens.tolist(), whole.finished) == ([7, 6, 5], True)


def test_one_at_a_time_or_together_gives_the_same(
    model: Model, unseen: list[Passage], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = TASK.generate(model, unseen[:12], world, limit=6, beam=3)
    assert [(g.tokens.tolist(), g.score) for g in TASK.generate(model, unseen[:12], world, limit=6, beam=3)] == [
        (g.tokens.tolist(), g.score) for g in together
    ]
    monkeypatch.setattr(generate, "AT_ONCE", 5)
    for one, source in zip(together, unseen, strict=False):
        (alone,) = TASK.generate(model, [source], world, limit=6, beam=3)
        assert alone.tokens.tolist() == one.tokens.tolist()
        assert alone.score == pytest.approx(one.score, abs=1e-4)
    assert TASK.generate(model, [], world, limit=6) == []


def following(model: Model, source: Passage, written: tuple[int, ...], vocab: Vocab) -> torch.Tensor:
    """log p of the token after `written`, over [SEP] and ordinary tokens: with no code of the search."""
    tokens = np.array([2, *source.tokens, SEP, *written, 4])
    segments = np.repeat([0, 1], [len(source) + 2, len(written) + 1])
    example = Example(tokens, tokens, tokens > 0, tokens > 0, segments, sees=Prefix(len(source) + 2))
    step = Step(model, Packed(Batch.pack([example])))
    scores = step.model.heads["mlm"](step.encode()[-1:], step.table)[0].detach()
    scores[sorted(vocab.special - {SEP})] = -torch.inf
    found: torch.Tensor = scores.log_softmax(dim=0)
    return found


def log_p(model: Model, source: Passage, text: tuple[int, ...], vocab: Vocab) -> float:
    """The sum of log p of a text, token by token."""
    return sum(float(following(model, source, text[:i], vocab)[token]) for i, token in enumerate(text))


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_wide_beam_finds_the_best_of_all(world: World, length_penalty: float) -> None:
    """Five ordinary tokens, at most two written: 31 texts, each scored by hand."""
    vocab = Vocab(size=10, pad=0, unk=1, cls=2, sep=SEP, mask=4, special=frozenset(range(5)))
    small = replace(world, vocab=vocab)
    spec = Backbone(vocab=10, depth=1, width=8, heads=2, ffn=8, positions=12, init_std=0.8)
    for seed in range(4):
        wild = Model(spec, planned([TASK], spec, small), seed=seed).eval()
        source = passage(5, 9, 6)
        texts = [(SEP,), *((t, end) for t, end in product(range(5, 10), (SEP, *range(5, 10))))]
        ranks = {t: log_p(wild, source, t, vocab) / ((5 + len(t)) / 6) ** length_penalty for t in texts}
        best = max(ranks, key=lambda text: ranks[text])
        (found,) = TASK.generate(wild, [source], small, limit=2, beam=40, length_penalty=length_penalty)
        assert found.tokens.tolist() == [token for token in best if token != SEP]
        assert found.score == pytest.approx(ranks[best], abs=1e-4)
        assert found.finished == (best[-1] == SEP)


def test_a_beam_of_one_is_greedy_and_a_wider_one_no_worse(model: Model, unseen: list[Passage], world: World) -> None:
    sources = [passage(*source.tokens, 40) for source in unseen[:15]]  # a word it never saw: it must be unsure
    greedy = TASK.generate(model, sources, world, limit=8)
    for one, source in zip(greedy, sources, strict=True):
        written: tuple[int, ...] = ()
        while len(written) < 8 and written[-1:] != (SEP,):
            written = (*written, int(following(model, source, written, world.vocab).argmax()))
        assert [*one.tokens, *[SEP] * one.finished] == list(written)
        assert one.score == pytest.approx(log_p(model, source, written, world.vocab), abs=1e-4)
    wide = TASK.generate(model, sources, world, limit=8, beam=4)
    scores = np.array([[a.score, b.score] for a, b in zip(greedy, wide, strict=True)])
    assert (scores[:, 1] >= scores[:, 0] - 1e-4).all()


def test_a_length_penalty_makes_it_longer_and_never_a_special_token(world: World) -> None:
    spec = Backbone(vocab=60, depth=1, width=16, heads=2, ffn=16, positions=24, init_std=0.3)
    wild = Model(spec, planned([TASK], spec, world), seed=3)
    with torch.no_grad():
        wild.get_parameter("heads.mlm.bias")[:SEP] = 50.0  # it would love to say [PAD]
        wild.get_parameter("heads.mlm.bias")[SEP] = 1.5
    sources = [passage(*(5 + rng(i).permutation(50)[:4])) for i in range(10)]
    lengths = []
    for penalty in (0.0, 1.0, 6.0):
        found = TASK.generate(wild, sources, world, limit=8, beam=4, length_penalty=penalty)
        assert all((one.tokens >= 5).all() for one in found)
        lengths.append(sum(len(one.tokens) for one in found))
    assert lengths[0] <= lengths[1] < lengths[2]


def test_the_last_target_token_changes_itself_alone_and_the_source_all(model: Model, world: World) -> None:
    def states(tokens: list[int]) -> torch.Tensor:
        example = TASK.format(passage(*tokens[:3]), passage(*tokens[3:]), world)
        return Step(model, Packed(Batch.pack([example]))).encode().detach()

    base = states([7, 8, 9, 10, 11, 12])

    def moved(tokens: list[int]) -> list[int]:
        return torch.nonzero((states(tokens) - base).abs().amax(dim=1) > 1e-6).flatten().tolist()

    assert moved([7, 8, 9, 10, 11, 20]) == [7, 8]  # itself and the [SEP] behind
    assert moved([20, 8, 9, 10, 11, 12]) == list(range(9))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m, w: TASK.generate(m, [passage(5), passage(*[5] * 15)], w, limit=8), "source 2 has 15 .* are 25"),
        (lambda m, w: TASK.generate(m, [passage(5)], w, limit=0), "limit 0"),
        (lambda m, w: planned([Generate(segments=(4, 5))], m.spec, w), r"generate: segment 5 is one of 2"),
    ],
)
def test_what_cannot_be_written_is_refused(
    model: Model, world: World, call: Callable[[Model, World], object], says: str
) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        call(model, world)
    assert "\n" not in str(caught.value)


def test_nothing_asked_costs_nothing_and_health_is_told(model: Model, world: World, unseen: list[Passage]) -> None:
    examples = [TASK.format(source, passage(*backwards(source)), world) for source in unseen]
    assert float(TASK.loss(Step(model, Packed(Batch.pack(examples)))).detach()) == 0
    damaged = [TASK.corrupt(example, world, rng(i)) for i, example in enumerate(examples)]
    with torch.inference_mode():
        found = TASK.health(Step(model, Packed(Batch.pack(damaged))))
    assert found["accuracy"] > 0.9


def targets(examples: list[Example]) -> Ints:
    return np.concatenate([example.answers["generate"] for example in examples])


def test_the_same_draw_hides_the_same(world: World) -> None:
    example = TASK.format(passage(*range(20, 26)), passage(*range(30, 39)), world)
    one, two, other = (TASK.corrupt(example, world, rng(seed)) for seed in (1, 1, 2))
    assert (targets([one]) == targets([two])).all()
    assert (one.tokens == two.tokens).all()
    assert (targets([one]) != targets([other])).any()
