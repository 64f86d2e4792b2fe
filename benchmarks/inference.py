"""(c) Sentence embeddings: sentences a second, against transformers and sentence-transformers; and Quire's own int8.

Legend: S sentences, B sentences of a batch, L tokens of the longest of them, W width.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import peers
from benchmarks.harness import Result, Scale, Side, agree, timed, versus
from benchmarks.text import Labelled
from quire.compress.quantize import DynamicInt8
from quire.core.errors import BadInput
from quire.nn.model import Model
from quire.predict.base import Floats
from quire.predict.features import Features
from quire.text.tokenizers import Tokenizer
from quire.train.machine import counted
from quire.train.start import Base, started

TITLE = "embedding"
INT8 = "quire int8"
REMARKS = (
    "Embedding: the mean of the last states, not normalised; every side starts from the sentences as text, so "
    "tokenizing is included everywhere; batches of equal size for the peers, sentence-transformers sorts by itself. "
    "The share of the peak is that of fp32 for every row.",
)

Embed = Callable[[Sequence[str]], Floats]


def measure(text: list[Labelled], base: Base, scale: Scale, folder: Path) -> Result:
    """All sentences again and again, against each peer that is installed."""
    peers.require("transformers")
    sentences = [sentence for sentence, _ in text[: scale.sentences]]
    longest = min(scale.longest, base.files.backbone.positions)
    model = started(base.files, {}, seed=0).eval()
    ours = _ours(model, base.tokenizer, longest)
    peers.write(folder / TITLE, model, base.tokenizer, pooler=base.files.pooler)
    others, remarks = _others(folder / TITLE, scale.batch, longest)
    truth, necessary = counted(lambda: ours(sentences))
    agreements = tuple(agree(f"{TITLE}: quire, {name}", truth, embed(sentences)) for name, embed in others.items())
    others[INT8] = _ours(DynamicInt8().apply(model, DynamicInt8().plan(model)), base.tokenizer, longest)
    remarks = (*REMARKS, *remarks, _fidelity(truth, others[INT8](sentences)))
    rows = versus(
        TITLE,
        _side("quire", ours, sentences),
        [_side(name, embed, sentences) for name, embed in others.items()],
        pairs=scale.pairs,
        unit="sentences",
        work=len(sentences),
        flops=necessary,
    )
    return Result(rows, agreements, remarks)


def _side(name: str, embed: Embed, sentences: Sequence[str]) -> Side:
    return Side(name, timed(lambda: embed(sentences)))


def _ours(model: Model, tokenizer: Tokenizer, longest: int) -> Embed:
    return lambda sentences: Features.features(model, tokenizer, sentences, length=longest, how="head")


def _others(folder: Path, batch: int, longest: int) -> tuple[dict[str, Embed], tuple[str, ...]]:
    """The peers by name, and a line for one that is not installed."""
    padded = Padded(folder, batch=batch, longest=longest)
    others: dict[str, Embed] = {
        "transformers, file order": padded.in_order,
        "transformers, by length": padded.by_length,
    }
    try:
        peers.require("sentence-transformers")
    except BadInput as missing:
        return others, (f"Embedding: {missing}; its row is left out.",)
    return others | {"sentence-transformers encode": _sentence_transformers(folder, batch, longest)}, ()


class Padded:
    """transformers' BertModel on padded batches, and the mean over real tokens."""

    def __init__(self, folder: Path, *, batch: int, longest: int) -> None:
        self.model, self.tokenizer = peers.opened(folder, "AutoModel"), peers.opened_tokenizer(folder)
        self.batch, self.longest = batch, longest

    def in_order(self, sentences: Sequence[str]) -> Floats:
        """[S, W], batches as the sentences come."""
        cut = partial(self.tokenizer, truncation=True, max_length=self.longest, padding=True, return_tensors="pt")
        starts = range(0, len(sentences), self.batch)
        return np.concatenate([self._means(cut(list(sentences[i : i + self.batch]))) for i in starts])

    def by_length(self, sentences: Sequence[str]) -> Floats:
        """[S, W], batches of sentences with about as many tokens."""
        ids = self.tokenizer(list(sentences), truncation=True, max_length=self.longest)["input_ids"]
        order = np.argsort([len(row) for row in ids], kind="stable")
        found = []
        for start in range(0, len(order), self.batch):
            rows = [ids[i] for i in order[start : start + self.batch]]
            found.append(self._means(self.tokenizer.pad({"input_ids": rows}, return_tensors="pt")))
        return np.asarray(np.concatenate(found)[np.argsort(order)], dtype=np.float32)

    @torch.inference_mode()
    def _means(self, inputs: Any) -> Floats:
        states_BLW = self.model(**inputs).last_hidden_state
        mask_BL1 = inputs["attention_mask"].unsqueeze(-1)
        means: Floats = ((states_BLW * mask_BL1).sum(1) / mask_BL1.sum(1)).numpy()
        return means


def _sentence_transformers(folder: Path, batch: int, longest: int) -> Embed:
    """`encode` as it comes: a plain model folder gets mean pooling there."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    model.max_seq_length = longest
    return lambda sentences: np.asarray(
        model.encode(list(sentences), batch_size=batch, show_progress_bar=False), dtype=np.float32
    )


def _fidelity(truth: Floats, small: Floats) -> str:
    cosine = (truth * small).sum(1) / (np.linalg.norm(truth, axis=1) * np.linalg.norm(small, axis=1))
    return (
        f"Embedding: cosine of {INT8} to fp32 over the sentences: mean {cosine.mean():.4f}, least {cosine.min():.4f}."
    )
