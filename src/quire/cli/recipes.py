"""`quire list` and `quire show`."""

from typing import Annotated

import typer

app = typer.Typer()


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
