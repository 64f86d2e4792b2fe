"""Mean-pooled states of a frozen base, and logistic regression on them (survey: feature extraction).

Legend: E texts, W width of the base.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quire.nn.model import Model
from quire.paradigms.classify import Classify
from quire.predict.base import Floats, Predictor
from quire.predict.encode import Reading, encode
from quire.predict.folder import RECORD, Facts, read_own, shaped, write_own
from quire.predict.linear import Scores, softmax
from quire.text.cut import Cut
from quire.text.tokenizers import Tokenizer
from quire.train.evaluate import embed
from quire.train.start import tokenizer_of
from quire.train.weights import read_model, save_model

ENCODER = "encoder"


class _Facts(Facts):
    length: int
    cut: Cut


class Features(Predictor):
    """The base as it came, and a linear layer fitted on its features."""

    kind = "features"

    def __init__(
        self, model: Model, tokenizer: Tokenizer, linear: Scores, labels: Sequence[str], *, length: int, how: Cut
    ) -> None:
        self.model, self.tokenizer, self.linear, self.labels = model.eval(), tokenizer, linear, tuple(labels)
        self.length, self.how = length, how

    @staticmethod
    def features(model: Model, tokenizer: Tokenizer, texts: Sequence[str], *, length: int, how: Cut) -> Floats:
        """[E, W], the mean over all positions of a text, special ones included, as sentence-transformers pools."""
        return embed(model, encode(Classify(labels=()), tokenizer, texts, length=length, how=how))

    def probabilities(self, texts: Sequence[str]) -> Floats:
        rows = self.features(self.model, self.tokenizer, texts, length=self.length, how=self.how)
        return softmax(self.linear(rows))

    def parameter_count(self) -> int:
        return self.model.parameter_count() + self.linear.coef.size + self.linear.intercept.size

    def save(self, folder: Path, *, card: str = "") -> None:
        def encoder(draft: Path) -> None:
            save_model(
                draft / ENCODER,
                backbone=self.model.spec,
                heads={},
                state=self.model.state_dict(),
                labels=None,
                tokenizer_saver=self.tokenizer.save,
                vocab=self.tokenizer.vocab,
                card=card,
                extra={},
            )

        arrays = {"coef": self.linear.coef, "intercept": self.linear.intercept}
        write_own(folder, self, arrays=arrays, facts={"length": self.length, "cut": self.how}, card=card, also=encoder)

    @classmethod
    def load(cls, folder: Path) -> Features:
        facts, arrays = read_own(folder, _Facts)
        files = read_model(folder / ENCODER)
        read = Reading.of(facts.model_dump(), files.backbone, where=str(folder / RECORD))
        c = len(facts.labels)
        shaped(folder, arrays, coef=(c, files.backbone.width), intercept=(c,))
        model = Model.of(files.backbone, {}, files.state)
        linear = Scores(arrays["coef"], arrays["intercept"])
        tokenizer = tokenizer_of(folder / ENCODER, files.backbone)
        return cls(model, tokenizer, linear, facts.labels, length=read.length, how=read.cut)
