"""`quire finetune --paradigm`: one base learns one task in one paradigm, and is scored as the task is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field

from quire.core.answers import Answer, Task
from quire.core.config import Settings, override, parse, write_yaml
from quire.finetune.course import Course, How
from quire.marking import figures
from quire.paradigms.shift import FORMS, built, named
from quire.text.asked import LAYOUTS, Asked, FileLayout, asked
from quire.text.cut import Cut
from quire.text.problems import Problem
from quire.text.spans import holds_spans
from quire.train.folder import prepared
from quire.train.progress import Progress, Silent
from quire.train.safe import read_json, write_whole
from quire.train.signals import StopRequest
from quire.train.start import Base

RESULTS = "results.json"
ENDINGS: Mapping[str, Task] = {
    ".conllu": "tree",
    ".json": "reading",
    ".conll": "spans",
    ".bio": "spans",
    ".iob": "spans",
}
"""What a file's name tells of its task; a table holds labels, unless something else is said."""


class SolveSettings(Settings):
    """Everything that decides the outcome."""

    train: str
    dev: str | None = None
    test: str | None = None
    layout: FileLayout
    held_out: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """The share of the training problems for dev, and again for test, where no file is given."""
    base: str = "minilm"
    paradigm: str
    fields: Mapping[str, Any] = {}
    """Of the paradigm, but for its labels."""
    how: How
    seed: int = 0

    def read(self) -> Asked:
        """The problems of all files."""
        return asked(self.layout, train=self.train, dev=self.dev, test=self.test, share=self.held_out)


class Solved(Settings):
    """What came out: scores of dev and test, and where things lie."""

    task: Task
    scores: Mapping[str, Mapping[str, float]]
    problems: Mapping[str, int]
    leaks: int
    """Test problems whose texts also stand in train or dev."""
    lost: tuple[str, ...]
    """Training problems whose answers this form cannot hold, with the reason: they were not learnt from."""
    notes: tuple[str, ...]
    seconds: float
    """Of training."""
    model: str
    """The model folder."""


def task_told(train: str, given: str, task: Task | None, layout: str | None) -> Task:
    """What is asked for: as it is said, or as the layout, the file's name, the paradigm's own name or the first line of
    a JSONL tells, where the paradigm may ask for spans."""
    if task is not None:
        return task
    if layout is not None and (found := [t for t, known in LAYOUTS.items() if layout in known]):
        return "number" if layout == "sts-b" else found[0]
    ending = Path(train).suffix.lower()
    of_spans: Mapping[str, Task] = dict.fromkeys(("label", "nest", "seqlab", "seq2aseq"), "spans")
    by_name: Mapping[str, Task] = {**of_spans, "regress": "number"}
    if told := ENDINGS.get(ending) or by_name.get(given):
        return told
    spans = ending == ".jsonl" and "spans" in FORMS.get(given, ("spans",)) and holds_spans(train)
    return "spans" if spans else "label"


def how(
    *,
    epochs: int,
    batch: int,
    lr: float,
    length: int,
    cut: Cut,
    own: Mapping[str, Any] = MappingProxyType({}),
    changes: Sequence[str] = (),
) -> Mapping[str, Any]:
    """How a task is learnt, as `How` reads it: layers near the head learn faster, as in `quire adapt`; then what is a
    form's `own`, and `a.b=value` changes."""
    plain = {
        "train": {"steps": 1, "batch": batch, "lr": lr, "checkpoint_every": 200, "keep": 1},
        "strategy": {"full": {"layer_decay": 0.9}},
        "epochs": epochs,
        "length": length,
        "cut": cut,
        **own,
    }
    changed: Mapping[str, Any] = override(plain, [*changes])
    return changed


