"""Options that several verbs share, and how one is refused."""

from pathlib import Path
from typing import Annotated

import typer

from quire.core.errors import BadInput

Out = Annotated[Path, typer.Option(help="The run folder; the same command goes on with a stopped run.")]
Seeds = Annotated[int, typer.Option(help="Runs of each trained arm.")]
BudgetText = Annotated[
    str,
    typer.Option(help="Time for the whole job (5m, 2h), or training per arm and seed (300steps, 200ktokens)."),
]
Changes = Annotated[list[str] | None, typer.Option("--set", help="Change a recipe: path=value, repeatable.")]
Track = Annotated[bool, typer.Option(help="Also write TensorBoard events (extra `track`).")]


def refuse(context: typer.Context, names: tuple[str, ...], *, why: str) -> None:
    """BadInput for one of these options that was given and has no meaning here."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            raise BadInput(f"{parameter.opts[0]}: {why}")


def tell_cut(share: float, length: int, *, what: str = "texts") -> None:
    """Say beside the answers how many of what was read were longer than the model reads, if any."""
    if share:
        typer.echo(f"{share:.0%} of the {what} are longer than {length} tokens and were cut", err=True)
