"""The command line. Nothing heavy is imported before a verb needs it, so that `quire --help` is quick."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from quire.core.errors import BadInput, QuireError

if TYPE_CHECKING:
    from quire.adapt import Outcome

app = typer.Typer(
    help="From your own text and labels to the best small model, and proof of it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Data sets for demos, tests and benchmarks.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Out = Annotated[Path, typer.Option(help="The run folder; the same command goes on with a stopped run.")]
Seeds = Annotated[int, typer.Option(help="Runs of each trained arm.")]
BudgetText = Annotated[
    str,
    typer.Option(help="Time for the whole job (5m, 2h), or training per arm and seed (300steps, 200ktokens)."),
]
Changes = Annotated[list[str] | None, typer.Option("--set", help="Change a recipe: path=value, repeatable.")]
Track = Annotated[bool, typer.Option(help="Also write TensorBoard events (extra `track`).")]


def main() -> None:
    """Run the command line; errors that Quire raises on purpose are one line and their exit code."""
    try:
        app(standalone_mode=True)
    except QuireError as error:
        sys.stderr.write(f"quire: {error}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno is None:
            raise
        sys.stderr.write(f"quire: {error.filename or 'output'}: {error.strerror}; nothing more was written\n")
        sys.exit(BadInput.exit_code)


@app.command()
def adapt(
    train: Annotated[str, typer.Option(help="Labelled texts: CSV, TSV, JSONL, Parquet, or - for standard input.")],
    out: Out,
    dev: Annotated[str | None, typer.Option(help="Labelled texts to select on; else a share of --train.")] = None,
    test: Annotated[str | None, typer.Option(help="Labelled texts, read once at the end; else a share.")] = None,
    corpus: Annotated[list[str] | None, typer.Option(help="Further text without labels, repeatable.")] = None,
    text_column: Annotated[str, typer.Option(help="The column that holds the text.")] = "text",
    label_column: Annotated[str, typer.Option(help="The column that holds the label.")] = "label",
    base: Annotated[str | None, typer.Option(help="minilm, a model folder, or none: from scratch.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe by name or path, in place of the base's own.")] = None,
    changes: Changes = None,
    budget: BudgetText = "5m",
    seeds: Seeds = 3,
    seed: Annotated[int, typer.Option(help="The seed of splits and corruption.")] = 0,
    metric: Annotated[Literal["accuracy", "macro_f1"], typer.Option(help="What is maximised.")] = "accuracy",
    max_loss: Annotated[float, typer.Option(help="Points of the metric that int8 may lose.")] = 0.5,
    length: Annotated[int | None, typer.Option(help="Tokens of a text that are read.")] = None,
    cut: Annotated[Literal["head", "tail", "head+tail"] | None, typer.Option(help="What is kept of it.")] = None,
    title: Annotated[str, typer.Option(help="The report's title.")] = "",
    track: Track = False,
) -> None:
    """Compare ways to a classifier under one budget, keep the best, and prove it in a report."""
    from quire.adapt import adapt as run
    from quire.train.progress import shown
    from quire.train.signals import stop_on_signal

    with shown() as progress, stop_on_signal() as stop:
        outcome = run(
            train,
            out=out,
            dev=dev,
            test=test,
            corpus=tuple(corpus or ()),
            text_column=text_column,
            label_column=label_column,
            base=base,
            recipe=recipe,
            changes=tuple(changes or ()),
            budget=budget,
            seeds=seeds,
            seed=seed,
            metric=metric,
            max_loss=max_loss,
            length=length,
            cut=cut,
            title=title,
            track=track,
            progress=progress,
            stop=stop,
        )
    _tell(outcome)


@app.command()
def demo(
    language: Annotated[Literal["en", "zh"], typer.Argument(help="en: Reuters news; zh: Chinese reviews.")] = "en",
    out: Annotated[Path | None, typer.Option(help="The run folder.")] = None,
    budget: BudgetText = "5m",
    seeds: Seeds = 3,
) -> None:
    """The main job on real data: few labels, much text, an official test set."""
    from quire.demo import demo as run
    from quire.train.progress import shown
    from quire.train.signals import stop_on_signal

    with shown() as progress, stop_on_signal() as stop:
        outcome = run(
            language,
            out=out or Path("runs") / f"demo-{language}",
            budget=budget,
            seeds=seeds,
            progress=progress,
            stop=stop,
        )
    _tell(outcome)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A run folder or a model folder.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; without any, --file or standard input.")] = None,
    file: Annotated[str | None, typer.Option(help="A file of texts, one a line, or a table; - is stdin.")] = None,
    text_column: Annotated[str, typer.Option(help="The column of --file that holds the text.")] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with all probabilities.")] = False,
) -> None:
    """Label texts."""
    import json

    from quire.predict import load
    from quire.text.records import read_records

    if not texts:
        texts = [record.text for record in read_records(file or "-", text_column=text_column, label_column=None)]
    elif file:
        raise BadInput("predict: give texts or --file, not both")
    for text, answer in zip(texts, load(model)(list(texts)), strict=True):
        if as_json:
            facts = {"text": text, "label": answer.label, "probability": answer.probability}
            typer.echo(json.dumps({**facts, "probabilities": dict(answer.probabilities)}, ensure_ascii=False))
        else:
            typer.echo(f"{answer.label}\t{answer.probability:.3f}\t{' '.join(text.split())[:80]}")


@app.command()
def pretrain(
    recipe: Annotated[str, typer.Argument(help="A recipe by name or path; see `quire list`.")],
    corpus: Annotated[
        list[str], typer.Option(help="Text without labels, repeatable; NAME=FILE where the recipe has languages.")
    ],
    out: Out,
    start: Annotated[str | None, typer.Option(help="A model folder, or minilm, to go on from.")] = None,
    text_column: Annotated[str, typer.Option(help="The column of a table that holds the text.")] = "text",
    changes: Changes = None,
    seed: Annotated[int, typer.Option(help="The seed of everything that is drawn.")] = 0,
    track: Track = False,
) -> None:
    """Pre-train a recipe on text of your own."""
    from quire.pretrain import pretrain as run
    from quire.recipe import load
    from quire.train.progress import shown
    from quire.train.signals import stop_on_signal

    with shown() as progress, stop_on_signal() as stop:
        model = run(
            load(recipe, changes=changes),
            corpus=tuple(corpus),
            out=out,
            start=start,
            text_column=text_column,
            seed=seed,
            track=track,
            progress=progress,
            stop=stop,
        )
    typer.echo(f"The model lies in {model}")


@app.command()
def compare(
    arms: Annotated[str, typer.Option(help="Recipes, by name, short name or file, with commas: mlm,rtd,plm,span.")],
    task: Annotated[str, typer.Option(help="Labelled texts that each arm is fine-tuned on.")],
    out: Out,
    corpus: Annotated[list[str] | None, typer.Option(help="Text without labels, repeatable.")] = None,
    dev: Annotated[str | None, typer.Option(help="Labelled texts to select on; else a share of --task.")] = None,
    test: Annotated[str | None, typer.Option(help="Labelled texts, read once at the end; else a share.")] = None,
    text_column: Annotated[str, typer.Option(help="The column that holds the text.")] = "text",
    label_column: Annotated[str, typer.Option(help="The column that holds the label.")] = "label",
    budget: Annotated[
        str, typer.Option(help="Pre-training of each arm and seed: 2mtokens, 50tflops (forward and backward) or 10m.")
    ] = "1mtokens",
    labels: Annotated[str, typer.Option(help="Labels a class to fine-tune on, a study each: 50,all.")] = "all",
    seeds: Seeds = 3,
    seed: Annotated[int, typer.Option(help="The seed of splits and corruption.")] = 0,
    size: Annotated[Literal["tiny", "mini", "small", "medium"], typer.Option(help="Of every arm's network.")] = "tiny",
    length: Annotated[int, typer.Option(help="Tokens of a sequence.")] = 128,
    batch: Annotated[int, typer.Option(help="Sequences of an update.")] = 32,
    lr: Annotated[float, typer.Option(help="The learning rate of pre-training.")] = 1e-3,
    vocab: Annotated[int, typer.Option(help="Tokens of the tokenizer, trained on the texts.")] = 8000,
    metric: Annotated[Literal["accuracy", "macro_f1"], typer.Option(help="What is maximised.")] = "accuracy",
    title: Annotated[str, typer.Option(help="The report's title.")] = "",
    track: Track = False,
) -> None:
    """Pre-train recipes under one budget, fine-tune each on the same labels, and judge which is better."""
    from quire.compare import compare as run
    from quire.compare import labels_of
    from quire.compare.settings import shape_of
    from quire.train.progress import shown
    from quire.train.signals import stop_on_signal

    with shown() as progress, stop_on_signal() as stop:
        outcomes = run(
            [name.strip() for name in arms.split(",") if name.strip()],
            task=task,
            out=out,
            dev=dev,
            test=test,
            corpus=tuple(corpus or ()),
            text_column=text_column,
            label_column=label_column,
            budget=budget,
            per_class=labels_of(labels),
            shape=shape_of(size=size, length=length, batch=batch, lr=lr, vocab=vocab),
            seeds=seeds,
            seed=seed,
            metric=metric,
            title=title,
            track=track,
            progress=progress,
            stop=stop,
        )
    for outcome in outcomes:
        _tell(outcome)


@app.command("list")
def list_recipes(
    by_survey: Annotated[
        bool, typer.Option("--by-survey", help="Under the survey's headings, with components.")
    ] = False,
) -> None:
    """The recipes that come with Quire."""
    from quire import recipe, survey

    if by_survey:
        typer.echo("\n".join(survey.listing()))
        return
    names = recipe.names()
    width = max(map(len, names))
    for name in names:
        found = recipe.load(name)
        typer.echo(f"{name:{width}}  {found.title}\n{'':{width}}  {found.cite}\n{'':{width}}  {found.survey}")


@app.command()
def show(name: Annotated[str, typer.Argument(help="The name of a recipe.")]) -> None:
    """A recipe as it is written."""
    from quire import recipe

    typer.echo(recipe.text(name), nl=False)


@data_app.command("list")
def data_list() -> None:
    """The data sets Quire knows, and whether they are here."""
    from quire import data

    for name, task, language, rows, where in data.overview():
        typer.echo(f"{name:18} {task:15} {language:3} {rows:28} {where}")


@data_app.command("get")
def data_get(name: Annotated[str, typer.Argument(help="The name of a data set.")]) -> None:
    """Fetch a data set, check it, and say where it lies."""
    from quire import data

    typer.echo(str(data.get(name)))


@data_app.command("show")
def data_show(name: Annotated[str, typer.Argument(help="The name of a data set.")]) -> None:
    """Source, licence, citation and splits of a data set."""
    from quire import data

    for title, text in data.details(name):
        typer.echo(f"{title:12} {text}")


def _tell(outcome: "Outcome") -> None:
    """The verdict, a line an arm, and where things lie."""
    study, verdict = outcome.study, outcome.verdict
    typer.echo(f"\n{verdict.sentence}\n")
    typer.echo(f"{'arm':40} {'dev':>6} {'test (95 % interval)':>24} {'ms/text':>8} {'MB':>7} {'train s/run':>12}")
    for arm in study.arms:
        found = verdict.score(arm.name).score
        latency = arm.latency_at(1)
        seconds = sum(cost.seconds for cost in arm.cost) / len(arm.seeds)
        typer.echo(
            f"{arm.title[:40]:40} {sum(arm.dev) / len(arm.dev) * 100:6.1f} "
            f"{found.value * 100:8.1f} ({found.lower * 100:.1f} to {found.upper * 100:.1f}) "
            f"{latency.median if latency else 0:8.1f} {arm.bytes / 1e6:7.1f} {seconds:12.1f}"
        )
    if study.quantisation:
        typer.echo(f"\nint8 {'kept' if study.quantisation.kept else 'not kept'}: {study.quantisation.why}")
    typer.echo(f"\nReport  {outcome.report}\nModel   {outcome.model}  (deploys: {study.deployed.title})")


if __name__ == "__main__":
    main()
