"""The data of a job: read, checked, split, audited; and the corpus, proven free of test text."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quire.adapt.settings import AdaptSettings, Inputs, described, fingerprint
from quire.core.config import parse, read_yaml
from quire.core.errors import BadInput
from quire.core.results import DataFacts, SplitFacts
from quire.text.audit import Audit, Banned, audit, normalised, unseen
from quire.text.joined import Pair, parts
from quire.text.records import Record, check_labels, iter_texts, read_records, rereadable
from quire.text.rows import Source
from quire.text.split import few, split
from quire.train.folder import IDENTITY, RECIPE
from quire.train.safe import read_json


@dataclass(frozen=True)
class Part:
    """One split."""

    name: str
    records: tuple[Record, ...]
    origin: str
    """Where it came from: the person's file, or a share of the training file."""

    @cached_property
    def texts(self) -> list[str]:
        return [record.text for record in self.records]

    @cached_property
    def labels(self) -> list[str]:
        return [record.label or "" for record in self.records]

    def answers(self, labels: Sequence[str]) -> npt.NDArray[np.int64]:
        """Label indices, one a record."""
        index = {label: i for i, label in enumerate(labels)}
        return np.array([index[label] for label in self.labels], dtype=np.int64)

    @property
    def sha256(self) -> str:
        """Of the texts and labels in their order."""
        rows = json.dumps([[*parts(r.text), r.label] for r in self.records], ensure_ascii=False)
        return hashlib.sha256(rows.encode()).hexdigest()


@dataclass(frozen=True)
class Task:
    """Train, dev and test with their labels, and where further text comes from."""

    labels: tuple[str, ...]
    train: Part
    dev: Part
    test: Part
    audit: Audit
    corpus: tuple[Source, ...]
    text_column: str
    notes: tuple[str, ...] = ()
    """What was left out."""

    @property
    def pairs(self) -> bool:
        """Whether its texts are pairs."""
        return isinstance(self.train.records[0].text, Pair)

    def corpus_texts(self) -> CorpusTexts:
        """The training texts, then the corpus, without every text that holds a dev or test text."""
        return CorpusTexts(self)


class CorpusTexts:
    """Corpus documents, as often as they are asked for; what holds a dev or test text is left out."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.held_out = Banned([*task.test.texts, *task.dev.texts])
        self.documents = self.dropped = 0

    def __iter__(self) -> Iterator[str]:
        further = (iter_texts(source, text_column=self.task.text_column) for source in self.task.corpus)
        for text in chain(self.task.train.texts, *further):
            if text in self.held_out:
                self.dropped += 1
            else:
                self.documents += 1
                yield text

    def proof(self) -> str:
        """One line for the report, from another pass over the texts."""
        self.documents = self.dropped = 0
        for _ in self:
            pass
        checked = len(self.task.test.records) + len(self.task.dev.records)
        return (
            f"No dev or test text is in the corpus: {self.documents:,} documents were compared with {checked:,} "
            f"held-out texts after folding case and blanks, and {self.dropped:,} that equalled or contained one "
            f"were left out."
        )


@dataclass(frozen=True)
class Given:
    """The person's files: labelled ones by split (train, dev, test, where given), and further text."""

    labelled: Mapping[str, Source]
    corpus: tuple[Source, ...]
    text_column: str
    label_column: str
    pair_column: str | None = None

    @classmethod
    def of(
        cls,
        train: Source,
        *,
        dev: Source | None,
        test: Source | None,
        corpus: Sequence[Source],
        text_column: str,
        label_column: str,
        pair_column: str | None = None,
    ) -> Given:
        """All sources; a corpus that can be read only once is kept."""
        splits = (("train", train), ("dev", dev), ("test", test))
        kept = tuple(rereadable(source, text_column=text_column) for source in corpus)
        labelled = {name: source for name, source in splits if source is not None}
        return cls(labelled, kept, text_column, label_column, pair_column)

    @classmethod
    def again(cls, inputs: Inputs) -> Given:
        """The labelled files that settings name."""
        files = {"train": inputs.train, "dev": inputs.dev, "test": inputs.test}
        return cls(
            {name: file for name, file in files.items() if file is not None},
            (),
            inputs.text_column,
            inputs.label_column,
            inputs.pair_column,
        )

    @property
    def inputs(self) -> Inputs:
        """The same by the names that settings keep."""
        return Inputs(
            **{name: described(source) for name, source in self.labelled.items()},
            corpus=tuple(described(source) for source in self.corpus),
            text_column=self.text_column,
            label_column=self.label_column,
            pair_column=self.pair_column,
        )

    def identity(self, task: Task) -> dict[str, str]:
        """Hashes of what a run was made from: its splits and the files of its corpus."""
        splits = {part.name: part.sha256 for part in (task.train, task.dev, task.test)}
        return splits | {described(source): fingerprint(source) for source in self.corpus}


