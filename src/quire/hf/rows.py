"""Rows of a person's data set as damaged examples: what a data collator begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias

import numpy as np
from torch.utils.data import get_worker_info

from quire.core.config import Settings, parse
from quire.core.errors import BadInput
from quire.core.example import Bools, Example, Passage, Vocab, World
from quire.core.random import Rng, rng
from quire.objectives import Objective
from quire.objectives.pair import Pair
from quire.text.cut import cut
from quire.text.packing import truncated
from quire.text.tokenizers import Tokenizer
from quire.train.feed import check_company, corrupted

Row: TypeAlias = str | Mapping[str, Any] | Example
"""A text; or its columns, `text` and beside it `text_pair` or `text_target`, or `input_ids` with `token_type_ids`; or
an example that is laid already, such as those of `quire.train.feed.Corpus`."""
Asked: TypeAlias = Sequence[Objective | str | Mapping[str, Any]]
"""Objectives, or what a recipe says for them."""
LONGEST = 512
COUNTED = 10_000
"""Texts of a corpus in which tokens are counted, evenly spread over it."""
WORD_MARKS = ("Ġ", "▁")
"""What tokens that begin a word are spelled with, where not all others are spelled with `##`."""


class _Objectives(Settings):
    objectives: tuple[Objective, ...]


class Damage:
    """Rows to damaged examples.

    What happens to a row is drawn from (seed, worker, number of the batch, place in the batch). The number counts the
    batches that this process has made, and the worker is the seed that torch gives a process of a DataLoader, another
    one in each epoch and itself a function of the Trainer's seed. So a run is repeated by its seeds and its number of
    workers; one that goes on in the middle of an epoch sees other masks than it would have.
    """

    def __init__(
        self,
        tokenizer: Any,
        objectives: Asked,
        *,
        length: int | None = None,
        corpus: Sequence[str] = (),
        start: Literal["sep", "pad", "cls"] = "sep",
        seed: int = 0,
    ) -> None:
        """`tokenizer` is transformers' or Quire's, `length` the tokens of an example at most, `start` what stands
        before the first token of a `text_target`. From `corpus` come random partners and the counts of tokens."""
        self.objectives = parse(_Objectives, {"objectives": tuple(objectives)}, where="hf").objectives
        check_company(self.objectives)
        self.tokenizer, self.start, self.seed, self.made = quires(tokenizer), start, seed, 0
        self.corpus = corpus
        self.numbers = {text: number for number, text in enumerate(corpus)}
        vocab = self.tokenizer.vocab
        length = length or min(self.tokenizer.longest or LONGEST, LONGEST)
        if not corpus:
            self.world = World(vocab, length=length)
        else:
            counted = self.tokenizer.encode(corpus[:: -(-len(corpus) // COUNTED)])
            counts = np.bincount(np.concatenate([found.tokens for found in counted]), minlength=vocab.size)
            self.world = World(replace(vocab, counts=counts), self.passage, length, len(corpus))
        self.begins = begins(self.tokenizer)
        self.pairs = any(isinstance(objective, Pair) for objective in self.objectives)

    def __call__(self, rows: Sequence[Row]) -> list[Example]:
        worker = get_worker_info()
        batch, self.made = self.made, self.made + 1
        made = []
        for place, row in enumerate(rows):
            draw = rng(self.seed, "corrupt", 0 if worker is None else worker.seed, batch, place)
            made.append(corrupted(self.example(row, draw), self.objectives, self.world, draw))
        return made

    def passage(self, most: int, draw: Rng) -> Passage:
        """The beginning of a random text of the corpus."""
        number = int(draw.integers(len(self.corpus)))
        found = self.read(self.corpus[number])
        return found[:most]

    def read(self, text: str) -> Passage:
        """The tokens of a text, which is a document of its own."""
        (found,) = self.tokenizer.encode([text])
        return Passage(found.tokens, found.starts, self.numbers.get(text, -1))

    def example(self, row: Row, draw: Rng) -> Example:
        """A row, before anything is damaged."""
        if isinstance(row, Example):
            return row
        columns = {"text": row} if isinstance(row, str) else row
        passages = self.passages(columns)
        if self.pairs and len(passages) == 1:
            passages = halved(passages[0], self.world.vocab, draw)
        if len(passages) == 2:
            room = max(self.world.length - 3, 2)
            return Example.of(self.world.vocab, *truncated(*passages, length=room, rng=draw))
        made = Example.of(self.world.vocab, cut(passages[0], limit=self.world.length - 2, how="head"))
        return replace(made, target=self.target(columns["text_target"])) if "text_target" in columns else made

    def passages(self, columns: Mapping[str, Any]) -> tuple[Passage, ...]:
        """One or two runs of tokens."""
        if "text" in columns:
            return tuple(self.read(columns[name]) for name in ("text", "text_pair") if columns.get(name) is not None)
        if "input_ids" not in columns:
            raise BadInput(
                f"a row has the columns {', '.join(columns) or '(none)'} and neither text nor input_ids; "
                "TrainingArguments(remove_unused_columns=False) leaves a row as it is"
            )
        ids = np.array(columns["input_ids"], dtype=np.int64)
        types = np.array(columns.get("token_type_ids", np.zeros_like(ids)))
        parts = [self.plain(ids[types == segment]) for segment in (0, 1) if (types == segment).any()]
        return tuple(Passage(part, self.begins[part]) for part in parts)

    def plain(self, ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Without special tokens at either end."""
        (ordinary,) = np.nonzero(~self.world.vocab.reserved[ids])
        return ids[ordinary[0] : ordinary[-1] + 1] if len(ordinary) else ids[:0]

    def target(self, text: str) -> Example:
        """What a decoder writes beside a text; nothing is asked for yet (`translate` does)."""
        vocab = self.world.vocab
        tokens = self.read(text).tokens[: self.world.length - 1]
        written = Example.written("", np.append(tokens, vocab.sep), start=getattr(vocab, self.start))
        return replace(written, answers={})


def quires(tokenizer: Any) -> Tokenizer:
    """A tokenizer of transformers as one of ours; its own is left as it is."""
    if isinstance(tokenizer, Tokenizer):
        return tokenizer
    if not getattr(tokenizer, "is_fast", False):
        raise BadInput(
            f"{type(tokenizer).__name__}: only tokenizers with a tokenizer.json can be read; take AutoTokenizer's "
            "fast one, or train one with quire.text.tokenizers"
        )
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return Tokenizer.load(Path(folder))


def begins(tokenizer: Tokenizer) -> Bools:
    """True [V] for tokens that begin a word, as they are spelled: of ids nothing else is known."""
    spelled = [tokenizer.backend.id_to_token(i) or "" for i in range(tokenizer.vocab.size)]
    marked = np.array([token.startswith(WORD_MARKS) for token in spelled])
    return marked if marked.any() else np.array([not token.startswith("##") for token in spelled])


def halved(passage: Passage, vocab: Vocab, draw: Rng) -> tuple[Passage, ...]:
    """A text in two, behind a random one of its full stops; whole, where it has none inside."""
    ends = np.flatnonzero(np.isin(passage.tokens[:-1], sorted(vocab.stops))) + 1
    if not len(ends):
        return (passage,)
    middle = int(draw.choice(ends))
    return passage[:middle], passage[middle:]
