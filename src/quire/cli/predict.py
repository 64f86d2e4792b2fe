"""`quire predict`."""

from pathlib import Path
from typing import Annotated

import typer

from quire.core.errors import BadInput

app = typer.Typer()


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
