"""XLNet's rows: nothing lost between rows, memory before context, B or another, and reversed text reversed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from quire.core.errors import BadInput
from quire.core.example import Example
from quire.core.visibility import Permuted
from quire.text.context import ContextPairs, ContextPlan, backwards
from quire.text.shards import Shards
from quire.text.tokenizers import Tokenizer
from quire.text.writing import write

LENGTH = 24


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([" ".join("abcdefgh")] * 3, kind="wordpiece", size=32)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Shards:
    """Documents of sentences of 1 to 9 tokens; a quarter of the words has two pieces."""
    draw = np.random.default_rng(0)
    words = [*"abcdef", "ab", "gh"]

    def sentence() -> str:
        return " ".join(words[i] for i in draw.integers(8, size=draw.integers(1, 8)))

    texts = ["\n".join(sentence() for _ in range(draw.integers(1, 9))) for _ in range(40)]
    return write(tmp_path_factory.mktemp("context") / "c", texts, tokenizer=tokenizer)


def rows(
    shards: Shards, tokenizer: Tokenizer, *, length: int = LENGTH, plan: ContextPlan | None = None
) -> ContextPairs:
    return ContextPairs(shards, tokenizer.vocab, length=length, plan=plan or ContextPlan(), seed=1)


def memory(example: Example) -> int:
    assert isinstance(example.sees, Permuted)
    return example.sees.memory


def test_shares_are_the_release_s(shards: Shards, tokenizer: Tokenizer) -> None:
    """512: context 256, memory 384; here as shares of 24."""
    made = rows(shards, tokenizer)
    assert (made.reuse, made.memory, made.pair) == (12, 18, 9)
    assert len(made) == 2 * made.rows
    assert len(rows(shards, tokenizer, plan=ContextPlan(reverse=False))) == made.rows


@pytest.mark.parametrize("reverse", [False, True])
def test_contexts_laid_end_to_end_are_the_stream_and_memory_is_what_came_before(
    shards: Shards, tokenizer: Tokenizer, reverse: bool
) -> None:
    made = rows(shards, tokenizer)
    stream = shards.slice(0, len(shards)).tokens
    stream = stream[::-1] if reverse else stream
    for row in range(made.rows):
        example = made.example(row + (made.rows if reverse else 0), epoch=0)
        m, begin = memory(example), row * made.reuse
        assert m == min(begin, made.memory)
        assert len(example) == m + LENGTH
        assert (example.truth[: m + made.reuse] == stream[begin - m : begin + made.reuse]).all()
        assert (example.truth[m + made.reuse] == stream[begin + made.reuse]).all(), "A goes on from the context"
        if reverse:
            assert example.positions is not None
            assert (np.diff(example.positions) == -1).all()
        else:
            assert example.positions is None


def test_row_as_the_release_lays_it(shards: Shards, tokenizer: Tokenizer) -> None:
    made, vocab = rows(shards, tokenizer), tokenizer.vocab
    for i in range(0, len(made), 3):
        example = made.example(i, epoch=2)
        m = memory(example)
        middle = m + made.reuse
        first = int(np.flatnonzero(example.truth == vocab.sep)[0])
        assert example.truth[-2:].tolist() == [vocab.sep, vocab.cls]
        assert (example.truth == vocab.sep).sum() == 2
        assert (example.segments[: first + 1] == 0).all()
        assert (example.segments[first + 1 : -1] == 1).all()
        assert example.segments[-1] == 2
        assert first > middle, "A has a token"
        assert first < len(example) - 3, "and B"
        assert not example.free[:m].any()
        assert (example.free[m:] == ~np.isin(example.truth[m:], [vocab.sep, vocab.cls])).all()
        seen = example.sees.mask(len(example))
        assert (seen.sum(axis=1) == [m] * m + [middle] * made.reuse + [len(example)] * (len(example) - middle)).all()


def test_half_of_the_b_follow_their_a(shards: Shards, tokenizer: Tokenizer) -> None:
    """By luck a random B may begin where A ends too; in sentences of few letters that is rare."""
    made, vocab = rows(shards, tokenizer), tokenizer.vocab
    stream = shards.slice(0, len(shards)).tokens
    follows = total = 0
    for epoch in range(12):
        for i in range(made.rows):
            example = made.example(i, epoch=epoch)
            first = int(np.flatnonzero(example.truth == vocab.sep)[0])
            b = example.truth[first + 1 : -2]
            end = i * made.reuse - memory(example) + first
            if len(b) >= 4:
                total += 1
                follows += bool((b == stream[end : end + len(b)]).all())
    # A that is one sentence has no other half, and so no B that follows; a cut A is not followed where it is cut.
    assert 0.25 < follows / total < 0.6
    assert binomtest(follows, total, 0.05).pvalue < 1e-9


def test_same_seed_epoch_and_row_are_the_same_example(shards: Shards, tokenizer: Tokenizer) -> None:
    one, two = rows(shards, tokenizer), rows(shards, tokenizer)
    for i in (0, 5, len(one) - 1):
        assert (one.example(i, epoch=3).truth == two.example(i, epoch=3).truth).all()
    assert any((one.example(i, epoch=0).truth != one.example(i, epoch=1).truth).any() for i in range(5, 15))
    other = rows(shards, tokenizer, plan=ContextPlan(memory=0.5))
    assert one.fingerprint == two.fingerprint != other.fingerprint
    assert memory(rows(shards, tokenizer, plan=ContextPlan(memory=0)).example(4, epoch=0)) == 0


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_words_read_backwards_are_the_same_words(flags: list[bool]) -> None:
    starts = np.array([True, *flags[1:]])
    turned = backwards(starts)
    assert turned[0]
    assert (backwards(turned) == starts).all()
    assert turned.sum() == starts.sum()
    sizes = np.diff([*np.flatnonzero(starts), len(starts)])
    assert (np.diff([*np.flatnonzero(turned), len(turned)]) == sizes[::-1]).all()


def test_what_cannot_be_cut_is_refused(shards: Shards, tokenizer: Tokenizer) -> None:
    with pytest.raises(BadInput, match=r"data.length 4000: the corpus has [\d]+ tokens, less than a row"):
        rows(shards, tokenizer, length=4000)
    with pytest.raises(BadInput, match=r"data.context.reuse 0.95: leaves -2 of 24 tokens"):
        rows(shards, tokenizer, plan=ContextPlan(reuse=0.95))
    with pytest.raises(IndexError):
        rows(shards, tokenizer).example(10_000, epoch=0)


def test_last_row_fits(shards: Shards, tokenizer: Tokenizer) -> None:
    for length in range(10, 40):
        made = rows(shards, tokenizer, length=length)
        for i in (0, made.rows - 1, made.rows, len(made) - 1):
            example = made.example(i, epoch=0)
            assert len(example) == memory(example) + length
