"""`quire export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from quire.core.errors import BadInput

if TYPE_CHECKING:
    from quire.export import SentencePool

app = typer.Typer()


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A run folder, a model folder, or minilm.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    sentence_transformers: Annotated[
        bool, typer.Option("--sentence-transformers", help="An encoder that sentence-transformers opens.")
    ] = False,
    pool: Annotated[
        str | None, typer.Option(help="Of its vectors: first, mean or max; else as its classifier pools, or the mean.")
    ] = None,
) -> None:
    """Write a model for others to run."""
    if not sentence_transformers:
        raise BadInput("export: say as what: --sentence-transformers")
    if pool not in (None, "first", "mean", "max"):
        raise BadInput(f"--pool {pool}: take first, mean or max")
    from quire.export import export_sentences

    found = export_sentences(model, out=out, pool=cast("SentencePool | None", pool))
    typer.echo(f"{out}: pools by {found}; open it with SentenceTransformer({str(out)!r})")
