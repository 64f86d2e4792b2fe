"""Pre-training a recipe on a person's text: tokenizer, shards, model, run folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch

from quire.core.config import write_yaml
from quire.core.errors import BadInput
from quire.core.example import World
from quire.core.spec import BoundaryHead, TokenHead
from quire.nn.model import Model
from quire.recipe import Recipe
from quire.text import writing
from quire.text.packing import Chunks, SentencePairs
from quire.text.records import iter_texts
from quire.text.shards import Shards
from quire.text.tokenizers import Fertility, Tokenizer, extend, fertility
from quire.text.words import Segmenter, chinese, mostly_chinese
from quire.train.feed import Corpus
from quire.train.folder import prepared
from quire.train.loop import Job, fit, planned
from quire.train.progress import Progress, Silent
from quire.train.signals import StopRequest
from quire.train.start import Base, started, widened
from quire.train.weights import ModelFiles, save_model

LEAST_TOKENS = 200
"""A corpus with fewer tokens teaches nothing."""
SPECIALS = {"documents": 2, "blocks": 2, "sentence-pairs": 3}
"""Special tokens around what each shape of data puts into a sequence."""


@dataclass(frozen=True)
class Extension:
    """A vocabulary with new words: the old pieces of each, and how texts are cut before and after."""

    tokenizer: Tokenizer
    pieces: Sequence[Sequence[int]]
    before: Fertility
    after: Fertility

    def __str__(self) -> str:
        return (
            f"{len(self.pieces)} words added to the vocabulary: tokens per word from {self.before.tokens_per_word:.3f} "
            f"to {self.after.tokens_per_word:.3f}, words in several pieces from {self.before.split:.1%} "
            f"to {self.after.split:.1%}"
        )


@dataclass
class Material:
    """What a recipe is trained with, made once and kept in `folder`: base, tokenizer, corpus. `texts` may be called
    more than once."""

    recipe: Recipe
    folder: Path
    texts: Callable[[], Iterable[str]]
    progress: Progress = field(default_factory=Silent)

    @cached_property
    def base(self) -> Base | None:
        return Base.load(self.recipe.base) if self.recipe.base else None

    @cached_property
    def segment(self) -> Segmenter | None:
        """The Chinese segmenter where the recipe wants it, or where the text is Chinese and the recipe leaves it."""
        words = self.recipe.data.words
        return chinese() if words == "chinese" or (words == "auto" and self._chinese()) else None

    def _chinese(self) -> bool:
        return mostly_chinese(list(islice(self.texts(), 200)))

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The base's, extended where the recipe says so, or one trained on the texts."""
        if self.base:
            return self.extension.tokenizer if self.extension else self.base.tokenizer
        assert self.recipe.backbone
        home, plan = self.folder / "tokenizer", self.recipe.data.tokenizer
        if not (home / "tokenizer_config.json").exists():  # the last file that loading needs
            self.progress.say("Training a tokenizer on the corpus")
            trained = Tokenizer.train(
                self.texts(),
                kind=plan.kind,
                size=plan.size,
                lowercase=plan.lowercase,
                longest=self.recipe.backbone.positions,
            )
            home.mkdir(parents=True, exist_ok=True)
            trained.save(home)
        return Tokenizer.load(home)

    @cached_property
    def extension(self) -> Extension | None:
        """New words for the base's vocabulary, chosen on the texts."""
        if not self.base or not self.recipe.data.extend:
            return None
        tokenizer = self.base.tokenizer
        wider, pieces = extend(tokenizer, self.texts(), by=self.recipe.data.extend)
        return Extension(wider, pieces, fertility(tokenizer, self.texts()), fertility(wider, self.texts()))

    @cached_property
    def files(self) -> ModelFiles:
        """The weights to start from; without a base only a shape."""
        if self.base:
            found = widened(self.base.files, self.extension.pieces) if self.extension else self.base.files
        else:
            assert self.recipe.backbone
            sized = self.recipe.backbone.model_copy(update={"vocab": self.tokenizer.vocab.size})
            found = ModelFiles(sized, heads={}, state={})
        if (length := self.recipe.data.length) > found.backbone.positions:
            raise BadInput(f"data.length {length}: the model has {found.backbone.positions} positions; take fewer")
        if self.recipe.data.shape == "sentence-pairs" and found.backbone.segments == 1:
            raise BadInput("data.shape sentence-pairs: the model has one segment; take two (backbone.segments)")
        return found

    @cached_property
    def shards(self) -> Shards:
        """The texts as token shards."""
        home = self.folder / "corpus"
        if not home.is_dir():
            self.progress.say("Writing the corpus as token shards")
            writing.write(home, self.texts(), tokenizer=self.tokenizer, segment=self.segment, at_least=LEAST_TOKENS)
        return Shards.open(home, tokenizer=self.tokenizer.fingerprint)

    def prepare(self) -> None:
        """Make or check everything that a job needs, before any training."""
        _ = self.files, self.shards

    def job(self, *, steps: int | None = None, seed: int) -> Job:
        """Pre-training on the texts as the recipe says, with its steps or these."""
        data = self.recipe.data
        vocab = replace(self.tokenizer.vocab, counts=self.shards.unigram_counts())
        room = data.length - SPECIALS[data.shape]
        chunks = (
            SentencePairs(self.shards, length=room, seed=seed)
            if data.shape == "sentence-pairs"
            else Chunks(self.shards, length=room, full=data.shape == "blocks")
        )
        plan = self.recipe.train if steps is None else self.recipe.train.model_copy(update={"steps": steps})
        world = World(vocab, self.shards.passage, data.length, len(self.shards.documents))
        return Job(Corpus(chunks, vocab), self.recipe.objectives, world, plan, self.recipe.strategy, seed)

    def model(self, job: Job) -> Model:
        """The start of a job: base or fresh weights under the heads its objectives ask for.

        A fresh token head begins with the frequencies of the corpus as its bias, so that its first guess already is
        as good as the unigram entropy and no step is spent on learning which tokens are common.
        """
        parts = planned(job.objectives, self.files.backbone, job.world)
        model = started(self.files, parts, seed=job.seed)
        for slot, spec in parts.items():
            if isinstance(spec, TokenHead | BoundaryHead) and slot not in self.files.heads:
                assert job.world.vocab.counts is not None
                counts = torch.from_numpy(job.world.vocab.counts) + 1.0  # no token is impossible
                with torch.no_grad():
                    model.get_parameter(f"heads.{slot}.bias").copy_((counts / counts.sum()).log())
        return model

    def save(self, model: Model, folder: Path, *, card: str, extra: dict[str, Any] | None = None) -> None:
        """Write a model folder with the tokenizer."""
        save_model(
            folder,
            backbone=model.spec,
            heads=model.head_specs,
            state=model.state_dict(),
            labels=None,
            tokenizer_saver=self.tokenizer.save,
            card=card,
            extra=extra or {},
        )


def pretrain(
    recipe: Recipe,
    *,
    corpus: Sequence[str | Path],
    out: str | Path,
    text_column: str = "text",
    seed: int = 0,
    track: bool = False,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Path:
    """Train `recipe` on the texts of `corpus`; returns the model folder in the run folder `out`.

    A folder of the same run goes on where it was stopped. Raises BadInput for a corpus of too few tokens, a folder of
    another run, and what the recipe cannot mean.
    """
    hashes = [_sha256(Path(source)) for source in corpus]
    identity = {"corpus": hashes, "text_column": text_column, "seed": seed}

    def texts() -> Iterable[str]:
        return chain.from_iterable(map(partial(iter_texts, text_column=text_column), corpus))

    with prepared(Path(out), write_yaml(recipe), identity=identity) as folder:
        material = Material(recipe, folder, texts, progress or Silent())
        job = material.job(seed=seed)
        model = material.model(job)
    fit(model, job, folder=folder, title=recipe.title or "pretrain", progress=progress, stop=stop, track=track)
    card = f"# {recipe.title}\n\nPre-trained with Quire on a private corpus. After: {recipe.cite}.\n"
    material.save(model, folder / "model", card=card)
    return folder / "model"


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
