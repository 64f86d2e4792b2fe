"""What a recipe is trained with, made from a person's text: tokenizer, shards, examples, model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from quire.core.bodies import Lstm
from quire.core.errors import BadInput
from quire.core.example import Vocab, World
from quire.core.heads import BoundaryHead, TokenHead
from quire.core.spec import Backbone
from quire.nn.characters import SPELLINGS
from quire.nn.model import Model
from quire.pretrain.further import Further
from quire.recipe import TEXT, Recipe
from quire.text import parallel, writing
from quire.text.context import ContextPairs
from quire.text.grow import Fertility, extend, fertility, with_sentinels
from quire.text.modes import Mixed
from quire.text.packing import Chunks, SentencePairs
from quire.text.shards import Shards
from quire.text.spelling import spellings
from quire.text.tokenizers import Tokenizer
from quire.text.words import Segmenter, chinese, mostly_chinese
from quire.train.feed import Corpus, Examples
from quire.train.loop import Job, planned
from quire.train.progress import Progress, Silent
from quire.train.start import Base, started, widened
from quire.train.tasks import Task, Tasks
from quire.train.weights import ModelFiles, save_model, standing

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
    more than once. `by_language` has the texts of each language, where the recipe names languages."""

    recipe: Recipe
    folder: Path
    texts: Callable[[], Iterable[str]]
    progress: Progress = field(default_factory=Silent)
    by_language: Mapping[str, parallel.Texts] = field(default_factory=dict)
    further: Sequence[Further] = ()
    """The tasks that the recipe names beside its text."""

    @cached_property
    def base(self) -> Base | None:
        """What the recipe starts from."""
        return Base.load(self.recipe.base) if self.recipe.base else None

    def tell(self) -> None:
        """Say what the base's folder lacks, or holds in vain: once nothing can be refused any more."""
        for note in self.base.files.notes if self.base else ():
            self.progress.say(f"Base {self.recipe.base}: {note}")

    @cached_property
    def segment(self) -> Segmenter | None:
        """The Chinese segmenter where the recipe wants it, or where the text is Chinese and the recipe leaves it."""
        return self._segmenter(self.texts)

    def _segmenter(self, texts: parallel.Texts) -> Segmenter | None:
        words = self.recipe.data.words
        is_chinese = words == "chinese" or (words == "auto" and mostly_chinese(list(islice(texts(), 200))))
        return chinese() if is_chinese else None

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The base's, with what the recipe adds to it, or one trained on the texts."""
        if self.base:
            return self._grown[0]
        assert self.recipe.backbone
        home, plan = self.folder / "tokenizer", self.recipe.data.tokenizer
        if not (home / "tokenizer_config.json").exists():  # the last file that loading needs
            self.progress.say("Training a tokenizer on the corpus")
            trained = Tokenizer.train(
                chain(self.texts(), *(task.texts for task in self.further)),
                kind=plan.kind,
                size=plan.size,
                lowercase=plan.lowercase,
                least=plan.least,
                sentinels=plan.sentinels,
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
    def _grown(self) -> tuple[Tokenizer, Sequence[Sequence[int]]]:
        """The base's tokenizer with the words and sentinels that it lacks, and the old tokens of each new row."""
        assert self.base
        tokenizer, pieces = self.base.tokenizer, list[Sequence[int]]()
        if self.extension:
            tokenizer, pieces = self.extension.tokenizer, [*self.extension.pieces]
        wanted, there = self.recipe.data.tokenizer.sentinels, len(tokenizer.vocab.sentinels)
        if there < wanted:
            self.progress.say(f"{wanted - there} sentinels added to the vocabulary of base {self.base.name}")
            tokenizer, marks = with_sentinels(tokenizer, wanted)
            pieces += marks
        return tokenizer, pieces

    @cached_property
    def files(self) -> ModelFiles:
        """The weights to start from; without a base only a shape."""
        if self.base:
            _, pieces = self._grown
            found = widened(self.base.files, pieces) if pieces else self.base.files
        else:
            assert self.recipe.backbone
            sized = self.recipe.backbone.model_copy(update={"vocab": self.tokenizer.vocab.size})
            found = ModelFiles(sized, heads={}, state={})
        if isinstance(found.backbone, Lstm) and (plan := found.backbone.characters):
            spelled = torch.from_numpy(spellings(self.tokenizer, longest=plan.longest))
            found = replace(found, state={**found.state, SPELLINGS: spelled})
        if (length := self.recipe.data.length) > found.backbone.positions:
            raise BadInput(f"data.length {length}: the model has {found.backbone.positions} positions; take fewer")
        if self.recipe.data.shape == "context-pairs" and found.backbone.position != "relative":
            raise BadInput(
                f"data.shape context-pairs: a memory stands before the first position, the model's are "
                f"{found.backbone.position}; take backbone.position relative, or another shape"
            )
        if self.recipe.data.shape == "sentence-pairs" and found.backbone.segments == 1:
            raise BadInput("data.shape sentence-pairs: the model has one segment; take two (backbone.segments)")
        used = max((segment for mode in self.recipe.data.modes for segment in mode.segments), default=0)
        if 0 < found.backbone.segments <= used:
            raise BadInput(
                f"data.modes: segment {used} is one of {found.backbone.segments}, counted from 0; "
                f"set backbone.segments to {used + 1}"
            )
        told = self.recipe.data.shape != "translation" or found.backbone.languages  # a decoder writes one language
        if told and (languages := len(self.recipe.data.languages)) > found.backbone.languages:
            raise BadInput(
                f"data.languages: {languages} languages, the model knows {found.backbone.languages}; "
                f"set backbone.languages to {languages}"
            )
        known = found.extra.get("languages", self.recipe.data.languages)
        if self.recipe.data.languages and list(known) != list(self.recipe.data.languages):
            raise BadInput(
                f"data.languages {list(self.recipe.data.languages)}: base {self.recipe.base} learnt {list(known)}; "
                f"name the same ones in the same order"
            )
        return found

    @cached_property
    def shards(self) -> Shards:
        """The texts as token shards."""
        return self._written("corpus", self.texts, self.segment)

    @cached_property
    def corpora(self) -> dict[str, Shards]:
        """The texts as token shards by language, in the order of the recipe; text i of one translates text i of all."""
        if missing := [language for language in self.recipe.data.languages if language not in self.by_language]:
            raise BadInput(f"data.languages: no corpus for {missing[0]!r}; quire pretrain takes them by name")
        found: dict[str, Shards] = {}
        for language in self.recipe.data.languages:
            texts = self.by_language[language]
            found[language] = self._written(f"corpus-{language}", texts, self._segmenter(texts))
            if self.recipe.data.shape != "streams" and found[language].index.skipped:
                raise BadInput(f"{self._unseen(language)}: no character that the tokenizer sees; remove the row")
        return found

    def _unseen(self, language: str) -> str:
        """Which text of a language has no token; the shards leave such texts out, and all after it would be moved."""
        for number, text in enumerate(self.by_language[language](), start=1):
            if not len(self.tokenizer.encode([text])[0]):
                return f"text {number} of {language} {text[:20]!r}"
        return language

    def _written(self, name: str, texts: parallel.Texts, segment: Segmenter | None) -> Shards:
        home = self.folder / name
        if not home.is_dir():
            self.progress.say(f"Writing the {name.replace('-', ' ')} as token shards")
            writing.write(home, texts(), tokenizer=self.tokenizer, segment=segment, at_least=LEAST_TOKENS)
        return Shards.open(home, tokenizer=self.tokenizer.fingerprint)

    def prepare(self) -> None:
        """Make or check everything that a job needs, before any training."""
        _ = self.files, self.corpora if self.recipe.data.languages else self.shards

    def job(self, *, steps: int | None = None, seed: int) -> Job:
        """Pre-training on the texts as the recipe says, with its steps or these."""
        _ = self.files  # what it refuses is refused before the corpus is written
        world = self._world()
        examples = self._examples(world.vocab, seed)
        plan, objectives = self.recipe.train, self.recipe.objectives
        if self.recipe.tasks:
            examples = self._with_tasks(examples, world)
            objectives = examples.objectives
        plan = plan.within(len(examples)) if steps is None else plan.model_copy(update={"steps": steps})
        return Job(examples, objectives, world, plan, self.recipe.strategy, seed)

    def _with_tasks(self, examples: Examples, world: World) -> Tasks:
        """The recipe's text and its further tasks, which take turns."""
        if missing := sorted(self.recipe.tasks.keys() - {task.name for task in self.further}):
            raise BadInput(f"tasks.{missing[0]}: no file is given; `quire pretrain` takes one for each task, by name")
        objectives = self.recipe.objectives
        heads = {**self.files.heads, **planned(objectives, self.files.backbone, world)}
        files = ModelFiles(self.files.backbone, {n: p for n, p in heads.items() if not isinstance(p, Backbone)}, {})
        text = Task(TEXT, examples, objectives)
        return Tasks((text, *(task.task(files, self.tokenizer) for task in self.further)), self.recipe.sampling)

    def _world(self) -> World:
        data = self.recipe.data
        corpora = list(self.corpora.values()) if data.languages else [self.shards]
        vocab = replace(self.tokenizer.vocab, counts=np.sum([s.unigram_counts() for s in corpora], axis=0))
        if data.languages:  # a passage of which? Nothing that wants one was ever done in several
            return World(vocab, length=data.length)
        return World(vocab, self.shards.passage, data.length, len(self.shards.documents))

    def _examples(self, vocab: Vocab, seed: int) -> Examples:
        data = self.recipe.data
        if data.shape == "streams":
            return parallel.Streams(self.corpora, vocab, length=data.length, alpha=data.language_alpha, seed=seed)
        if data.shape == "parallel":
            return parallel.Parallel(self.corpora, vocab, length=data.length, seed=seed)
        if data.shape == "translation":
            return parallel.Translations(self.corpora, vocab, length=data.length)
        if data.shape == "context-pairs":
            return ContextPairs(self.shards, vocab, length=data.length, plan=data.context, seed=seed)
        room = data.length - SPECIALS[data.shape]
        if data.shape == "sentence-pairs":
            pairs = SentencePairs(self.shards, length=room, seed=seed)
            return Mixed(pairs, data.modes, vocab) if data.modes else Corpus(pairs, vocab)
        return Corpus(Chunks(self.shards, length=room, full=data.shape == "blocks"), vocab)

    def model(self, job: Job) -> Model:
        """The start of a job: base or fresh weights under the heads its objectives ask for.

        A fresh token head begins with the frequencies of the corpus as its bias, so that its first guess already is
        as good as the unigram entropy and no step is spent on learning which tokens are common.
        """
        parts = planned(job.objectives, self.files.backbone, job.world)
        model = started(self.files, parts, seed=job.seed)
        for slot, spec in parts.items():
            biased = isinstance(spec, BoundaryHead) or (isinstance(spec, TokenHead) and spec.bias)
            if biased and slot not in self.files.heads:
                assert job.world.vocab.counts is not None
                counts = torch.from_numpy(job.world.vocab.counts) + 1.0  # no token is impossible
                with torch.no_grad():
                    model.get_parameter(f"heads.{slot}.bias").copy_((counts / counts.sum()).log())
        return model

    def save(self, model: Model, folder: Path, *, card: str, extra: dict[str, Any] | None = None) -> None:
        """Write a model folder with the tokenizer; a further body gets its own beside it, by its name (ELECTRA)."""
        for body in ("backbone", *model.bodies):
            backbone, heads, state = standing(model, body)
            save_model(
                folder if body == "backbone" else folder.with_name(body),
                backbone=backbone,
                heads=heads,
                state=state,
                labels=None,
                tokenizer_saver=self.tokenizer.save,
                card=card,
                extra=extra or {},
                vocab=self.tokenizer.vocab,
            )
