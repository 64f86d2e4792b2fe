"""`quire finetune --paradigm absa`: a pointer learns what reviews say, and is scored officially and corrected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from quire.core.config import Settings, parse, write_yaml
from quire.core.errors import BadInput
from quire.core.example import Example
from quire.core.opinions import POLARITIES, Review
from quire.core.spec import Size
from quire.core.subtasks import Subtask, Told
from quire.finetune.annotated import Splits, split, told_by
from quire.finetune.course import MEASURED
from quire.objectives.point import Point
from quire.predict.pointer import BEFORE, Asked, Pointer, Pointing
from quire.report.reviews import spelled
from quire.scoring import Scores
from quire.scoring.tuples import opinion_scores
from quire.text.absa import read_reviews
from quire.train.feed import Fixed
from quire.train.folder import prepared
from quire.train.keeper import Keeper
from quire.train.log import cost_of
from quire.train.loop import Job, fit, planned
from quire.train.optim import TrainPlan
from quire.train.progress import Progress, Silent
from quire.train.safe import read_json, read_tensors, write_whole
from quire.train.signals import StopRequest
from quire.train.start import Base, started, with_decoder

RESULTS = "results.json"
LAYERS = 2
"""Of the fresh decoder on a base that has none."""


class OpinionSettings(Settings):
    """Everything that decides the outcome."""

    train: str
    dev: str | None = None
    test: str | None = None
    held_out: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """The share of the training reviews for dev, and again for test, where no file is given."""
    base: str = "minilm"
    task: Point
    epochs: Size = 8
    plan: TrainPlan
    """Its `steps` follow from the epochs."""
    length: Size = 128
    seed: int = 0


class Opined(Settings):
    """What came out: scores of dev and test, corrected and official, and where things lie."""

    subtask: Subtask
    scores: Mapping[str, Mapping[str, float]]
    reviews: Mapping[str, int]
    lost: tuple[str, ...]
    """Training reviews whose opinions cannot be pointed at, with the reason."""
    seconds: float
    """Of training."""
    model: str
    """The model folder."""


def learn_opinions(
    train: str | Path,
    *,
    out: str | Path,
    dev: str | Path | None = None,
    test: str | Path | None = None,
    subtask: Subtask | None = None,
    base: str = "minilm",
    epochs: int = 8,
    batch: int = 16,
    lr: float = 3e-4,
    length: int = 128,
    seed: int = 0,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Opined:
    """Learn to tell what the reviews of `train` say; `out` becomes the run folder.

    Files are in any format of `quire.text.absa`. Without a `subtask` it is the richest that they hold: triplet, pair,
    aesc, ae or oe. On a base without a decoder a fresh one of two layers is put. The weights are those of the best of
    four moments on dev, by corrected F1. A folder of the same run goes on where it was stopped; BadInput for one of
    another run.
    """
    held = read_reviews(train)
    what = subtask or told_by(held, str(train))
    polarities = [p for p in POLARITIES if any(said.polarity == p for review in held for said in review.opinions)]
    data = {
        **{split: str(path) for split, path in (("train", train), ("dev", dev), ("test", test)) if path is not None},
        "base": base,
        "task": {"point": {"subtasks": [what], **({"polarities": polarities} if polarities else {})}},
        "epochs": epochs,
        "plan": {"steps": 1, "batch": batch, "lr": lr, "warmup": 10, "checkpoint_every": 100, "keep": 1},
        "length": length,
        "seed": seed,
    }
    settings = parse(OpinionSettings, data, where="finetune")
    splits = split(held, train=settings.train, dev=settings.dev, test=settings.test, share=settings.held_out, seed=seed)
    with prepared(Path(out), write_yaml(settings), identity={"data": splits.hashes}) as folder:
        if (folder / RESULTS).exists():
            return parse(Opined, read_json(folder / RESULTS), where=str(folder / RESULTS))
        pointer = _begun(settings)
        learnt, lost = _examples(pointer, splits.train, str(train))
    fixed = Fixed(learnt, f"{splits.hashes['train']}/{pointer.tokenizer.fingerprint}/{length}")
    steps = epochs * -(-len(fixed) // batch)
    job = Job(fixed, (pointer.plan.task,), pointer.world, settings.plan.model_copy(update={"steps": steps}), seed=seed)
    keeper = Keeper(pointer.model, folder / "best", lambda: {"f1": _scores(pointer, splits.dev)[1].corrected["f1"]})
    log = fit(
        pointer.model,
        job,
        folder=folder,
        title=f"Fine-tune absa: {what}",
        progress=progress or Silent(),
        stop=stop,
        watch=keeper,
        watch_every=max(steps // MEASURED, 1),
    )
    pointer.model.load_state_dict(read_tensors(keeper.weights_of("f1")))
    return _judged(settings, splits, pointer, folder, lost=lost, seconds=cost_of(log).seconds)


def _begun(settings: OpinionSettings) -> Pointer:
    """One that has not learnt; BadInput where the base cannot point."""
    base = Base.load(settings.base)
    files = base.files if base.files.backbone.decoder else with_decoder(base.files, LAYERS)
    world = base.tokenizer.world(length=settings.length)
    parts = planned([settings.task], files.backbone, world)
    plan = Pointing(task=settings.task, length=settings.length)
    room = min(plan.search.limit, files.backbone.positions - BEFORE)
    plan = plan.model_copy(update={"search": plan.search.model_copy(update={"limit": room})})
    return Pointer(started(files, parts, seed=settings.seed), base.tokenizer, plan)


def _examples(pointer: Pointer, reviews: Sequence[Review], where: str) -> tuple[list[Example], list[str]]:
    learnt, lost = pointer.examples(pointer.asked(reviews, pointer.plan.task.subtasks[0]))
    if not learnt:
        raise BadInput(f"{where}: of no review can be told what it says" + (f"; the first: {lost[0]}" if lost else ""))
    return learnt, lost


def _scores(pointer: Pointer, reviews: Sequence[Review]) -> tuple[list[tuple[Asked, Told]], Scores]:
    """What is said of these reviews, and how well."""
    asked = pointer.asked(reviews, subtask := pointer.plan.task.subtasks[0])
    told = pointer.told(asked)
    truth, said = [one.truth for one in asked], [one.opinions for one in told]
    scores = opinion_scores(subtask, truth, said, invalid=[one.invalid for one in told])
    return list(zip(asked, told, strict=True)), scores


def _judged(
    settings: OpinionSettings, splits: Splits, pointer: Pointer, folder: Path, *, lost: Sequence[str], seconds: float
) -> Opined:
    """Answer test, once, and write everything."""
    scores, answers = {}, list[tuple[Asked, Told]]()
    for name in ("dev", "test"):
        answers, found = _scores(pointer, getattr(splits, name))
        official = {f"official_{score}": value for score, value in found.official.items()}
        scores[name] = {**found.corrected, **official}
    outcome = Opined(
        subtask=settings.task.subtasks[0],
        scores=scores,
        reviews={name: len(getattr(splits, name)) for name in ("train", "dev", "test")},
        lost=tuple(lost),
        seconds=seconds,
        model=str(folder / "model"),
    )
    pointer.save(folder / "model", card=_card(settings, outcome))
    write_whole(folder / "answers.jsonl", "".join(_lines(answers)))
    write_whole(folder / RESULTS, outcome.model_dump_json(indent=2))
    return outcome


def _lines(answers: Sequence[tuple[Asked, Told]]) -> Iterator[str]:
    for asked, told in answers:
        review = asked.review
        said = Review(review.text, review.places, told.opinions, review.where)
        line = {"text": review.text, "opinions": spelled(said), "truth": spelled(review), "where": review.where}
        yield json.dumps(line, ensure_ascii=False) + "\n"


def _card(settings: OpinionSettings, outcome: Opined) -> str:
    figured = ", ".join(f"{name} {100 * value:.1f}" for name, value in outcome.scores["test"].items())
    return (
        f"# What reviews say: {outcome.subtask}\n\n"
        f"Fine-tuned with Quire from {settings.base} on {outcome.reviews['train']} reviews. On "
        f"{outcome.reviews['test']} test reviews of a private file: {figured}.\n"
    )