def held_out(run: Path) -> Part:
    """The dev texts of a run of `quire adapt`, read again; BadInput where the files are not what it was made from."""
    settings = parse(AdaptSettings, read_yaml(run / RECIPE), where=str(run / RECIPE))
    dev = read_task(settings, Given.again(settings.inputs)).dev
    if read_json(run / IDENTITY)["data"]["dev"] != dev.sha256:
        raise BadInput(f"{dev.origin}: the dev texts are not those that {run} was made from")
    return dev


def read_task(settings: AdaptSettings, given: Given) -> Task:
    """Read and check the splits that are `given`, and draw those that are not from train.

    Dev texts that also stand in train are left out of a dev that is given; BadInput for many.
    """
    inputs, sources = settings.inputs, given.labelled

    def read(name: str, source: Source) -> Part:
        columns = {"text_column": inputs.text_column, "label_column": inputs.label_column}
        records = read_records(source, pair_column=inputs.pair_column, **columns)
        return Part(name, tuple(records), str(getattr(inputs, name)))

    train = read("train", sources["train"])
    least = 1 if {"dev", "test"} <= sources.keys() else 2  # a rare class stands in the way of a split alone
    check_labels(train.records, least=least)
    test = read("test", sources["test"]) if "test" in sources else None
    dev = read("dev", sources["dev"]) if "dev" in sources else None
    if test is None:
        train, test = _parted(train, "test", settings.test_share, settings.seed)
    notes: tuple[str, ...] = ()
    if dev is None:
        train, dev = _parted(train, "dev", settings.dev_share, settings.seed + 1)
    else:
        kept, notes = unseen(dev.records, train=train.records, key=lambda r: normalised(r.text), path=dev.origin)
        dev = replace(dev, records=tuple(kept))
    labels = check_labels(train.records, held_out=chain(dev.records, test.records), least=least)
    found = audit(train.records, dev=dev.records, test=test.records)
    return Task(labels, train, dev, test, found, given.corpus, inputs.text_column, notes)


def _parted(part: Part, name: str, share: float, seed: int) -> tuple[Part, Part]:
    try:
        rest, drawn = split(part.records, share=share, seed=seed)
    except BadInput as error:
        raise BadInput(f"{part.origin}: {error}; or give --{name}") from None
    origin = f"{share:.0%} of {part.origin}, drawn by class with seed {seed}"
    return Part(part.name, tuple(rest), part.origin), Part(name, tuple(drawn), origin)


def facts(task: Task, *notes: str) -> DataFacts:
    """What the data are, without their lengths: splits with their hashes, duplicates, conflicts, warnings."""
    parts = ((task.train, task.audit.train), (task.dev, task.audit.dev), (task.test, task.audit.test))
    return DataFacts(
        splits=tuple(
            SplitFacts(name=part.name, examples=found.rows, labels=found.labels, sha256=part.sha256)
            for part, found in parts
        ),
        duplicates=task.audit.train.duplicates,
        conflicts=len(task.audit.conflicts),
        notes=(*(f"{part.name}: {part.origin}" for part, _ in parts), *warnings(task), *notes),
    )


def warnings(task: Task) -> Iterable[str]:
    """What a person should know before the scores, a line each."""
    yield from task.notes
    if task.audit.leaks:
        yield (
            f"{len(task.audit.leaks)} of {len(task.test.records)} test texts also stand in train or dev "
            f"(the first: {task.audit.leaks[0].where}); a clean score stands beside each score"
        )
    if task.audit.conflicts:
        first = task.audit.conflicts[0]
        yield f"{len(task.audit.conflicts)} texts have more than one label (the first: {', '.join(first.places[:2])})"


def with_labels(task: Task, per_class: int | None, *, seed: int) -> Task:
    """The task with so many training labels a class; all of them for None."""
    if per_class is None:
        return task
    origin = f"{labels_in_words(task, per_class)} of {task.train.origin}, drawn with seed {seed}"
    train = replace(task.train, records=tuple(few(task.train.records, per_class=per_class, seed=seed)), origin=origin)
    return replace(task, train=train, audit=audit(train.records, dev=task.dev.records, test=task.test.records))


def labels_in_words(task: Task, per_class: int | None) -> str:
    """How many labels of a task `with_labels` takes: what there is where fewer are there than asked for."""
    if per_class is None:
        return "all labels"
    counts = Counter(task.train.labels).values()
    least, most = min(counts), min(max(counts), per_class)
    if least >= per_class:
        return f"{per_class} labels a class"
    between = f"{least}" if least == most else f"{least} to {most}"
    what = f"all labels, {between} a class" if max(counts) <= per_class else f"{between} labels a class"
    return f"{what} ({per_class} asked for)"
