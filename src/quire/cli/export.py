"""`quire export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from quire.cli.options import refuse
from quire.core.errors import BadInput

if TYPE_CHECKING:
    from quire.export import SentencePool

app = typer.Typer()
OF_ONNX = ("int8", "texts", "text_column", "pair_column", "label_column", "max_loss")
OF_SENTENCES = ("pool",)
OF_LORA = ("base",)


@app.command()
def export(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A run folder, a model folder, or minilm.")],
    out: Annotated[Path | None, typer.Option(help="The folder to write; a graph's is else beside the model's.")] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="An ONNX graph, with the tokenizer beside it.")] = False,
    sentence_transformers: Annotated[
        bool, typer.Option("--sentence-transformers", help="An encoder that sentence-transformers opens.")
    ] = False,
    lora: Annotated[bool, typer.Option("--lora", help="What LoRA learnt over its base, as peft opens it.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Of a graph: in int8 too, if that is faster here.")] = False,
    texts: Annotated[
        str | None, typer.Option(help="Of a graph: texts to compare on; else the run's dev texts.")
    ] = None,
    text_column: Annotated[str, typer.Option(help="The column of --texts that holds the text.")] = "text",
    pair_column: Annotated[str | None, typer.Option(help="The column of --texts that holds a second text.")] = None,
    label_column: Annotated[
        str | None, typer.Option(help="The column of --texts that holds the label, if any.")
    ] = None,
    max_loss: Annotated[
        float | None, typer.Option(help="Points that int8 may lose: of a classifier 0.5 with labelled texts, else 1.")
    ] = None,
    pool: Annotated[
        str | None, typer.Option(help="Of vectors: first, mean or max; else as its classifier pools, or the mean.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Of LoRA: a model folder, or minilm; else what the run tells.")
    ] = None,
) -> None:
    """Write a model for others to run."""
    if onnx + sentence_transformers + lora != 1:
        raise BadInput("export: say as what: --onnx, --sentence-transformers or --lora")
    for chosen, options, name in ((onnx, OF_ONNX, "onnx"), (lora, OF_LORA, "lora")):
        if not chosen:
            refuse(context, options, why=f"is for --{name}")
    if not sentence_transformers:
        refuse(context, OF_SENTENCES, why="is for --sentence-transformers")
    if onnx:
        columns = {"text_column": text_column, "pair_column": pair_column, "label_column": label_column}
        _graph(model, out, texts, columns, int8=int8, max_loss=max_loss)
    elif lora:
        _lora(model, out, base)
    else:
        _sentences(model, out, pool)


def _graph(
    model: str,
    out: Path | None,
    texts: str | None,
    columns: dict[str, Any],
    *,
    int8: bool,
    max_loss: float | None,
) -> None:
    from quire.export import export_onnx
    from quire.export.card import lines
    from quire.train.progress import shown

    with shown() as progress:
        outcome = export_onnx(model, out=out, texts=texts, **columns, int8=int8, max_loss=max_loss, progress=progress)
    for line in (*lines(outcome.export), f"written to {outcome.folder}"):
        typer.echo(line)


def _sentences(model: str, out: Path | None, pool: str | None) -> None:
    if out is None:
        raise BadInput("export: say where to with --out")
    if pool not in (None, "first", "mean", "max"):
        raise BadInput(f"--pool {pool}: take first, mean or max")
    from quire.export import export_sentences

    found = export_sentences(model, out=out, pool=cast("SentencePool | None", pool))
    typer.echo(f"{out}: pools by {found}; open it with SentenceTransformer({str(out)!r})")


def _lora(model: str, out: Path | None, base: str | None) -> None:
    if out is None:
        raise BadInput("export: say where to with --out")
    from quire.export import export_lora

    found = export_lora(model, out=out, base=base)
    typer.echo(f"{out}: updates of {found}; open it with peft, or with `quire predict {out}`")
