"""`quire finetune`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from quire.cli.options import Out

if TYPE_CHECKING:
    from quire.finetune import Outcome

app = typer.Typer()


@app.command()
def finetune(
    train: Annotated[Path, typer.Option(help="Pairs of texts: CSV, TSV, JSONL or Parquet.")],
    out: Out,
    start: Annotated[str | None, typer.Option(help="The folder of a model that writes.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Or a recipe to build anew: transformer-base, bart-base.")] = None,
    dev: Annotated[Path | None, typer.Option(help="Pairs to watch; else a tenth of --train.")] = None,
    test: Annotated[Path | None, typer.Option(help="Pairs, read once at the end; else a tenth of --train.")] = None,
    source_column: Annotated[str, typer.Option(help="The column that is read.")] = "source",
    target_column: Annotated[str, typer.Option(help="The column that is written.")] = "target",
    size: Annotated[Literal["tiny", "mini", "small", "medium"], typer.Option(help="Of a network built anew.")] = "tiny",
    vocab: Annotated[int, typer.Option(help="Tokens of its tokenizer, trained on --train.")] = 8000,
    epochs: Annotated[int, typer.Option(help="Passes over the pairs.")] = 3,
    batch: Annotated[int, typer.Option(help="Pairs of an update.")] = 32,
    lr: Annotated[float, typer.Option(help="The learning rate.")] = 5e-4,
    smoothing: Annotated[float, typer.Option(help="The share of label smoothing.")] = 0.1,
    length: Annotated[int, typer.Option(help="Tokens of a source, and of a target, that are kept.")] = 128,
    cut: Annotated[Literal["head", "tail", "head+tail"], typer.Option(help="What is kept of a source.")] = "head",
    limit: Annotated[int | None, typer.Option(help="Tokens written at most; else length - 1.")] = None,
    beam: Annotated[int, typer.Option(help="Texts that grow side by side; 1 is greedy.")] = 1,
    length_penalty: Annotated[float, typer.Option(help="The exponent of a text's length in its score.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The seed of everything that is drawn.")] = 0,
) -> None:
    """Fine-tune a generator on pairs of texts: translation, summarisation."""
    from quire.finetune import finetune as run
    from quire.train.progress import shown
    from quire.train.signals import stop_on_signal

    with shown() as progress, stop_on_signal() as stop:
        outcome = run(
            train,
            out=out,
            dev=dev,
            test=test,
            source_column=source_column,
            target_column=target_column,
            start=start,
            recipe=recipe,
            size=size,
            vocab=vocab,
            epochs=epochs,
            batch=batch,
            lr=lr,
            smoothing=smoothing,
            length=length,
            cut=cut,
            limit=limit,
            beam=beam,
            length_penalty=length_penalty,
            seed=seed,
            progress=progress,
            stop=stop,
        )
    names = list(outcome.scores["test"])
    typer.echo(f"\n{'':6}{'pairs':>8}" + "".join(f"{name:>8}" for name in names))
    for split, scores in outcome.scores.items():
        typer.echo(f"{split:6}{outcome.pairs[split]:>8}" + "".join(f"{scores[name]:8.1f}" for name in names))
    for remark in _remarks(outcome, limit=limit or length - 1):
        typer.echo(remark)
    typer.echo(f"\nWritten {out / 'written.jsonl'}\nModel   {outcome.model}")


def _remarks(outcome: "Outcome", *, limit: int) -> Iterator[str]:
    if outcome.leaks:
        yield f"{outcome.leaks} test sources also stand in train or dev: the test score is too high"
    for name, share in (("sources", outcome.cut_sources), ("targets", outcome.cut_targets)):
        if share:
            yield f"{share:.1%} of the training {name} were cut; raise --length to keep more"
    if outcome.unfinished:
        yield f"{outcome.unfinished:.1%} of the test texts did not end within {limit} tokens"
    if outcome.ceiling < 99.5:
        yield (
            f"the tokenizer cannot spell the references: written by a perfect model they would have chrF "
            f"{outcome.ceiling:.1f}; a recipe with a cased tokenizer of bytes does better (bart-base, transformer-base)"
        )
