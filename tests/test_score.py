"""Scores of written texts: the libraries' figures, on texts whose scores can be told by hand."""

import pytest

from quire.score import METRICS, score_texts, signature

pytest.importorskip("sacrebleu")
pytest.importorskip("torchmetrics")


def test_the_same_text_scores_a_hundred_and_another_one_nothing() -> None:
    texts = ["the cat sat on a mat today", "two dogs ran over the wide field"]
    assert score_texts(texts, texts) == {name: pytest.approx(100, abs=1e-4) for name in METRICS}
    nothing = score_texts(["xx yy zz ww", "qq jj kk vv"], texts)
    assert nothing["rouge1"] == nothing["rougeL"] == 0
    assert nothing["bleu"] < 5


def test_rouge_by_hand() -> None:
    """Of 6 and 6 words 6 are shared, of 5 and 5 pairs 2, and the longest common subsequence has 4 words."""
    found = score_texts(["the cat sat on a mat"], ["a cat sat on the mat"])
    assert found["rouge1"] == pytest.approx(100)
    assert found["rouge2"] == pytest.approx(40)
    assert found["rougeL"] == pytest.approx(100 * 4 / 6)


@pytest.mark.parametrize(
    ("written", "reference", "rouge1", "rouge2"),
    [
        ("кошка сидит дома", "Кошка сидит дома.", 100, 100),
        ("die Männer gehen dort nun", "die Mädchen gehen dort nun", 80, 50),
        ("das größte Tor", "das große Tor", 200 / 3, 0),
        ("고양이가 집에 있다", "고양이가 집에 없다", 200 / 3, 50),
    ],
)
def test_words_are_words_in_any_script(written: str, reference: str, rouge1: float, rouge2: float) -> None:
    found = score_texts([written], [reference])
    assert found["rouge1"] == pytest.approx(rouge1)
    assert found["rouge2"] == pytest.approx(rouge2)


def test_chinese_is_scored_by_character() -> None:
    found = score_texts(["今天天气好"], ["今天天气很好"])
    assert found["rouge1"] == pytest.approx(100 * 2 * 5 / 11)
    assert found["bleu"] > 30
    assert "tok:zh" in signature(["今天天气很好"])["bleu"]
    assert "tok:13a" in signature(["fine weather"])["bleu"]


def test_another_number_of_texts_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 texts for 2 references"):
        score_texts(["a"], ["a", "b"])
