"""`quire adapt` and `quire demo`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from quire.cli.options import BudgetText, Changes, Out, Seeds, Track
from quire.cli.outcome import tell

app = typer.Typer()


@app.command()
def adapt(
    train: Annotated[str, typer.Option(help="Labelled texts: CSV, TSV, JSONL, Parquet, or - for standard input.")],
    out: Out,
    dev: Annotated[str | None, typer.Option(help="Labelled texts to select on; else a share of --train.")] = None,
    test: Annotated[str | None, typer.Option(help="Labelled texts, read once at the end; else a share.")] = None,
    corpus: Annotated[list[str] | None, typer.Option(help="Further text without labels, repeatable.")] = None,
    text_column: Annotated[str, typer.Option(help="The column that holds the text.")] = "text",
    pair_column: Annotated[str | None, typer.Option(help="Of pairs: the column of the second text.")] = None,
    label_column: Annotated[str, typer.Option(help="The column that holds the label.")] = "label",
    base: Annotated[str | None, typer.Option(help="minilm, a model folder, or none: from scratch.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A recipe by name or path, in place of the base's own.")] = None,
    changes: Changes = None,
    budget: BudgetText = "5m",
    seeds: Seeds = 3,
    seed: Annotated[int, typer.Option(help="The seed of splits, corruption and the first run of each arm.")] = 0,
    metric: Annotated[Literal["accuracy", "macro_f1"], typer.Option(help="What is maximised.")] = "accuracy",
    max_loss: Annotated[float, typer.Option(help="Points of the metric that int8 may lose.")] = 0.5,
    length: Annotated[int | None, typer.Option(help="Tokens of a text that are read.")] = None,
    cut: Annotated[
        Literal["head", "tail", "head+tail", "windows"] | None, typer.Option(help="What is kept of it.")
    ] = None,
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
            pair_column=pair_column,
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
    for line in tell(outcome):
        typer.echo(line)


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
    for line in tell(outcome):
        typer.echo(line)
