"""One fine-tuning from its settings to its scores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quire.core.config import Settings, parse
from quire.core.example import World
from quire.finetune.settings import FinetuneSettings
from quire.finetune.splits import Splits
from quire.predict.writer import Text, Writer, Writing, task_to_learn
from quire.pretrain import Material
from quire.score import require, score_texts, signature
from quire.text.pairs import TextPair
from quire.train.evaluate import mean_loss
from quire.train.feed import Fixed
from quire.train.loop import Job, fit, planned
from quire.train.progress import Progress
from quire.train.safe import read_json, write_whole
from quire.train.signals import StopRequest
from quire.train.start import Base, started

RESULTS = "results.json"


class Outcome(Settings):
    """What came out: scores (0 to 100) of what was written for dev and test, and where things lie."""

    scores: Mapping[str, Mapping[str, float]]
    signatures: Mapping[str, str]
    """How sacrebleu computed them."""
    pairs: Mapping[str, int]
    leaks: int
    """Test pairs whose source also stands in train or dev."""
    cut_sources: float
    """The share of training sources that were longer than `length`."""
    cut_targets: float
    """The same of training targets; no end was learnt behind these."""
    ceiling: float
    """chrF of the test references as the tokenizer writes them: below 100 where it folds case or lacks letters."""
    unfinished: float
    """The share of test texts where the limit came before the end."""
    dev_loss: float
    """Of a token, in nats, at the end."""
    seconds: float
    """Of training."""
    model: str
    """The model folder."""


@dataclass(frozen=True)
class FineTuning:
    """The pairs, the folder and a writer that has not learnt yet."""

    settings: FinetuneSettings
    splits: Splits
    folder: Path
    progress: Progress
    writer: Writer

    @classmethod
    def begun(cls, settings: FinetuneSettings, splits: Splits, folder: Path, progress: Progress) -> FineTuning:
        """With the weights and tokenizer that the settings start from, or a network and a tokenizer made anew."""
        if settings.start is not None:
            base = Base.load(settings.start)
            files, tokenizer, where, notes = base.files, base.tokenizer, settings.start, base.files.notes
        else:
            assert settings.recipe
            texts = [text for pair in splits.train for text in (pair.source, pair.target)]
            material = Material(settings.recipe, folder, lambda: texts, progress)
            files, tokenizer, where, notes = material.files, material.tokenizer, "", ()
        task = task_to_learn(files, where=where, smoothing=settings.smoothing)
        plan = Writing(task=task, length=settings.length, cut=settings.cut, search=settings.search)
        plan.check_room(files.backbone)
        parts = planned([task], files.backbone, World(tokenizer.vocab, length=settings.length))
        writer = Writer(started(files, parts, seed=settings.seed), tokenizer, plan)
        writer.searching({"limit": 1})(splits.dev[0].source)  # what cannot write is refused before it learns
        require()
        for note in notes:
            progress.say(f"Start {where}: {note}")
        return cls(settings, splits, folder, progress, writer)

    def execute(self, stop: StopRequest | None) -> Outcome:
        """Train, save, and only then write for dev and test."""
        plan = self.writer.plan
        task, dev = plan.task, plan.examples(self.splits.dev, self.writer.tokenizer)
        plain = task.model_copy(update={"smoothing": 0.0})
        job = self.job()
        log = fit(
            self.writer.model,
            job,
            folder=self.folder,
            title="Fine-tune",
            progress=self.progress,
            stop=stop,
            watch=lambda _: {"dev_loss": mean_loss(self.writer.model, plain, dev)},
            watch_every=max(job.plan.steps // self.settings.epochs, 1),
        )
        self.writer.save(self.folder / "model", card=self._card({}))
        self.progress.say("Writing for dev and test")
        scores, texts = {}, []
        for name, pairs in (("dev", self.splits.dev), ("test", self.splits.test)):
            texts = self.writer([pair.source for pair in pairs])
            scores[name] = score_texts([text.text for text in texts], [pair.target for pair in pairs])
        write_whole(self.folder / "model" / "README.md", self._card(scores["test"]))
        write_whole(self.folder / "written.jsonl", "".join(_lines(self.splits.test, texts)))
        outcome = Outcome(
            scores=scores,
            signatures=signature([pair.target for pair in self.splits.test]),
            pairs={name: len(getattr(self.splits, name)) for name in ("train", "dev", "test")},
            leaks=self.splits.leaks,
            cut_sources=self.writer.cut_share([pair.source for pair in self.splits.train]),
            cut_targets=self.writer.cut_share([pair.target for pair in self.splits.train], targets=True),
            ceiling=self._ceiling(),
            unfinished=sum(not text.finished for text in texts) / len(texts),
            dev_loss=float(log[-1]["dev_loss"]),
            seconds=sum(float(row["seconds"]) for row in log),
            model=str(self.folder / "model"),
        )
        write_whole(self.folder / RESULTS, outcome.model_dump_json(indent=2))
        return outcome

    def job(self) -> Job:
        """Some passes over the training pairs."""
        writer, settings = self.writer, self.settings
        examples = writer.plan.examples(self.splits.train, writer.tokenizer)
        steps = settings.epochs * -(-len(examples) // settings.train.batch)
        told = f"{self.splits.hashes['train']}/{writer.tokenizer.fingerprint}/{settings.length}/{settings.cut}"
        return Job(
            Fixed(examples, told),
            (writer.plan.task,),
            writer.world,
            settings.train.model_copy(update={"steps": steps}),
            settings.strategy,
            settings.seed,
        )

    def _ceiling(self) -> float:
        references = [pair.target for pair in self.splits.test]
        tokenizer = self.writer.tokenizer
        spelled = [tokenizer.decode(passage.tokens).strip() for passage in tokenizer.encode(references)]
        return score_texts(spelled, references)["chrf"]

    def _card(self, scores: Mapping[str, float]) -> str:
        settings = self.settings
        figures = ", ".join(f"{name} {value:.1f}" for name, value in scores.items()) or "not scored"
        origin = settings.start or (settings.recipe.title if settings.recipe else "")
        return (
            f"# Writes `{settings.files.target_column}` from `{settings.files.source_column}`\n\n"
            f"Fine-tuned with Quire from {origin}. On {len(self.splits.test)} test pairs of a private file: "
            f"{figures}.\n"
        )


def reopened(folder: Path) -> Outcome | None:
    """What a finished run found, or nothing."""
    path = folder / RESULTS
    return parse(Outcome, read_json(path), where=str(path)) if path.exists() else None


def _lines(pairs: Sequence[TextPair], texts: Sequence[Text]) -> Iterator[str]:
    for pair, text in zip(pairs, texts, strict=True):
        line = {"source": pair.source, "written": text.text, "reference": pair.target, "where": pair.where}
        yield json.dumps(line, ensure_ascii=False) + "\n"
