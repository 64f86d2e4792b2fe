"""`quire pretrain`."""

from typing import Annotated

import typer

from quire.cli.options import Changes, Out, Track

app = typer.Typer()


@app.command()
def pretrain(
    recipe: Annotated[str, typer.Argument(help="A recipe by name or path; see `quire list`.")],
    corpus: Annotated[
        list[str], typer.Option(help="Text without labels, repeatable; NAME=FILE where the recipe has languages.")
    ],
    out: Out,
    task: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE for each further task of the recipe, repeatable.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="A model folder, or minilm, to go on from.")] = None,
    text_column: Annotated[str, typer.Option(help="The column of a table that holds the text.")] = "text",
    changes: Changes = None,
    seed: Annotated[int, typer.Option(help="The seed of everything that is drawn.")] = 0,
    track: Track = False,
) -> None:
    """Pre-train a recipe on text of your own; under torchrun, in several processes together."""
    from quire.pretrain import files_of
    from quire.pretrain import pretrain as run
    from quire.recipe import load
    from quire.train.progress import shown
    from quire.train.signals import stop_on_signal
    from quire.train.team import joined

    wanted = load(recipe, changes=changes)
    with joined() as team, shown() as progress, stop_on_signal() as stop:
        model = run(
            wanted,
            corpus=tuple(corpus),
            out=out,
            tasks=files_of(task or ()),
            start=start,
            text_column=text_column,
            seed=seed,
            track=track,
            progress=progress,
            stop=stop,
        )
    if not team.leads:
        return
    typer.echo(f"The model lies in {model}")
    for name in wanted.tasks:
        typer.echo(f"The model of task {name} lies in {out / 'tasks' / name}")
