"""UniLM's modes: masks as its release builds them, ids that tell the mode, and a draw that depends on its place alone.

Legend: L positions of one sequence.
"""

import numpy as np
import pytest
import torch

from quire import recipe
from quire.core.example import Batch, Example, Passage, Vocab, World
from quire.core.spec import Backbone
from quire.core.visibility import Backward, Causal, Full, Prefix
from quire.nn.model import Model, Packed, Step
from quire.objectives.mlm import Mlm
from quire.objectives.pair import Pair
from quire.text.modes import Mixed, Mode
from quire.text.packing import SentencePairs
from quire.text.shards import Shards
from quire.text.tokenizers import Tokenizer
from quire.text.writing import write
from quire.train.feed import Feed

UNILM = (
    Mode(sees="full", share=2, segments=(0, 1)),
    Mode(sees="prefix", share=2, segments=(4, 5)),
    Mode(sees="causal", share=1, segments=(2,)),
    Mode(sees="backward", share=1, segments=(3,)),
)
BY_HAND = {  # [CLS] a [SEP] b c [SEP]
    "full": ["111111"] * 6,
    "prefix": ["111000", "111000", "111000", "111100", "111110", "111111"],
    "causal": ["100000", "110000", "111000", "111100", "111110", "111111"],
    "backward": ["111111", "011111", "001111", "000111", "000011", "000001"],
}


