"""Sentences and mixtures."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.core.errors import BadInput
from quire.text.corpus import Mixture, sentences


@pytest.mark.parametrize(
    "cut",
    [
        "今天天气好。|我们去玩！|真的吗？|真的",
        "他说：“好。”|然后走了。",
        "好吗?|我说好!|行",
        "价格是3.14元。|网址a.b.com很好",
        "It works. |Really? |Yes! |\"Fine.\" |He left (at last.) |Then rain.",
        "Dr. Smith met Mr. J. R. Jones, e.g. at 3.30 p.m. on Main St. yesterday. |Then he left.",
        "It cost $3.14 in the U.S. market vs. 2.50 abroad... and more. |End",
        "Visit example.org or v1.2.3 now. |Bye",
        "no full stop\n|second line\r\n|\n|third",
    ],
)  # fmt: skip
def test_sentences_end_where_a_reader_ends_them(cut: str) -> None:
    expected = [piece.strip() for piece in cut.split("|")]
    assert sentences(cut.replace("|", "")) == [piece for piece in expected if piece]


@settings(deadline=None)
@given(st.text(alphabet='ab I.我好。！？!?"”) \n\t\u2028\x1c', max_size=60) | st.text())
def test_nothing_but_white_space_is_lost(text: str) -> None:
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(piece == piece.strip() != "" and len(piece.splitlines()) == 1 for piece in found)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0.05, 9), min_size=1, max_size=5), st.integers(0, 9))
def test_every_block_holds_each_source_at_its_rate_and_each_example_once(rates: list[float], seed: int) -> None:
    mixture = Mixture({str(i): rate for i, rate in enumerate(rates)}, seed=seed, block=400)
    found = [mixture.at(place) for place in range(800)]
    counts = Counter(name for name, _ in found[:400])
    for i, rate in enumerate(rates):
        assert abs(counts[str(i)] - 400 * rate / sum(rates)) < 1
        indices = [index for name, index in found if name == str(i)]
        assert indices == list(range(2 * counts[str(i)]))


def test_a_mixture_is_mixed_and_seeded() -> None:
    def first(seed: int) -> str:
        return "".join(Mixture({"a": 1, "b": 1}, seed=seed).at(i)[0] for i in range(64))

    assert first(1) == first(1) != first(2)
    assert "ab" in first(1)
    assert "ba" in first(1)


def test_wrong_rates_are_refused() -> None:
    for rates in ({}, {"a": 0.0}, {"a": -1.0}, {"a": float("nan")}, {"a": float("inf")}):
        with pytest.raises(BadInput, match="positive"):
            Mixture(rates)
    with pytest.raises(BadInput, match="rate of 'b' is below one in 1000"):
        Mixture({"a": 1.0, "b": 1e-5})
