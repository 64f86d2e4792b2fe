"""`quire evaluate`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quire.cli.options import refuse, tell_cut
from quire.core.errors import BadInput

if TYPE_CHECKING:
    from quire.predict.solver import Solver
    from quire.predict.teller import Teller

app = typer.Typer()
IN_CONTEXT = ("train", "description", "balanced", "seeds", "seed")
"""Options that mean nothing where nobody is shown examples."""


@app.command()
def evaluate(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="A run folder or a model folder.")],
    data: Annotated[str, typer.Option(help="Labelled texts, or pairs of texts: CSV, TSV, JSONL, Parquet, or -.")],
    shots: Annotated[
        str | None, typer.Option(help="Examples shown to a language model before each question: 0,1,8.")
    ] = None,
    train: Annotated[str | None, typer.Option(help="Labelled texts that the examples are drawn from.")] = None,
    description: Annotated[str, typer.Option(help="The first line of every prompt: what the task is.")] = "",
    balanced: Annotated[bool, typer.Option("--balanced", help="Let the labels take turns among the examples.")] = False,
    seeds: Annotated[int, typer.Option(help="Choices of examples.")] = 3,
    seed: Annotated[int, typer.Option(help="The seed of the first choice.")] = 0,
    text_column: Annotated[str, typer.Option(help="The column that holds the text.")] = "text",
    label_column: Annotated[str, typer.Option(help="The column that holds the label.")] = "label",
    source_column: Annotated[str, typer.Option(help="Of pairs: the column that is read.")] = "source",
    target_column: Annotated[str, typer.Option(help="Of pairs: the column to compare with.")] = "target",
    pair_column: Annotated[str | None, typer.Option(help="Of labelled pairs: the column of the second text.")] = None,
    layout: Annotated[
        str | None,
        typer.Option(help="Of a paradigm: how the data is laid out: table, conll, spans, reviews, or a GLUE task."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with everything.")] = False,
) -> None:
    """How well a trained folder answers; or, with --shots, an untrained language model from examples in its context."""
    from quire.incontext import evaluate as run

    if shots is None:
        refuse(context, IN_CONTEXT, why="needs --shots: it is for a language model that is shown examples")
        columns = {"text_column": text_column, "pair_column": pair_column, "label_column": label_column}
        figures = _trained(model, data, {**columns, "name": layout}, (source_column, target_column))
        lines = [json.dumps(figures)] if as_json else [f"{name:14} {value:10.4f}" for name, value in figures.items()]
        typer.echo("\n".join(lines))
        return
    found = run(
        model,
        data=data,
        shots=_numbers(shots),
        train=train,
        description=description,
        balanced=balanced,
        seeds=seeds,
        seed=seed,
        text_column=text_column,
        label_column=label_column,
    )
    if as_json:
        typer.echo(found.model_dump_json())
        return
    for line in (*found.notes, *found.table()):
        typer.echo(line)


def _trained(model: Path, data: str, layout: Mapping[str, str | None], pairs: tuple[str, str]) -> dict[str, float]:
    """Accuracy and macro-F1 of what labels, BLEU, chrF and ROUGE of what writes, else the metrics of the task."""
    from quire.incontext import Figures
    from quire.predict import Predictor, opened
    from quire.predict.solver import Cast, Solver
    from quire.predict.teller import Teller
    from quire.score import score_texts
    from quire.text.pairs import read_pairs
    from quire.text.records import read_records

    found = opened(model)
    if isinstance(found, Solver | Cast):
        return _solved(found if isinstance(found, Solver) else found.solver, data, layout)
    if isinstance(found, Teller):
        return _told(found, data)
    if isinstance(found, Predictor):
        columns = {name: layout[name] for name in ("pair_column", "label_column")}
        records = read_records(data, text_column=str(layout["text_column"]), **columns)
        truth = [str(record.label) for record in records]
        _check_known(truth, found.labels, where=data)
        answers = [answer.label for answer in found([record.text for record in records])]
        figures = Figures.of(sorted({*truth, *found.labels}), truth, answers)
        return {"texts": len(records), "accuracy": figures.accuracy, "macro_f1": figures.macro_f1}
    rows = read_pairs(data, source_column=pairs[0], target_column=pairs[1])
    sources = [row.source for row in rows]
    tell_cut(found.cut_share(sources), found.plan.length, what="sources")
    written = found(sources)
    return {"texts": len(rows), **score_texts([text.text for text in written], [row.target for row in rows])}


def _told(teller: "Teller", data: str) -> dict[str, float]:
    """Of reviews in any of their formats, by what the model learnt first; corrected, and as the releases count."""
    from quire.finetune.annotated import refuse_untold
    from quire.finetune.learner import learner
    from quire.finetune.opinions import figures
    from quire.text.absa import read_reviews

    reviews, learns = read_reviews(data), learner(teller)
    refuse_untold(reviews, learns.what, where=data)
    tell_cut(teller.cut_share([review.text for review in reviews]), teller.length)
    return {"reviews": len(reviews), **figures(learns.answered(reviews)[1])}


def _solved(solver: "Solver", data: str, layout: Mapping[str, str | None]) -> dict[str, float]:
    from quire.core.config import parse
    from quire.marking import figures
    from quire.text.asked import FileLayout

    problems = parse(FileLayout, {"task": solver.plan.task, **layout}, where="evaluate").read(data)
    pairs = solver.plan.pairs
    for problem in problems:
        if pairs is not None and (len(problem.texts) == 2) is not pairs:
            remedy = "pairs of texts; give --pair-column" if pairs else "single texts; leave out --pair-column"
            raise BadInput(f"{problem.where}: the model reads {remedy}")
    if solver.plan.task == "label":
        _check_known([str(problem.answer) for problem in problems], solver.paradigm.labels, where=data)
    return {"texts": len(problems), **figures(solver.plan.task, problems, solver.answers(problems))}


def _check_known(truth: Sequence[str], labels: Sequence[str], *, where: str) -> None:
    """BadInput where no answer could be right: that is another column or another model, and no accuracy of 0."""
    if not {*truth} & {*labels}:
        found = f"{', '.join(map(repr, sorted({*truth})[:3]))}{', ...' if len({*truth}) > 3 else ''}"
        known = f"{', '.join(map(repr, labels[:5]))}{', ...' if len(labels) > 5 else ''}"
        raise BadInput(f"{where}: none of the labels {found} is known to the model ({known}); see --label-column")


def _numbers(text: str) -> list[int]:
    """`0,1,8` as numbers."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise BadInput(f"--shots {text}: expected whole numbers with commas, for instance 0,1,8") from None
