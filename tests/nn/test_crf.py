"""A CRF over packed rows: log Z and the best row against every row there is, at odd sizes."""

from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from quire.core.tags import Scheme, allowed, broken, tags
from quire.nn.crf import Chain, ChainScores, log_likelihood, log_z, row_scores, unchained, viterbi
from quire.nn.losses import cross_entropy

LENGTHS = [3, 0, 1, 5, 3, 0, 2]
TAGS = 3


def drawn(*, seed: int = 1, lengths: list[int] = LENGTHS, count: int = TAGS) -> tuple[Tensor, Tensor, Chain]:
    """Scores of words, how many each row has, and a chain."""
    draw = torch.Generator().manual_seed(seed)
    sizes = (sum(lengths), count), (count,), (count, count), (count,)
    scores, *chain = (2 * torch.randn(size, generator=draw) for size in sizes)
    return scores, torch.tensor(lengths), Chain(*chain)


def every(scores_LC: Tensor, chain: Chain) -> dict[tuple[int, ...], float]:
    """The score of each row that a text of so many words can have."""
    found = {}
    for row in product(range(scores_LC.shape[1]), repeat=len(scores_LC)):
        score = sum(float(scores_LC[t, tag]) for t, tag in enumerate(row))
        score += sum(float(chain.next_CC[one, two]) for one, two in pairwise(row))
        found[row] = score + (float(chain.start_C[row[0]]) + float(chain.end_C[row[-1]]) if row else 0.0)
    return found


def test_log_z_and_the_best_row_are_those_of_all_rows() -> None:
    scores, lengths, chain = drawn()
    zs, best = log_z(scores, lengths, chain), torch.split(viterbi(scores, lengths, chain), LENGTHS)
    for number, one in enumerate(torch.split(scores, LENGTHS)):
        rows = every(one, chain)
        assert float(zs[number]) == pytest.approx(float(torch.tensor([*rows.values()]).logsumexp(0)), abs=1e-4)
        assert tuple(best[number].tolist()) == max(rows, key=lambda row: rows[row])


def test_the_score_of_a_row_is_its_words_and_what_joins_them() -> None:
    scores, lengths, chain = drawn(seed=2)
    row = torch.randint(TAGS, (len(scores),), generator=torch.Generator().manual_seed(3))
    found = row_scores(scores, row, lengths, chain)
    ones = zip(torch.split(scores, LENGTHS), torch.split(row, LENGTHS), strict=True)
    assert found.tolist() == pytest.approx([every(one, chain)[tuple(its.tolist())] for one, its in ones], abs=1e-5)


def test_the_chances_of_all_rows_sum_to_one_and_their_gradients_are_finite() -> None:
    scores, lengths, chain = drawn(lengths=[4])
    scores.requires_grad_()
    rows = [torch.tensor(row) for row in product(range(TAGS), repeat=4)]
    chances = torch.stack([log_likelihood(scores, row, lengths, chain)[0] for row in rows]).exp()
    assert float(chances.sum().detach()) == pytest.approx(1, abs=1e-5)
    large = (scores * 300).detach().requires_grad_()
    log_likelihood(large, rows[0], lengths, chain).sum().backward()  # type: ignore[no-untyped-call]
    assert large.grad is not None
    assert torch.isfinite(large.grad).all()


def test_packed_rows_are_as_alone() -> None:
    scores, lengths, chain = drawn(seed=4)
    row = viterbi(-scores, lengths, chain)
    together = log_likelihood(scores, row, lengths, chain)
    pieces = zip(torch.split(scores, LENGTHS), torch.split(row, LENGTHS), LENGTHS, strict=True)
    for number, (one, its, length) in enumerate(pieces):
        alone = log_likelihood(one, its, torch.tensor([length]), chain)
        torch.testing.assert_close(together[number : number + 1], alone)
        assert torch.equal(viterbi(-one, torch.tensor([length]), chain), its)


def test_nothing_at_all_is_zero() -> None:
    scores, _, chain = drawn(lengths=[0])
    lengths, nothing = torch.tensor([0, 0]), torch.zeros(0, dtype=torch.int64)
    assert log_likelihood(scores, nothing, lengths, chain).tolist() == [0, 0]
    assert len(viterbi(scores, lengths, chain)) == 0


def test_a_chain_begins_as_the_softmax_of_each_word() -> None:
    scores, lengths, _ = drawn(seed=5)
    chain = ChainScores(TAGS)()
    row = scores.argmax(dim=1).roll(1)
    assert torch.equal(chain.next_CC, unchained(scores).next_CC)
    torch.testing.assert_close(
        -log_likelihood(scores, row, lengths, chain).sum() / len(row), cross_entropy(scores, row)
    )


@pytest.mark.parametrize("scheme", ["bio", "bioes"])
def test_within_a_scheme_no_best_row_is_broken(scheme: Scheme) -> None:
    names = tags(("PER", "LOC"), scheme=scheme)
    lengths = [7, 1, 2, 9, 3] * 20
    scores, sizes, chain = drawn(seed=6, lengths=lengths, count=len(names))
    table = torch.from_numpy(allowed(names, scheme=scheme))

    def faults(chain: Chain) -> int:
        best = torch.split(viterbi(scores, sizes, chain), lengths)
        rows = [[names[tag] for tag in row.tolist()] for row in best]
        return sum(broken(row, scheme=scheme) is not None for row in rows)

    assert faults(chain) > 20, "without it they are, so that the test can tell"
    assert faults(chain.within(table)) == 0


def test_the_best_row_within_a_scheme_is_the_best_of_those_that_keep_to_it() -> None:
    names = tags(("PER",), scheme="bioes")
    scores, lengths, chain = drawn(seed=7, lengths=[4, 2, 3], count=len(names))
    best = viterbi(scores, lengths, chain.within(torch.from_numpy(allowed(names, scheme="bioes"))))
    for one, its in zip(torch.split(scores, [4, 2, 3]), torch.split(best, [4, 2, 3]), strict=True):
        rows = every(one, chain)
        valid = [row for row in rows if broken([names[tag] for tag in row], scheme="bioes") is None]
        assert tuple(its.tolist()) == max(valid, key=lambda row: rows[row])
