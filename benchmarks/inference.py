"""(c) Reading: sentences a second, embedded and classified, against transformers and sentence-transformers; and Quire's
own int8.

Legend: S sentences, B sentences of a batch, L tokens of the longest of them, W width, C classes.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import accuracy, peers
from benchmarks.harness import Result, Scale, Side, agree, timed, versus
from benchmarks.text import Labelled
from quire.compress.quantize import DynamicInt8
from quire.core.errors import BadInput
from quire.core.example import World
from quire.nn.model import Model
from quire.paradigms.classify import Classify
from quire.predict.base import Floats
from quire.predict.features import Features
from quire.predict.network import Int8Network, Network
from quire.text.tokenizers import Tokenizer
from quire.train.loop import planned
from quire.train.machine import counted
from quire.train.start import Base, started

EMBEDDING, CLASSIFICATION = "embedding", "classification"
INT8 = "quire int8"
REMARKS = (
    "Embedding: the mean of the last states, not normalised. Classification: the topic of a sentence, by a fresh head "
    "on the same base, as probabilities. Every side starts from the sentences as text, so tokenizing is included "
    "everywhere; batches of equal size for the peers, sentence-transformers sorts by itself. The share of the peak is "
    "that of fp32 for every row.",
)

Read = Callable[[Sequence[str]], Floats]
"""What is made of sentences, a row each."""


def measure(text: list[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """All sentences again and again, against each peer that is installed."""
    peers.require("transformers")
    longest = min(scale.longest, base.files.backbone.positions)
    sentences = [sentence for sentence, _ in text[: scale.sentences]]
    labels = tuple(sorted({label for _, label in text[: scale.sentences]}))
    embedded = _embedded(sentences, base, scale, folder / EMBEDDING, longest=longest)
    classified = _classified(sentences, labels, base, scale, folder / CLASSIFICATION, longest=longest)
    return Result(
        (*embedded.rows, *classified.rows),
        (*embedded.agreements, *classified.agreements),
        (*REMARKS, *embedded.remarks, *classified.remarks, _accuracy(base, scale, longest)),
    )


def _embedded(sentences: list[str], base: Base, scale: Scale, folder: Path, *, longest: int) -> Result:
    model = started(base.files, {}, seed=0).eval()
    peers.write(folder, model, base.tokenizer, pooler=base.files.pooler)
    padded = Padded(folder, "AutoModel", means, batch=scale.batch, longest=longest)
    others, remarks = padded.both(), []
    try:
        peers.require("sentence-transformers")
        others["sentence-transformers encode"] = _sentence_transformers(folder, scale.batch, longest)
    except BadInput as missing:
        remarks.append(f"Embedding: {missing}; its row is left out.")
    small = DynamicInt8().apply(model, DynamicInt8().plan(model))
    ours, int8 = (_features(one, base.tokenizer, longest) for one in (model, small))
    found = _measured(EMBEDDING, ours, others, int8, sentences, scale)
    return Result(found.rows, found.agreements, (*remarks, _cosine(ours(sentences), int8(sentences))))


def _features(model: Model, tokenizer: Tokenizer, longest: int) -> Read:
    return lambda sentences: Features.features(model, tokenizer, sentences, length=longest, how="head")


def _classified(
    sentences: list[str], labels: tuple[str, ...], base: Base, scale: Scale, folder: Path, *, longest: int
) -> Result:
    task = Classify(labels=labels)
    model = started(base.files, planned([task], base.files.backbone, World(base.tokenizer.vocab)), seed=0)
    network = Network(model, task, base.tokenizer, length=longest, how="head")
    network.save(folder)
    padded = Padded(folder, "AutoModelForSequenceClassification", chances, batch=scale.batch, longest=longest)
    ours, int8 = network.probabilities, Int8Network.quantised(network).probabilities
    # Compared as logarithms, lest probabilities that are all small pass for equal.
    found = _measured(CLASSIFICATION, ours, padded.both(), int8, sentences, scale, compared=np.log)
    same = np.mean(ours(sentences).argmax(1) == int8(sentences).argmax(1))
    return Result(found.rows, found.agreements, (f"Classification: {INT8} says what fp32 says of {same:.1%}.",))


def _measured(
    title: str,
    ours: Read,
    others: Mapping[str, Read],
    int8: Read,
    sentences: list[str],
    scale: Scale,
    *,
    compared: Callable[[Floats], Floats] = np.asarray,
) -> Result:
    """That the others find the same, then turns."""
    truth, necessary = counted(lambda: ours(sentences))
    agreements = tuple(
        agree(f"{title}: quire, {name}", compared(truth), compared(read(sentences))) for name, read in others.items()
    )
    rows = versus(
        title,
        _side("quire", ours, sentences),
        [_side(name, read, sentences) for name, read in (*others.items(), (INT8, int8))],
        pairs=scale.pairs,
        unit="sentences",
        work=len(sentences),
        flops=necessary,
    )
    return Result(rows, agreements)


def _side(name: str, read: Read, sentences: Sequence[str]) -> Side:
    return Side(name, timed(lambda: read(sentences)))


def means(answered: Any, shown_BL: Tensor) -> Tensor:
    """[B, W], over real tokens."""
    shown_BL1 = shown_BL.unsqueeze(-1)
    means_BW: Tensor = (answered.last_hidden_state * shown_BL1).sum(1) / shown_BL1.sum(1)
    return means_BW


def chances(answered: Any, shown_BL: Tensor) -> Tensor:
    """[B, C]"""
    chances_BC: Tensor = answered.logits.softmax(dim=-1)
    return chances_BC


class Padded:
    """A model of transformers on padded batches, and what is made of its answers."""

    def __init__(
        self, folder: Path, auto: str, made: Callable[[Any, Tensor], Tensor], *, batch: int, longest: int
    ) -> None:
        self.model, self.tokenizer = peers.opened(folder, auto), peers.opened_tokenizer(folder)
        self.made, self.batch, self.longest = made, batch, longest

    def both(self) -> dict[str, Read]:
        """Its two orders by name."""
        return {"transformers, file order": self.in_order, "transformers, by length": self.by_length}

    def in_order(self, sentences: Sequence[str]) -> Floats:
        """[S, ...], batches as the sentences come."""
        cut = partial(self.tokenizer, truncation=True, max_length=self.longest, padding=True, return_tensors="pt")
        starts = range(0, len(sentences), self.batch)
        return np.concatenate([self._rows(cut(list(sentences[i : i + self.batch]))) for i in starts])

    def by_length(self, sentences: Sequence[str]) -> Floats:
        """[S, ...], batches of sentences with about as many tokens."""
        ids = self.tokenizer(list(sentences), truncation=True, max_length=self.longest)["input_ids"]
        order = np.argsort([len(row) for row in ids], kind="stable")
        found = []
        for start in range(0, len(order), self.batch):
            rows = [ids[i] for i in order[start : start + self.batch]]
            found.append(self._rows(self.tokenizer.pad({"input_ids": rows}, return_tensors="pt")))
        return np.asarray(np.concatenate(found)[np.argsort(order)], dtype=np.float32)

    @torch.inference_mode()
    def _rows(self, inputs: Any) -> Floats:
        rows: Floats = self.made(self.model(**inputs), inputs["attention_mask"]).numpy()
        return rows


def _sentence_transformers(folder: Path, batch: int, longest: int) -> Read:
    """`encode` as it comes: a plain model folder gets mean pooling there."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    model.max_seq_length = longest
    return lambda sentences: np.asarray(
        model.encode(list(sentences), batch_size=batch, show_progress_bar=False), dtype=np.float32
    )


def _accuracy(base: Base, scale: Scale, longest: int) -> str:
    try:
        return accuracy.remark(base, scale, longest=longest)
    except BadInput as missing:
        return f"Classification in int8: {missing}; its accuracy is left out."


def _cosine(truth: Floats, small: Floats) -> str:
    cosine = (truth * small).sum(1) / (np.linalg.norm(truth, axis=1) * np.linalg.norm(small, axis=1))
    return (
        f"Embedding: cosine of {INT8} to fp32 over the sentences: mean {cosine.mean():.4f}, least {cosine.min():.4f}."
    )