@pytest.fixture(scope="module")
def tokenizer(texts: list[str]) -> Tokenizer:
    return Tokenizer.train(texts, kind="wordpiece", size=100)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, texts: list[str], tokenizer: Tokenizer) -> Shards:
    return write(tmp_path_factory.mktemp("modes") / "corpus", texts, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def mixed(shards: Shards, tokenizer: Tokenizer) -> Mixed:
    return Mixed(SentencePairs(shards, length=29, seed=5), UNILM, tokenizer.vocab)


def of_mode(mixed: Mixed, sees: str) -> list[tuple[int, Example]]:
    places = [i for i in range(len(mixed)) if mixed.mode(i, epoch=0).sees == sees]
    return [(i, mixed.example(i, epoch=0)) for i in places]


@pytest.mark.parametrize("mode", UNILM, ids=lambda mode: mode.sees)
def test_masks_equal_those_written_by_hand(mode: Mode) -> None:
    found = mode.visibility(3).mask(6)
    assert ["".join(str(int(seen)) for seen in row) for row in found] == BY_HAND[mode.sees]


def test_the_recipe_mixes_them_so() -> None:
    assert recipe.load("unilm-base").data.modes == UNILM


def test_right_to_left_is_left_to_right_flipped() -> None:
    assert (Backward().mask(7) == Causal().mask(7)[::-1, ::-1]).all()


def test_pairs_keep_their_division_and_runs_have_none(mixed: Mixed, tokenizer: Tokenizer) -> None:
    sep = tokenizer.vocab.sep
    for sees, ids in (("full", (0, 1)), ("prefix", (4, 5))):
        for i, example in of_mode(mixed, sees):
            a, b = mixed.pairs.pair(i, epoch=0)
            assert example.tokens[1:-1].tolist() == [*a.tokens, *([sep, *b.tokens] if len(b) else [])]
            assert example.segments.tolist() == [ids[0]] * (len(a) + 2) + [ids[1]] * (len(example) - len(a) - 2)
            assert example.sees == (Full() if sees == "full" else Prefix(len(a) + 2))
    for sees, segment, rule in (("causal", 2, Causal()), ("backward", 3, Backward())):
        for i, example in of_mode(mixed, sees):
            assert example.tokens[1:-1].tolist() == mixed.pairs.run(i).tokens.tolist()
            assert set(example.segments.tolist()) == {segment}
            assert example.sees == rule
            assert len(example) <= 32


def test_a_run_is_the_corpus_from_where_the_pair_begins(mixed: Mixed, shards: Shards) -> None:
    bounds = shards.sentence_bounds[mixed.pairs.first]
    for i, (start, stop) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        run = mixed.pairs.run(i)
        assert run.tokens.tolist() == shards.slice(start, min(stop, start + 29)).tokens.tolist()


def test_the_mode_is_drawn_from_its_place_and_as_often_as_said(mixed: Mixed, shards: Shards) -> None:
    again = Mixed(SentencePairs(shards, length=29, seed=5), UNILM, mixed.vocab)
    places = [(epoch, i) for epoch in range(40) for i in range(60)]
    found = [mixed.mode(i, epoch=epoch).sees for epoch, i in places]
    assert [again.mode(i, epoch=epoch).sees for epoch, i in reversed(places)] == found[::-1]
    for mode in UNILM:
        share = mode.share / 6
        assert abs(found.count(mode.sees) / 2400 - share) < 4 * np.sqrt(share * (1 - share) / 2400)
    assert found[:60] != found[60:120], "another epoch, another mode"
    other = Mixed(SentencePairs(shards, length=29, seed=6), UNILM, mixed.vocab)
    assert [other.mode(i, epoch=epoch).sees for epoch, i in places] != found
    assert mixed.fingerprint == again.fingerprint
    assert mixed.fingerprint != Mixed(mixed.pairs, UNILM[:3], mixed.vocab).fingerprint


def test_the_next_sentence_is_asked_in_both_directions_alone_and_both_segments_are_masked(
    mixed: Mixed, shards: Shards, tokenizer: Tokenizer
) -> None:
    world = World(tokenizer.vocab, shards.passage, 32, len(shards.documents))
    feed = Feed(mixed, (Pair(), Mlm()), world, batch=60, seed=5)
    seen = set()
    hidden = {4: 0, 5: 0}  # by segment id, in sequence-to-sequence pairs
    for t in range(4):
        (batch,) = feed.at(t)
        seen |= set(batch.sees)
        for start, stop, sees in zip(batch.offsets[:-1], batch.offsets[1:], batch.sees, strict=True):
            assert (batch.answers["pair"][start] >= 0) == isinstance(sees, Full)
            asked = batch.answers["mlm"][start:stop] >= 0
            assert asked.any()
            if isinstance(sees, Prefix):
                for segment in hidden:
                    hidden[segment] += int((asked & (batch.segments[start:stop] == segment)).sum())
            assert set(batch.segments[start:stop].tolist()) <= {
                Full: {0, 1}, Prefix: {4, 5}, Causal: {2}, Backward: {3}
            }[type(sees)]  # fmt: skip
    assert {type(sees) for sees in seen} == {Full, Prefix, Causal, Backward}, "mixed within a batch"
    assert min(hidden.values()) > 20


@pytest.mark.parametrize(
    ("sees", "at", "changed"),
    [
        ("prefix", 5, [5]),  # the last of the target
        ("prefix", 4, [4, 5]),
        ("prefix", 1, [0, 1, 2, 3, 4, 5]),  # the source
        ("causal", 3, [3, 4, 5]),
        ("backward", 3, [0, 1, 2, 3]),
        ("full", 3, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_another_token_changes_the_states_of_those_who_see_it(
    vocab: Vocab, tiny: Backbone, sees: str, at: int, changed: list[int]
) -> None:
    mode = next(mode for mode in UNILM if mode.sees == sees)
    laid = Example.of(vocab, *(Passage(np.arange(7, 7 + n), np.ones(n, dtype=bool)) for n in (1, 2)))
    model = Model(tiny, Mlm().parts(tiny, World(vocab)), seed=1).eval()

    def states(token: int) -> torch.Tensor:
        tokens = laid.tokens.copy()
        tokens[at] = token
        example = Example(tokens, tokens, laid.starts, laid.free, laid.segments, sees=mode.visibility(3))
        return Step(model, Packed(Batch.pack([example]))).encode().detach()

    moved = (states(20) - states(33)).abs().amax(dim=1)
    assert [i for i in range(6) if moved[i] > 1e-6] == changed
