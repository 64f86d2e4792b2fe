"""`quire finetune --paradigm absa`: a model learns what reviews say, and is scored officially and corrected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from quire.core.config import Settings, parse, write_yaml
from quire.core.errors import BadInput
from quire.core.example import Example
from quire.core.opinions import POLARITIES, Review
from quire.core.spec import Size
from quire.finetune.annotated import CATEGORY, Splits, What, split, told_by
from quire.finetune.course import MEASURED
from quire.finetune.learner import Answered, Learner, begun
from quire.objectives.point import Point
from quire.predict.rater import Pairs, Rating
from quire.report.reviews import spelled
from quire.scoring import Scores
from quire.text.absa import read_reviews
from quire.text.tokenizers import Tokenizer
from quire.train.feed import Fixed
from quire.train.folder import prepared
from quire.train.keeper import Keeper
from quire.train.log import cost_of
from quire.train.loop import Job, fit
from quire.train.optim import TrainPlan
from quire.train.progress import Progress, Silent
from quire.train.safe import read_json, read_tensors, write_whole
from quire.train.signals import StopRequest
from quire.train.start import Base

RESULTS = "results.json"
UNKNOWN = 0.3
"""The share of unknown tokens from which a base does not read a language: of Chinese, two thirds are to MiniLM."""


@dataclass(frozen=True)
class Pace:
    """How a task is learnt where nobody says it."""

    epochs: int
    batch: int
    lr: float


POINTING, RATING = Pace(8, 16, 3e-4), Pace(4, 24, 1e-4)
"""Of reviews, and of pairs of a review and a category: the epochs and the batch of Sun et al. 2019."""


class OpinionSettings(Settings):
    """Everything that decides the outcome."""

    train: str
    dev: str | None = None
    test: str | None = None
    held_out: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """The share of the training reviews for dev, and again for test, where no file is given."""
    base: str = "minilm"
    task: Point | Rating
    epochs: Size
    plan: TrainPlan
    """Its `steps` follow from the epochs."""
    length: Size = 128
    seed: int = 0


class Opined(Settings):
    """What came out: scores of dev and test, corrected and official, and where things lie."""

    subtask: What
    scores: Mapping[str, Mapping[str, float]]
    reviews: Mapping[str, int]
    lost: tuple[str, ...]
    """Training reviews that were not learnt from, or not as they stand, with the reason."""
    notes: tuple[str, ...] = ()
    """What a person should know of the data."""
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
    subtask: What | None = None,
    form: Pairs | None = None,
    base: str = "minilm",
    epochs: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    length: int = 128,
    seed: int = 0,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Opined:
    """Learn to tell what the reviews of `train` say; `out` becomes the run folder.

    Files are in any format of `quire.text.absa`. Without a `subtask` it is the richest that most of their opinions
    hold: triplet, pair, aesc, ae or oe; category, where no words are told. On a base without a decoder what points gets
    a fresh one of two layers; categories are asked for in pairs of this `form`, nli_m without one, and `batch` counts
    pairs. The weights are those of the best of four moments on dev, by corrected F1, of categories with their
    polarities. Official scores are those of BARTABSA's code for Peng et al. and Xu et al., and of categories
    SemEval-2014's. A folder of the same run goes on where it was stopped; BadInput for one of another run.
    """
    held = read_reviews(train)
    task = _asked(held, str(train), subtask=subtask, form=form)
    usual = RATING if isinstance(task, Rating) else POINTING
    pace = {"batch": usual.batch if batch is None else batch, "lr": usual.lr if lr is None else lr}
    data = {
        **{split: str(path) for split, path in (("train", train), ("dev", dev), ("test", test)) if path is not None},
        "base": base,
        "task": task,
        "epochs": usual.epochs if epochs is None else epochs,
        "plan": {"steps": 1, **pace, "warmup": 10, "checkpoint_every": 100, "keep": 1},
        "length": length,
        "seed": seed,
    }
    settings = parse(OpinionSettings, data, where="finetune")
    what = CATEGORY if isinstance(task, Rating) else task.subtasks[0]
    splits = split(
        held,
        what=what,
        train=settings.train,
        dev=settings.dev,
        test=settings.test,
        share=settings.held_out,
        seed=seed,
    )
    with prepared(Path(out), write_yaml(settings), identity={"data": splits.hashes}) as folder:
        if (folder / RESULTS).exists():
            return parse(Opined, read_json(folder / RESULTS), where=str(folder / RESULTS))
        learns = begun(settings.task, Base.load(base), length=length, seed=seed)
        for other in (splits.dev, splits.test):
            learns.check(other)
        _refuse_unknown(learns.teller.tokenizer, splits.train, base=base, where=str(train))
        learnt, lost = _examples(learns, splits.train, str(train))
    progress, notes = progress or Silent(), (*splits.notes, *_cut(learns, splits.train))
    for note in notes:
        progress.say(note)
    tokenizer, model = learns.teller.tokenizer, learns.teller.model
    fixed = Fixed(learnt, f"{splits.hashes['train']}/{tokenizer.fingerprint}/{length}")
    plan = settings.plan.model_copy(update={"steps": settings.epochs * -(-len(fixed) // settings.plan.batch)})
    job = Job(fixed, (learns.objective,), tokenizer.world(length=length), plan, seed=seed)
    keeper = Keeper(
        model, folder / "best", lambda: {learns.best: learns.answered(splits.dev)[1].corrected[learns.best]}
    )
    log = fit(
        model,
        job,
        folder=folder,
        title=f"Fine-tune absa: {learns.what}",
        progress=progress,
        stop=stop,
        watch=keeper,
        watch_every=max(plan.steps // MEASURED, 1),
    )
    model.load_state_dict(read_tensors(keeper.weights_of(learns.best)))
    return _judged(settings, splits, learns, folder, lost=lost, notes=notes, seconds=cost_of(log).seconds)


def _asked(held: Sequence[Review], where: str, *, subtask: What | None, form: Pairs | None) -> Point | Rating:
    """What is learnt, as it is said or as the annotations tell."""
    if (what := subtask or told_by(held, where)) != CATEGORY:
        if form is not None:
            raise BadInput(f"--form {form}: asks about categories, and {what} is learnt; give --subtask {CATEGORY} too")
        return parse(Point, {"subtasks": [what], **_polarities(held)}, where="finetune")
    told = [replace(review, opinions=tuple(o for o in review.opinions if o.category)) for review in held]
    if not (categories := sorted({str(said.category) for review in told for said in review.opinions})):
        raise BadInput(f"{where}: no category is told of any review; annotate some, or learn what is told by words")
    asked = {"categories": categories, **_polarities(told), "form": form or "nli_m"}
    return parse(Rating, asked, where=where)


def _polarities(held: Sequence[Review]) -> Mapping[str, Sequence[str]]:
    """Those that are told, if any."""
    found = [p for p in POLARITIES if any(said.polarity == p for review in held for said in review.opinions)]
    return {"polarities": found} if found else {}


def _examples(learns: Learner, reviews: Sequence[Review], where: str) -> tuple[list[Example], list[str]]:
    learnt, lost = learns.examples(reviews)
    if not learnt:
        raise BadInput(f"{where}: of no review can be told what it says" + (f"; the first: {lost[0]}" if lost else ""))
    return learnt, lost


def figures(scores: Scores) -> dict[str, float]:
    """Corrected scores, and official ones beside them."""
    return {**scores.corrected, **{f"official_{name}": value for name, value in scores.official.items()}}


def _refuse_unknown(tokenizer: Tokenizer, reviews: Sequence[Review], *, base: str, where: str) -> None:
    """BadInput for a base that does not read the language of the reviews."""
    tokens = np.concatenate([passage.tokens for passage in tokenizer.encode(review.text for review in reviews)])
    if (share := float(np.mean(tokens == tokenizer.vocab.unk))) > UNKNOWN:
        raise BadInput(
            f"{where}: {share:.0%} of the tokens are unknown to {base}; give a base that reads this language as --start"
        )


def _cut(learns: Learner, reviews: Sequence[Review]) -> Iterator[str]:
    teller = learns.teller
    if share := teller.cut_share([review.text for review in reviews]):
        yield f"{share:.1%} of the training reviews are longer than {teller.length} tokens and were cut; raise --length"


def _judged(
    settings: OpinionSettings,
    splits: Splits,
    learns: Learner,
    folder: Path,
    *,
    lost: Sequence[str],
    notes: Sequence[str],
    seconds: float,
) -> Opined:
    """Answer test, once, and write everything."""
    scores, answers = {}, list[Answered]()
    for name in ("dev", "test"):
        answers, found = learns.answered(getattr(splits, name))
        scores[name] = figures(found)
    outcome = Opined(
        subtask=learns.what,
        scores=scores,
        reviews={name: len(getattr(splits, name)) for name in ("train", "dev", "test")},
        lost=tuple(lost),
        notes=tuple(notes),
        seconds=seconds,
        model=str(folder / "model"),
    )
    learns.teller.save(folder / "model", card=_card(settings, outcome))
    write_whole(folder / "answers.jsonl", "".join(_lines(answers)))
    write_whole(folder / RESULTS, outcome.model_dump_json(indent=2))
    return outcome


def _lines(answers: Sequence[Answered]) -> Iterator[str]:
    for one in answers:
        said, truth = (spelled(replace(one.review, opinions=told)) for told in (one.opinions, one.truth))
        line = {"text": one.review.text, "opinions": said, "truth": truth, "where": one.review.where}
        yield json.dumps(line, ensure_ascii=False) + "\n"


def _card(settings: OpinionSettings, outcome: Opined) -> str:
    figured = ", ".join(f"{name} {100 * value:.1f}" for name, value in outcome.scores["test"].items())
    return (
        f"# What reviews say: {outcome.subtask}\n\n"
        f"Fine-tuned with Quire from {settings.base} on {outcome.reviews['train']} reviews. On "
        f"{outcome.reviews['test']} test reviews of a private file: {figured}.\n"
    )
