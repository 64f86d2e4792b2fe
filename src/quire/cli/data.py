"""`quire data`."""

from typing import Annotated

import typer

app = typer.Typer(help="Data sets for demos, tests and benchmarks.", no_args_is_help=True)


@app.command("list")
def data_list() -> None:
    """The data sets Quire knows, and whether they are here."""
    from quire import data

    for name, task, language, rows, where in data.overview():
        typer.echo(f"{name:18} {task:15} {language:3} {rows:28} {where}")


@app.command("get")
def data_get(name: Annotated[str, typer.Argument(help="The name of a data set.")]) -> None:
    """Fetch a data set, check it, and say where it lies."""
    from quire import data

    typer.echo(str(data.get(name)))


@app.command("show")
def data_show(name: Annotated[str, typer.Argument(help="The name of a data set.")]) -> None:
    """Source, licence, citation and splits of a data set."""
    from quire import data

    for title, text in data.details(name):
        typer.echo(f"{title:12} {text}")
