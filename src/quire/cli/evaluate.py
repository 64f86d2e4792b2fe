"""`quire evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from quire.core.errors import BadInput

app = typer.Typer()


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A run folder or a model folder.")],
    data: Annotated[str, typer.Option(help="Labelled texts to ask about: CSV, TSV, JSONL, Parquet, or -.")],
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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with everything.")] = False,
) -> None:
    """How well a language model answers with zero, one or a few examples in its context, untrained."""
    from quire.incontext import evaluate as run

    if shots is None:
        raise BadInput("evaluate: give --shots, for instance --shots 0,1,8: how many examples to show")
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


def _numbers(text: str) -> list[int]:
    """`0,1,8` as numbers."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise BadInput(f"--shots {text}: expected whole numbers with commas, for instance 0,1,8") from None