def solve(
    train: str | Path,
    *,
    out: str | Path,
    paradigm: str,
    dev: str | Path | None = None,
    test: str | Path | None = None,
    task: Task | None = None,
    layout: str | None = None,
    text_column: str = "text",
    pair_column: str | None = None,
    label_column: str = "label",
    base: str = "minilm",
    epochs: int = 3,
    batch: int = 32,
    lr: float = 3e-4,
    length: int = 128,
    cut: Cut = "head",
    changes: Sequence[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Solved:
    """Learn to answer the problems of `train` in a paradigm; `out` becomes the run folder.

    `paradigm` is the survey's name (class, matching, seqlab, mrc, seq2seq, seq2aseq, mlm), the component's own, or a
    YAML file with its fields and perhaps `how` it is learnt. What is asked for, the `task`, and how files are laid out
    is told by their names, or said. Layers near the head learn faster (decay 0.9 a layer), as in `quire adapt`;
    `changes` set other fields of `quire.finetune.course.How`, such as "strategy={lora: {rank: 16}}" or
    "train.warmup=50". A folder of the same run goes on where it was stopped; BadInput for one of another run.
    """
    what = task_told(str(train), paradigm, task, layout)
    form = named(paradigm, what)
    columns = {"text_column": text_column, "pair_column": pair_column, "label_column": label_column}
    data = {
        **{split: str(path) for split, path in (("train", train), ("dev", dev), ("test", test)) if path is not None},
        "layout": {"task": what, "name": layout, **columns},
        "base": base,
        "paradigm": form.name,
        "fields": form.fields,
        "how": how(epochs=epochs, batch=batch, lr=lr, length=length, cut=cut, own=form.how, changes=changes),
        "seed": seed,
    }
    settings = parse(SolveSettings, data, where="finetune")
    read = settings.read()
    progress = progress or Silent()
    with prepared(Path(out), write_yaml(settings), identity={"data": read.hashes}) as folder:
        if (folder / RESULTS).exists():
            return parse(Solved, read_json(folder / RESULTS), where=str(folder / RESULTS))
        course = Course(read, Base.load(base), settings.how, progress, stop)
        asks = built(form.name, form.fields, read.facts, where=f"paradigm {form.name}")
        course.check(asks)
    for note in read.notes:
        progress.say(note)
    return _executed(settings, course, folder)


def _executed(settings: SolveSettings, course: Course, folder: Path) -> Solved:
    """Train, save, and only then answer test."""
    read = course.asked
    asks = built(settings.paradigm, settings.fields, read.facts, where=f"paradigm {settings.paradigm}")
    learnt = course.learn(asks, seed=settings.seed, folder=folder, title=f"Fine-tune {settings.paradigm}")
    notes = (*read.notes, *learnt.solver.cut_in_words(read.train, which="training texts"))
    scores, found = {}, []
    for split, problems in (("dev", read.dev), ("test", read.test)):
        found = learnt.solver.answers(problems)
        scores[split] = figures(read.task, problems, found)
    learnt.solver.save(folder / "model", card=_card(settings, read, scores["test"]))
    write_whole(folder / "answers.jsonl", "".join(_lines(read.test, found)))
    outcome = Solved(
        task=read.task,
        scores=scores,
        problems={split: len(getattr(read, split)) for split in ("train", "dev", "test")},
        leaks=len(read.leaked),
        lost=tuple(learnt.lost),
        notes=notes,
        seconds=learnt.run.cost.seconds,
        model=str(folder / "model"),
    )
    write_whole(folder / RESULTS, outcome.model_dump_json(indent=2))
    return outcome


def _lines(problems: Sequence[Problem], found: Sequence[Answer]) -> Iterator[str]:
    for problem, answer in zip(problems, found, strict=True):
        line = {
            "texts": problem.texts,
            "answer": problem.told(answer),
            "truth": list(problem.accepted) or (None if problem.answer is None else problem.told(problem.answer)),
            "where": problem.where,
        }
        yield json.dumps(line, ensure_ascii=False) + "\n"


def _card(settings: SolveSettings, read: Asked, scores: Mapping[str, float]) -> str:
    figured = ", ".join(f"{name} {100 * value:.1f}" for name, value in scores.items())
    return (
        f"# Answers with a {read.task}, by {settings.paradigm}\n\n"
        f"Fine-tuned with Quire from {settings.base} on {len(read.train)} examples. On {len(read.test)} test examples "
        f"of a private file: {figured}.\n"
    )
