"""A model as a maker of vectors: of the words that are one token of its own, and of texts. Legend: E texts, W width."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import nn

from quire.core.errors import BadInput
from quire.core.heads import SequenceHead
from quire.core.spec import Pool
from quire.explain.space import Space
from quire.nn.model import Model
from quire.nn.pooling import Mean
from quire.paradigms.classify import Classify
from quire.predict import opened
from quire.predict.encode import Reading, encode
from quire.predict.features import Features
from quire.predict.folder import RECORD, located
from quire.predict.network import Network
from quire.text.cut import Cut
from quire.text.tokenizers import Tokenizer
from quire.train.embedded import EMBEDDED
from quire.train.evaluate import embed
from quire.train.start import Base, tokenizer_of
from quire.train.weights import ModelFiles, read_model

WAYS: Mapping[Pool, str] = {
    "first": "the last state of the first position",
    "mean": "the mean of the last states",
    "max": "the largest values of the last states",
    "attention": "the last states, weighed as its classifier does",
    "last": "the last state of the last position",
    "first+max+mean": "the last state of the first position, the largest values and the mean of all, side by side",
    "last+max+mean": "the last state of the last position, the largest values and the mean of all, side by side",
}


@dataclass(frozen=True)
class Encoder:
    """A model, its tokenizer, and how much of a text it reads."""

    source: str
    model: Model
    tokenizer: Tokenizer
    length: int
    cut: Cut

    @classmethod
    def load(cls, name: str | Path) -> Self:
        """From a run folder, a model folder or an embedded base; BadInput for a predictor that is no network."""
        source = str(name)
        if source in EMBEDDED:
            base = Base.load(source)
            return cls._of(source, base.files, base.tokenizer)
        folder = located(name)
        if not (folder / RECORD).is_file():
            files = read_model(folder)
            return cls._of(source, files, tokenizer_of(folder, files.backbone))
        found = opened(folder)
        if not isinstance(found, Features | Network):
            raise BadInput(f"{source}: holds no network, so no vectors of tokens; give the folder of one")
        return cls(source, found.model, found.tokenizer, found.length, found.how)

    @classmethod
    def _of(cls, source: str, files: ModelFiles, tokenizer: Tokenizer) -> Self:
        model = Model.of(files.backbone, files.heads, files.state).eval()
        read = Reading.of(files.extra, files.backbone, where=f"{source}: extra")
        return cls(source, model, tokenizer, read.length, read.cut)

    def words(self) -> Space:
        """The rows of the table of tokens for words that the tokenizer, inside a text, cuts to that one token."""
        vocab = self.tokenizer.vocab
        spelled = {i: self.tokenizer.decode([i]).strip() for i in range(vocab.size) if i not in vocab.special}
        cut = self.tokenizer.encode([f" {word}" for word in spelled.values()])
        alone = (passage.tokens.tolist() for passage in cut)
        found = {word: i for (i, word), ids in zip(spelled.items(), alone, strict=True) if word and ids == [i]}
        if not found:
            raise BadInput(f"{self.source}: no token of its vocabulary is a whole word; give --file to draw texts")
        with torch.inference_mode():
            rows = self.model.backbone.embeddings.tokens(torch.tensor([*found.values()])).float().numpy()
        how = f"They are rows of the table of tokens, of the {len(found):,} words that are one token each."
        return Space("word", self.source, how, [*found], rows)

    @property
    def way(self) -> Pool:
        """How it pools: as its classifier does, or by the mean."""
        head = self.model.head_specs.get("classify")
        return head.pool if isinstance(head, SequenceHead) else "mean"

    def texts(self, texts: Sequence[str], labels: Sequence[str] = ()) -> Space:
        """The vectors [E, W] of texts: what the pool of its classifier makes of the states, else their mean."""
        examples = encode(Classify(labels=()), self.tokenizer, texts, length=self.length, how=self.cut)
        head: nn.Module | None = dict(self.model.heads).get("classify")
        pool: nn.Module | None = Mean() if self.way == "mean" else getattr(head, "pool", None)
        windows: nn.Module | None = getattr(head, "windows", None) if self.cut == "windows" else None
        how = f"They are {WAYS[self.way]}, over {self.length} tokens of a text at most."
        if self.cut == "windows":
            how = f"They are {WAYS[self.way]}, over windows of {self.length} tokens, of which one vector is made."
        return Space("text", self.source, how, texts, embed(self.model, examples, pool=pool, windows=windows), labels)
