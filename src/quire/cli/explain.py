"""`quire explain`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="What a model has learnt, shown.", no_args_is_help=True)


@app.callback()
def explain() -> None:
    """Makes `project` a verb of its own while it is the only one."""


@app.command()
def project(
    model: Annotated[str, typer.Argument(help="A run or model folder, minilm, or word vectors in word2vec's format.")],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")],
    words: Annotated[str | None, typer.Option(help="Words with commas, or a .txt file with one a line.")] = None,
    most: Annotated[int, typer.Option(help="Words or texts that are drawn at most.")] = 500,
    file: Annotated[str | None, typer.Option(help="Texts in place of words: a table, plain text, or -.")] = None,
    text_column: Annotated[str, typer.Option(help="The column of --file that holds the text.")] = "text",
    label_column: Annotated[
        str | None, typer.Option(help="The column of --file that tells colours; label, if there is one.")
    ] = None,
    perplexity: Annotated[float | None, typer.Option(help="Of t-SNE: neighbours that count; 30 if there are.")] = None,
    seed: Annotated[int, typer.Option(help="The seed of t-SNE, and of the texts that are drawn.")] = 0,
) -> None:
    """Draw the vectors of words or texts by PCA and t-SNE, and say how much of a picture to believe."""
    from quire.explain import project as run

    found = run(
        model,
        out=out,
        words=_words(words),
        most=most,
        file=file,
        text_column=text_column,
        label_column=label_column,
        perplexity=perplexity,
        seed=seed,
    )
    for picture in found.pictures:
        told = f"Neighbours kept {100 * picture.kept:.1f} %; trustworthiness {picture.trust:.3f}."
        typer.echo(f"{picture.name:6} {picture.facts} {told}")
    typer.echo(f"Page   {out}")


def _words(text: str | None) -> list[str]:
    """`good,bad` or a file as words."""
    from quire.text.rows import read_lines

    if text is None:
        return []
    found = [line for _, line in read_lines(text)] if text.endswith(".txt") else text.split(",")
    return [word.strip() for word in found if word.strip()]
