"""Search: who else is there does not matter, the rules hold, and the best is found.

Legend: S sources, R rows, V vocabulary, L tokens.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from quire.core.config import parse
from quire.core.errors import BadInput
from quire.core.example import Batch, Example, Ints, Passage, Vocab
from quire.core.heads import TokenHead
from quire.core.random import rng
from quire.core.search import Sample, Search
from quire.core.spec import Backbone
from quire.core.visibility import Causal
from quire.nn.model import Model, Packed, Step
from quire.nn.sampling import draw, shares
from quire.nn.search import Token, likelihoods, prompts, stream, write
from quire.nn.stepwise import Stepwise
from quire.nn.writer import Ends

END = 3
SPEC = Backbone(vocab=12, depth=2, width=16, heads=2, ffn=20, positions=40, segments=0, init_std=0.5)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(SPEC, {"lm": TokenHead(transform=False)}, seed=2).eval()


def begun(length: int, key: int = 0) -> Example:
    ids = rng("search", key).integers(5, 12, size=length)
    return Example(ids, ids, ids > 0, ids > 0, np.zeros_like(ids), sees=Causal())


def following(model: Model, prompt: Example, written: Sequence[int]) -> Tensor:
    """log p [V] of what comes next, with no code of the search."""
    ids = np.append(prompt.tokens, np.array(written, dtype=np.int64))
    whole = Example(ids, ids, ids > 0, ids > 0, np.zeros_like(ids), sees=Causal())
    with torch.no_grad():
        step = Step(model, Packed(Batch.pack([whole])))
        return step.scores("lm", torch.tensor([len(ids) - 1])).log_softmax(dim=1)[0]


def log_p(model: Model, prompt: Example, text: Sequence[int]) -> float:
    return sum(float(following(model, prompt, text[:i])[token]) for i, token in enumerate(text))


PROMPTS = [begun(n, key) for key, n in enumerate((4, 1, 7, 4, 2))]
WAYS = {
    "greedy": Search(limit=12),
    "beam": Search(limit=12, beam=3, length_penalty=1.0),
    "sample": Search(limit=12, sample=Sample(temperature=1.5, top_k=8, seed=5)),
}


@pytest.mark.parametrize("way", WAYS)
def test_who_else_is_there_does_not_matter(model: Model, way: str) -> None:
    together = write(model, PROMPTS, head="lm", search=WAYS[way], end=END)
    assert len({len(one.tokens) for one in together}) > 1, "they end at different times"
    for i, one in enumerate(together):
        others = [PROMPTS[i] if j == i else begun(j + 1, 90 + j) for j in range(i + 1)]  # the same place: draws know it
        alone = write(model, others, head="lm", search=WAYS[way], end=END)[i]
        assert alone.tokens.tolist() == one.tokens.tolist()
        assert alone.score == pytest.approx(one.score, abs=1e-4)
        assert alone.finished == one.finished


def test_greedy_is_the_likeliest_each_time(model: Model) -> None:
    for prompt, one in zip(PROMPTS, write(model, PROMPTS, head="lm", search=Search(limit=6), end=END), strict=True):
        text: list[int] = []
        while len(text) < 6 and END not in text:
            text.append(int(following(model, prompt, text).argmax()))
        assert [*one.tokens, *[END] * one.finished] == text
        assert one.score == pytest.approx(log_p(model, prompt, text), abs=1e-4)


@pytest.mark.parametrize(("penalty", "exponent"), [("length", 0.0), ("length", 1.0), ("gnmt", 0.6)])
def test_a_beam_as_wide_as_all_finds_the_best(penalty: str, exponent: float) -> None:
    """Every text of at most three tokens of five, scored by hand."""
    spec = SPEC.model_copy(update={"vocab": 5})
    best_is_short = 0
    for seed in range(4):
        wild = Model(spec, {"lm": TokenHead(transform=False)}, seed=seed).eval()
        ids = np.array([4, 1])
        prompt = Example(ids, ids, ids > 0, ids > 0, ids * 0, sees=Causal())
        inner = [t for t in range(5) if t != END]
        texts = [(*text, END) for n in range(3) for text in product(inner, repeat=n)] + list(product(inner, repeat=3))
        ranks = {
            t: log_p(wild, prompt, t) / (len(t) if penalty == "length" else (5 + len(t)) / 6) ** exponent for t in texts
        }
        best = max(ranks, key=lambda text: ranks[text])
        search = parse(Search, {"limit": 3, "beam": 200, "penalty": penalty, "length_penalty": exponent}, where="here")
        (found,) = write(wild, [prompt], head="lm", search=search, end=END)
        assert [*found.tokens, *[END] * found.finished] == list(best)
        assert found.score == pytest.approx(ranks[best], abs=1e-4)
        best_is_short += found.finished
    assert best_is_short < 4 or exponent == 0


def spelled(tokens: Sequence[int]) -> str:
    """The tokens as letters."""
    return "".join(chr(ord("a") + token) for token in tokens)


def test_stop_rules_cut_what_greedy_writes(model: Model) -> None:
    def written(**changes: Any) -> tuple[list[int], bool]:
        search = parse(Search, {"limit": 10, **changes}, where="here")
        (one,) = write(model, PROMPTS[:1], head="lm", search=search, decode=spelled)
        return one.tokens.tolist(), one.finished

    free, finished = written()
    assert (len(free), finished) == (10, False)
    stop = tuple(free[3:5])
    at = next(i for i in range(len(free)) if tuple(free[i : i + 2]) == stop)
    assert written(stop_tokens=[[1, 1, 1], stop]) == (free[:at], True)
    assert written(stop=["zz", spelled(stop)]) == (free[: at + 2], True)
    assert written(stop_tokens=[stop], least=10)[0][: at + 2] == free[: at + 2]


def test_no_text_of_a_beam_goes_on_behind_its_stop(model: Model) -> None:
    stops = ((7,), (5, 9))
    search = Search(limit=12, beam=3, length_penalty=2.0, stop_tokens=stops)
    found = write(model, PROMPTS, head="lm", search=search)
    assert any(one.finished for one in found)
    for one in found:
        text = one.tokens.tolist()
        assert not any(tuple(text[i : i + len(s)]) == s for s in stops for i in range(len(text)))


def test_least_forbids_the_end(model: Model) -> None:
    eager = Model(SPEC, {"lm": TokenHead(transform=False, bias=True)}, seed=2).eval()
    with torch.no_grad():
        eager.get_parameter("heads.lm.bias")[END] = 20.0
    for beam in (1, 2):
        found = write(eager, PROMPTS, head="lm", search=Search(limit=9, least=4, beam=beam), end=END)
        assert [len(one.tokens) for one in found] == [4] * len(PROMPTS)
        assert all(one.finished and END not in one.tokens for one in found)


def test_a_stream_is_what_is_written_in_turn(model: Model) -> None:
    search = Search(limit=12)
    told = list(stream(model, PROMPTS, head="lm", search=search, end=END))
    assert told[:5] == [Token(i, told[i].token) for i in range(5)]
    for i, one in enumerate(write(model, PROMPTS, head="lm", search=search, end=END)):
        mine = [token for sequence, token in told if sequence == i]
        assert mine == [*one.tokens, *[END] * one.finished]
    early = stream(model, PROMPTS, head="lm", search=search, end=END)
    assert next(early) == told[0], "told before the rest is known"


def test_log_likelihoods_are_those_of_exactly_the_answers(model: Model) -> None:
    draws = rng("answers")
    answers: list[list[Ints]] = [[draws.integers(12, size=n) for n in sizes] for sizes in ((1, 3), (2,), (5, 1, 1))]
    read: list[int] = []
    writer = Stepwise(model, PROMPTS[:3], head="lm")
    start = writer.start
    writer.start = lambda: read.append(1) or start()  # type: ignore[method-assign, func-returns-value]
    found = likelihoods(writer, answers)
    assert len(read) == 1, "prompts are read once"
    flat = [(prompt, answer.tolist()) for prompt, of_one in zip(PROMPTS, answers, strict=False) for answer in of_one]
    for (prompt, answer), values in zip(flat, found, strict=True):
        expected = [float(following(model, prompt, answer[:i])[token]) for i, token in enumerate(answer)]
        assert values == pytest.approx(expected, abs=1e-5)


LOG_P = torch.log(torch.tensor([0.05, 0.3, 0.02, 0.33, 0.1, 0.2]))
LAWS: list[tuple[Sample, list[float]]] = [
    (Sample(), [0.05, 0.3, 0.02, 0.33, 0.1, 0.2]),
    (Sample(temperature=0.5), [0.0025, 0.09, 0.0004, 0.1089, 0.01, 0.04]),
    (Sample(top_k=3), [0, 0.3, 0, 0.33, 0, 0.2]),
    (Sample(top_p=0.6), [0, 0.3, 0, 0.33, 0, 0]),
    (Sample(top_p=0.64), [0, 0.3, 0, 0.33, 0, 0.2]),
    (Sample(top_k=3, top_p=0.75), [0, 0.3, 0, 0.33, 0, 0]),  # 0.63 of 0.83 is enough, 0.63 of 1 would not be
]


@pytest.mark.parametrize(("sample", "weights"), LAWS)
def test_draws_follow_the_renormalised_distribution(sample: Sample, weights: list[float]) -> None:
    expected = np.array(weights) / np.sum(weights)
    np.testing.assert_allclose(shares(LOG_P[None], sample)[0].numpy(), expected, atol=1e-7)
    rows = 4000
    drawn = draw(LOG_P.expand(rows, -1), sample, sequences=range(rows), t=1)
    counts = np.bincount(drawn.numpy(), minlength=6)
    assert (counts[expected == 0] == 0).all()
    seen = expected > 0
    assert chisquare(counts[seen], rows * expected[seen]).pvalue > 1e-3


def test_the_edges_are_greedy_and_a_seed_is_a_text(model: Model) -> None:
    def written(**sample: Any) -> list[list[int]]:
        search = Search(limit=10, sample=Sample(**sample))
        return [one.tokens.tolist() for one in write(model, PROMPTS, head="lm", search=search, end=END)]

    greedy = [one.tokens.tolist() for one in write(model, PROMPTS, head="lm", search=Search(limit=10), end=END)]
    assert written(top_k=1) == greedy
    assert written(top_p=1e-9) == greedy
    assert written(temperature=1e-3) == greedy
    assert written(seed=1) == written(seed=1) != written(seed=2)
    twice = write(model, [PROMPTS[0]] * 2, head="lm", search=Search(limit=10, sample=Sample()), end=END)
    assert twice[0].tokens.tolist() != twice[1].tokens.tolist(), "two draws of one prompt differ"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"limit": 5, "beam": 0}, "beam 0: take 1, which is greedy"),
        ({"limit": 5, "beam": 2, "sample": {}}, "beam 2 with sample"),
        ({"limit": 5, "sample": {"top_p": 0}}, "top_p 0"),
        ({"limit": 5, "sample": {"top_p": 1.5}}, "top_p 1.5"),
        ({"limit": 5, "sample": {"temperature": 0}}, "temperature 0.*do not draw"),
        ({"limit": 5, "sample": {"temperature": float("nan")}}, "finite number"),
        ({"limit": 5, "length_penalty": float("nan")}, "finite number"),
        ({"limit": 5, "sample": {"top_k": 0}}, "top_k"),
        ({"limit": 0}, "limit"),
        ({"limit": 5, "least": 6}, "least 6: more than the limit"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        parse(Search, settings, where="search")
    assert "\n" not in str(caught.value)


def test_what_cannot_be_written_is_refused(model: Model, vocab: Vocab) -> None:
    search, nothing = Search(limit=5), np.zeros(0, dtype=np.int64)
    for given, says in (
        ([begun(3), begun(36)], "prompt 2 has 36 tokens, which with 5 to write are 41; the model has 40 positions"),
        ([replace(begun(1), tokens=nothing)], "prompt 1 has no token"),
    ):
        with pytest.raises(BadInput, match=says):
            write(model, given, head="lm", search=search)
    with pytest.raises(BadInput, match="prompt 2 is empty"):
        prompts(vocab, [Passage(np.array([7]), np.array([True])), Passage(nothing, nothing > 0)])
    with pytest.raises(BadInput, match="give `decode`"):
        write(model, [begun(3)], head="lm", search=Search(limit=5, stop=("x",)))
    with pytest.raises(BadInput, match="known at the end alone"):
        stream(model, [begun(3)], head="lm", search=Search(limit=5, beam=2))
    assert write(model, [], head="lm", search=search) == []
    assert len(write(model, [begun(35)], head="lm", search=search)[0].tokens) == 5, "as long as may be"


def test_a_prompt_opens_with_cls_and_is_read_causally(vocab: Vocab) -> None:
    (one,) = prompts(vocab, [Passage(np.array([7, 8]), np.ones(2, dtype=bool))])
    assert one.tokens.tolist() == [vocab.cls, 7, 8]


def test_an_end_counts_as_a_token_of_the_score() -> None:
    ends = Ends(Search(limit=4, length_penalty=1.0), end=END)
    assert ends.written([7, 8, END], -6.0).score == pytest.approx(-2.0)
    assert ends.written([7, 8, END], -6.0).tokens.tolist() == [7, 8]
