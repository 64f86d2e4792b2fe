"""Options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option(help="The run folder; the same command goes on with a stopped run.")]
Seeds = Annotated[int, typer.Option(help="Runs of each trained arm.")]
BudgetText = Annotated[
    str,
    typer.Option(help="Time for the whole job (5m, 2h), or training per arm and seed (300steps, 200ktokens)."),
]
Changes = Annotated[list[str] | None, typer.Option("--set", help="Change a recipe: path=value, repeatable.")]
Track = Annotated[bool, typer.Option(help="Also write TensorBoard events (extra `track`).")]
