"""TF-IDF and logistic regression, scikit-learn's: the baseline that costs nothing and often does well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from quire.core.example import Ints
from quire.predict.base import Floats, Predictor
from quire.predict.folder import Facts, Names, read_own, shaped, write_own
from quire.predict.linear import Scores, best_regression, softmax
from quire.text.words import mostly_chinese


class _Facts(Facts):
    analyzer: Literal["word", "char"]
    vocabulary: Names


class TfIdf(Predictor):
    """Words and word pairs, or in Chinese runs of one to three characters, weighed by sublinear tf-idf."""

    kind = "tfidf"

    def __init__(self, labels: Sequence[str], vectorizer: Any, linear: Scores) -> None:
        self.labels, self.vectorizer, self.linear = tuple(labels), vectorizer, linear

    @classmethod
    def fit(
        cls,
        labels: Sequence[str],
        train: tuple[Sequence[str], Ints],
        dev: tuple[Sequence[str], Ints],
        *,
        corpus: Iterable[str] = (),
        seed: int = 0,
    ) -> TfIdf:
        """Words of the training texts, weighed by how rare they are there and in the corpus; penalty chosen on dev."""
        texts, answers = train
        chinese = mostly_chinese(texts)
        known = _vectorizer(chinese=chinese).fit(texts).get_feature_names_out()  # other words could have no weight
        vectorizer = _vectorizer(chinese=chinese, vocabulary=known)
        vectorizer.fit([*texts, *corpus])
        linear = best_regression(
            (vectorizer.transform(texts), answers), (vectorizer.transform(dev[0]), dev[1]), len(labels), seed=seed
        )
        used = np.flatnonzero(np.abs(linear.coef).max(axis=0) > 0)  # a word that no label needs is not deployed
        names = vectorizer.get_feature_names_out()[used]
        return cls(labels, _frozen(vectorizer.analyzer, names, vectorizer.idf_[used]), linear.only(used))

    def probabilities(self, texts: Sequence[str]) -> Floats:
        return softmax(self.linear(self.vectorizer.transform(texts)))

    def parameter_count(self) -> int:
        return self.linear.coef.size + self.linear.intercept.size + len(self.vectorizer.idf_)

    def save(self, folder: Path, *, card: str = "") -> None:
        arrays = {"coef": self.linear.coef, "intercept": self.linear.intercept, "idf": self.vectorizer.idf_}
        facts = {
            "analyzer": self.vectorizer.analyzer,
            "vocabulary": [str(word) for word in self.vectorizer.get_feature_names_out()],
        }
        write_own(folder, self, arrays=arrays, facts=facts, card=card)

    @classmethod
    def load(cls, folder: Path) -> TfIdf:
        facts, arrays = read_own(folder, _Facts)
        c, f = len(facts.labels), len(facts.vocabulary)
        shaped(folder, arrays, coef=(c, f), intercept=(c,), idf=(f,))
        vectorizer = _frozen(facts.analyzer, facts.vocabulary, arrays["idf"])
        return cls(facts.labels, vectorizer, Scores(arrays["coef"], arrays["intercept"]))


def _vectorizer(*, chinese: bool, vocabulary: Sequence[str] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    options = {"sublinear_tf": True, "vocabulary": vocabulary, "dtype": np.float32}
    if chinese:
        return TfidfVectorizer(analyzer="char", ngram_range=(1, 3), **options)
    return TfidfVectorizer(analyzer="word", ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **options)


def _frozen(analyzer: str, words: Sequence[str], idf: Floats) -> Any:
    vectorizer = _vectorizer(chinese=analyzer == "char", vocabulary=list(words))
    vectorizer.idf_ = np.asarray(idf, dtype=np.float32)
    return vectorizer
