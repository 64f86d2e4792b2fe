"""Ask a model in a folder about a table, behind examples from another."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quire.core.errors import BadInput, nearest
from quire.core.heads import TokenHead
from quire.incontext.prompt import Asking, Form, drawn
from quire.incontext.results import Evaluation, Figures, Run
from quire.incontext.scores import HEAD, Floats, by_rule, log_likelihoods
from quire.nn.model import Model
from quire.text.audit import normalised
from quire.text.records import Record, read_records
from quire.text.rows import Source
from quire.train.start import Base, started


def evaluate(
    folder: str | Path,
    *,
    data: Source,
    shots: Sequence[int],
    train: Source | None = None,
    description: str = "",
    balanced: bool = False,
    seeds: int = 3,
    seed: int = 0,
    text_column: str = "text",
    label_column: str = "label",
) -> Evaluation:
    """Ask the model in `folder` for the label of each text of `data`, behind so many examples of `train`.

    Each label is scored as text (`quire.incontext.scores`). The examples of a seed are the same for all questions, so
    that the spread over seeds is that of the choice of examples; Brown et al. (2020, section 2.4) draw anew for each
    question. Examples that do not fit into the window are left out from the front. Texts of `train` that stand in
    `data` too are never shown. Zero shots are one run, others one a seed.
    BadInput for a folder without a language model's head, data without labels, and a question longer than the window.
    """
    if any(number < 0 for number in shots) or not shots or seeds < 1:
        raise BadInput(f"shots {', '.join(map(str, shots)) or 'none'}, seeds {seeds}: take 0 or more, and 1 or more")
    if train is None and max(shots) > 0:
        raise BadInput(f"{max(shots)} shots: examples of which table? Give it as `train`, or take 0 shots")
    base = _opened(folder)
    asked = read_records(data, text_column=text_column, label_column=label_column)
    known = [] if train is None else read_records(train, text_column=text_column, label_column=label_column)
    labels = _labels(known, asked)
    questions = {normalised(record.text) for record in asked}
    pool = [record for record in known if normalised(record.text) not in questions]
    model = started(base.files, {HEAD: base.files.heads[HEAD]}, seed=0)
    asking = Asking(Form(description=description), labels, base.tokenizer, base.files.backbone.positions)
    trial = _Trial(model, asking, asked, log_likelihoods(model, [asking.about(asking.form.neutral)])[0])
    runs = [
        trial.run(drawn(pool, shots=number, balanced=balanced, seed=this), seed=this)
        for number in dict.fromkeys(min(number, len(pool)) for number in shots)
        for this in range(seed, seed + (seeds if number else 1))
    ]
    majority = Counter(record.label or "" for record in known or asked).most_common(1)[0][0]
    return Evaluation(
        labels=labels,
        questions=len(asked),
        majority=majority,
        baseline=Figures.of(labels, trial.truth, [majority] * len(asked)),
        runs=tuple(runs),
        notes=tuple(_notes(max(shots), known, pool, runs)),
    )


@dataclass(frozen=True)
class _Trial:
    """The questions, and the model that is asked."""

    model: Model
    asking: Asking
    asked: Sequence[Record]
    neutral_C: Floats

    @property
    def truth(self) -> list[str]:
        return [record.label or "" for record in self.asked]

    def run(self, shown: Sequence[Record], *, seed: int) -> Run:
        """All questions behind these examples."""
        questions = [self.asking.question(record, shown) for record in self.asked]
        scores = by_rule(log_likelihoods(self.model, questions), self.neutral_C, questions)
        labels, used = self.asking.labels, [question.used for question in questions]
        answers = {rule: [labels[i] for i in scores_QC.argmax(axis=1)] for rule, scores_QC in scores.items()}
        return Run(
            shots=len(shown),
            seed=seed,
            least_used=min(used),
            mean_used=float(np.mean(used)),
            rules={rule: Figures.of(labels, self.truth, given) for rule, given in answers.items()},
        )


def _opened(folder: str | Path) -> Base:
    base = Base.load(str(folder))
    head = base.files.heads.get(HEAD)
    if not isinstance(head, TokenHead) or head.of != "backbone":
        raise BadInput(
            f"no lm head in this folder: {folder} (heads: {', '.join(sorted(base.files.heads)) or 'none'}); only what "
            "was trained to go on from a text can be shown examples: pre-train with the objective lm, or take a GPT"
        )
    return base


def _labels(known: Sequence[Record], asked: Sequence[Record]) -> tuple[str, ...]:
    labels = sorted({record.label or "" for record in known or asked})
    for record in asked:
        if record.label not in labels:
            hint = nearest(record.label or "", labels)
            raise BadInput(f"{record.where}: no example has the label {record.label!r}{hint}")
    if len(labels) < 2:
        raise BadInput(f"only one label, {labels[0]!r}: there is nothing to choose; give two or more")
    return tuple(labels)


def _notes(shots: int, known: Sequence[Record], pool: Sequence[Record], runs: Sequence[Run]) -> Iterator[str]:
    if len(pool) < len(known):
        yield f"{len(known) - len(pool)} of {len(known)} examples are questions too; they are never shown"
    if shots > len(pool):
        yield f"{shots} shots were asked for, there are {len(pool)} examples: all of them are shown"
    for number in dict.fromkeys(run.shots for run in runs):
        ours = [run for run in runs if run.shots == number]
        if (least := min(run.least_used for run in ours)) < number:
            mean = float(np.mean([run.mean_used for run in ours]))
            yield f"of {number} examples {mean:.1f} fitted into the window on average, {least} at the least"
