"""`quire finetune`: a generator on pairs of texts, or any task in one of the paradigms."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from quire.cli.options import Out, refuse
from quire.core.errors import BadInput

if TYPE_CHECKING:
    from quire.finetune import Outcome, Solved
    from quire.finetune.opinions import Opined

app = typer.Typer()
WRITING = ("recipe", "source_column", "target_column", "size", "vocab", "smoothing", "limit", "beam", "length_penalty")
"""Options that mean nothing where nothing is written."""
ANSWERING = ("task", "layout", "text_column", "pair_column", "label_column", "changes")
"""Options that need a paradigm."""
ANSWERED = ("task", "layout", "text_column", "pair_column", "label_column", "cut", "changes")
"""Options that mean nothing where reviews are read."""


@app.command()
def finetune(
    context: typer.Context,
    train: Annotated[Path, typer.Option(help="Pairs of texts: CSV, TSV, JSONL or Parquet; or see --layout.")],
    out: Out,
    paradigm: Annotated[
        str | None,
        typer.Option(
            help="Answer instead of writing: class, matching, seqlab, mrc, seq2seq, seq2aseq, mlm, or a YAML file with "
            "one and its fields; or absa, what reviews say."
        ),
    ] = None,
    start: Annotated[str | None, typer.Option(help="The folder of a model; with --paradigm else minilm.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Or a recipe to build anew: transformer-base, bart-base.")] = None,
    dev: Annotated[Path | None, typer.Option(help="What is watched and chosen on; else a tenth of --train.")] = None,
    test: Annotated[Path | None, typer.Option(help="Read once at the end; else a tenth of --train.")] = None,
    subtask: Annotated[
        Literal["ae", "oe", "alsc", "aoe", "aesc", "pair", "triplet", "category"] | None,
        typer.Option(help="With --paradigm absa, what is told; else the richest that is annotated."),
    ] = None,
    form: Annotated[
        Literal["nli_m", "qa_m", "nli_b", "qa_b"] | None,
        typer.Option(help="Of categories: how they are asked about; else nli_m, by their names. qa asks in English."),
    ] = None,
    task: Annotated[
        Literal["label", "number", "spans", "reading", "tree"] | None,
        typer.Option(help="With --paradigm, what is asked for; else as the names of files tell."),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(help="How files are laid out: table, conll, spans, reviews, squad, conllu, or a GLUE task."),
    ] = None,
    source_column: Annotated[str, typer.Option(help="The column that is read.")] = "source",
    target_column: Annotated[str, typer.Option(help="The column that is written.")] = "target",
    text_column: Annotated[str, typer.Option(help="With --paradigm, the column that holds the text.")] = "text",
    pair_column: Annotated[str | None, typer.Option(help="That of a second text, if there is one.")] = None,
    label_column: Annotated[str, typer.Option(help="That of the answer.")] = "label",
    size: Annotated[Literal["tiny", "mini", "small", "medium"], typer.Option(help="Of a network built anew.")] = "tiny",
    vocab: Annotated[int, typer.Option(help="Tokens of its tokenizer, trained on --train.")] = 8000,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training data; else 3, of reviews 8, of categories 4.")
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="What an update learns from, pairs or problems; else 32, reviews 16, asked categories 24."),
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="The learning rate; else 5e-4 to write, 3e-4 to answer, 1e-4 of categories.")
    ] = None,
    smoothing: Annotated[float, typer.Option(help="The share of label smoothing.")] = 0.1,
    length: Annotated[int, typer.Option(help="Tokens of a source and of a target, or of an example.")] = 128,
    cut: Annotated[
        Literal["head", "tail", "head+tail", "windows"],
        typer.Option(help="What is kept of a longer text; windows, all of it, of class alone."),
    ] = "head",
    limit: Annotated[int | None, typer.Option(help="Tokens written at most; else length - 1.")] = None,
    beam: Annotated[int, typer.Option(help="Texts that grow side by side; 1 is greedy.")] = 1,
    length_penalty: Annotated[float, typer.Option(help="The exponent of a text's length in its score.")] = 1.0,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="With --paradigm, change how it learns: path=value, as in strategy={lora: {}}."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of everything that is drawn.")] = 0,
) -> None:
    """Fine-tune a generator on pairs of texts, or with --paradigm a base on another task.

    Without --paradigm it writes: translation, summarisation. With it, it classifies, matches, tags, extracts, parses or
    fills in, and is scored as the task is; absa tells what reviews say.
    """
    from quire.train.progress import shown
    from quire.train.signals import stop_on_signal

    if paradigm == "absa":
        refuse(context, (*WRITING, *ANSWERED), why="means nothing with --paradigm absa")
        from quire.finetune.opinions import learn_opinions

        with shown() as progress, stop_on_signal() as stop:
            opined = learn_opinions(
                train,
                out=out,
                dev=dev,
                test=test,
                subtask=subtask,
                form=form,
                base=start or "minilm",
                epochs=epochs,
                batch=batch,
                lr=lr,
                length=length,
                seed=seed,
                progress=progress,
                stop=stop,
            )
        _tell_opinions(opined, out)
        return
    refuse(context, ("subtask", "form"), why="needs --paradigm absa")
    epochs, batch = 3 if epochs is None else epochs, 32 if batch is None else batch
    if paradigm is not None:
        refuse(context, WRITING, why="means nothing with --paradigm")
        from quire.finetune import solve

        with shown() as progress, stop_on_signal() as stop:
            solved = solve(
                train,
                out=out,
                paradigm=paradigm,
                dev=dev,
                test=test,
                task=task,
                layout=layout,
                text_column=text_column,
                pair_column=pair_column,
                label_column=label_column,
                base=start or "minilm",
                epochs=epochs,
                batch=batch,
                lr=3e-4 if lr is None else lr,
                length=length,
                cut=cut,
                changes=changes or (),
                seed=seed,
                progress=progress,
                stop=stop,
            )
        _tell(solved, out)
        return
    refuse(context, ANSWERING, why="needs --paradigm")
    if cut == "windows":
        raise BadInput("--cut windows: a writer reads no windows; take head, tail or head+tail")
    from quire.finetune import finetune as run

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
            lr=5e-4 if lr is None else lr,
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


def _tell(solved: "Solved", out: Path) -> None:
    """A line a split with all scores of the task, in percent, and what a person should know."""
    names = list(solved.scores["test"])
    typer.echo(f"\n{'':6}{'asked':>8}" + "".join(f"{name:>11}" for name in names))
    for split, scores in solved.scores.items():
        figures = "".join(f"{100 * scores[name]:11.1f}" if name in scores else f"{'':11}" for name in names)
        typer.echo(f"{split:6}{solved.problems[split]:>8}{figures}")
    for note in solved.notes:
        typer.echo(note)
    if solved.leaks:
        typer.echo(f"{solved.leaks} test texts also stand in train or dev: the test score is too high")
    if solved.lost:
        share = f"{len(solved.lost)} of {solved.problems['train']} training answers have no form in this paradigm"
        typer.echo(f"{share} and were left out; the first: {solved.lost[0]}")
    typer.echo(f"\nAnswers {out / 'answers.jsonl'}\nModel   {solved.model}")


def _tell_opinions(opined: "Opined", out: Path) -> None:
    """Two lines a split, in percent: corrected scores, and official ones below."""
    kinds = {"": "", "official_": " official"}
    names = [name for name in opined.scores["test"] if not name.startswith("official_")]
    typer.echo(f"\n{opined.subtask:14}{'reviews':>8}" + "".join(f"{name:>12}" for name in names))
    for split, scores in opined.scores.items():
        for kind, called in kinds.items():
            cells = [scores.get(f"{kind}{name}") for name in names]
            figures = "".join(f"{'':12}" if cell is None else f"{100 * cell:12.1f}" for cell in cells)
            typer.echo(f"{split + called:14}{opined.reviews[split]:>8}{figures}".rstrip())
    for note in opined.notes:
        typer.echo(note)
    if opined.lost:
        typer.echo(f"{len(opined.lost)} training reviews were not learnt as they stand; the first: {opined.lost[0]}")
    typer.echo(f"learnt in {opined.seconds:,.0f} s")
    typer.echo(f"\nAnswers {out / 'answers.jsonl'}\nModel   {opined.model}")


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
