"""`quire compare`: ways of pre-training, of fine-tuning, of sharing a network among tasks, of going on before each."""

from typing import Annotated, Literal

import typer

from quire.cli.options import Out, Seeds, Track, refuse
from quire.cli.outcome import tell
from quire.core.errors import BadInput

app = typer.Typer()
PRETRAINING = ("corpus", "size", "length", "batch", "lr", "vocab")
"""Options that only arms that are pre-trained here have."""
ONE_TASK = ("dev", "test", "labels")
"""Options that mean nothing where a network is shared: the task tells."""
TUNING = ("base", "rates")
"""Options that only strategies have."""
NOT_FURTHER = ("arms", "strategies", "rates", "sharing", "dev", "test", "size", "length", "batch", "lr", "vocab")
"""Options that mean nothing where a base goes on with text."""


@app.command()
def compare(
    context: typer.Context,
    task: Annotated[
        list[str],
        typer.Option(
            help="Labelled texts to fine-tune on; with --sharing or --further NAME=TRAIN,DEV,TEST, repeatable."
        ),
    ],
    out: Out,
    arms: Annotated[
        str, typer.Option(help="Recipes, by name, short name or file, with commas: mlm,rtd,plm,span.")
    ] = "",
    strategies: Annotated[
        str | None, typer.Option(help="Compare ways to fine-tune a base instead: full,head,lora,sda,vote,average.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Of strategies and --further: a model folder, or minilm.")] = None,
    rates: Annotated[
        str | None, typer.Option(help="Of strategies: rates to choose from on dev, 1e-4,3e-4; else the published.")
    ] = None,
    sharing: Annotated[
        str | None,
        typer.Option(
            help="Compare ways to share a network among tasks: single,joint,lm,finetune. Recipes keep their size."
        ),
    ] = None,
    further: Annotated[
        str | None,
        typer.Option(
            help="Compare what text a base goes on with before tasks: sets (each task's, each --corpus), domains, all."
        ),
    ] = None,
    domain: Annotated[
        list[str] | None, typer.Option(help="With --further, NAME=DOMAIN of a task or corpus, repeatable.")
    ] = None,
    corpus: Annotated[
        list[str] | None, typer.Option(help="Text without labels, repeatable; with --further NAME=FILE.")
    ] = None,
    dev: Annotated[str | None, typer.Option(help="Labelled texts to select on; else a share of --task.")] = None,
    test: Annotated[str | None, typer.Option(help="Labelled texts, read once at the end; else a share.")] = None,
    text_column: Annotated[str, typer.Option(help="The column that holds the text.")] = "text",
    label_column: Annotated[str, typer.Option(help="The column that holds the label.")] = "label",
    budget: Annotated[
        str, typer.Option(help="Pre-training of each arm and seed: 2mtokens, 50tflops (forward and backward) or 10m.")
    ] = "1mtokens",
    labels: Annotated[str, typer.Option(help="Labels a class to fine-tune on, a study each: 50,all.")] = "all",
    seeds: Seeds = 3,
    seed: Annotated[int, typer.Option(help="The seed of splits and corruption.")] = 0,
    size: Annotated[Literal["tiny", "mini", "small", "medium"], typer.Option(help="Of every arm's network.")] = "tiny",
    length: Annotated[int, typer.Option(help="Tokens of a sequence.")] = 128,
    batch: Annotated[int, typer.Option(help="Sequences of an update.")] = 32,
    lr: Annotated[float, typer.Option(help="The learning rate of pre-training.")] = 1e-3,
    vocab: Annotated[int, typer.Option(help="Tokens of the tokenizer, trained on the texts.")] = 8000,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="With --sharing, --strategies or --further, change the recipes: path=value."),
    ] = None,
    metric: Annotated[Literal["accuracy", "macro_f1"], typer.Option(help="What is maximised.")] = "accuracy",
    title: Annotated[str, typer.Option(help="The report's title.")] = "",
    track: Track = False,
) -> None:
    """Pre-train recipes under one budget, fine-tune each on the same labels, and judge which is better.

    With --sharing, learn several tasks alone and together, and judge what sharing a network gains.
    With --strategies, fine-tune one base in several ways, and judge which is better.
    With --further, go on from one base with text of each task, of each domain and of all, fine-tune on each task, and
    judge whether its own text, that of its domain or that of others helps.
    """
    named = [name.strip() for name in (strategies or arms).split(",") if name.strip()]
    if further is not None:
        refuse(context, NOT_FURTHER, why="means nothing with --further")
    else:
        _check(context, named, strategies=strategies is not None, sharing=sharing is not None, several=len(task) > 1)
    from quire.train.progress import shown
    from quire.train.signals import stop_on_signal

    if further is not None:
        from quire.stages import compare_sources, plain

        with shown() as progress, stop_on_signal() as stop:
            found = compare_sources(
                further,
                tasks=task,
                out=out,
                corpora=tuple(corpus or ()),
                domains=tuple(domain or ()),
                base=base,
                changes=tuple(changes or ()),
                text_column=text_column,
                label_column=label_column,
                budget=budget,
                per_class=_one(labels),
                seeds=seeds,
                seed=seed,
                metric=metric,
                title=title,
                track=track,
                progress=progress,
                stop=stop,
            )
        typer.echo("\n" + "\n".join(plain(found.table)))
        typer.echo(f"\nReport  {found.report}\nModels  {found.folder / 'tasks'}")
        return

    if sharing is not None:
        from quire.multitask import plain, share

        with shown() as progress, stop_on_signal() as stop:
            found = share(
                named,
                tasks=task,
                out=out,
                sharing=sharing,
                changes=tuple(changes or ()),
                text_column=text_column,
                label_column=label_column,
                budget=budget,
                seeds=seeds,
                seed=seed,
                metric=metric,
                title=title,
                track=track,
                progress=progress,
                stop=stop,
            )
        typer.echo("\n" + "\n".join(plain(found.table)))
        typer.echo(f"\nReport  {found.report}\nModels  {found.folder / 'models'}")
        return

    from quire.compare import compare as run
    from quire.compare import labels_of
    from quire.compare.settings import shape_of

    if strategies is not None:
        from quire.strategies import compare_strategies, rates_of

        with shown() as progress, stop_on_signal() as stop:
            outcomes = compare_strategies(
                named,
                task=task[0],
                out=out,
                dev=dev,
                test=test,
                text_column=text_column,
                label_column=label_column,
                base=base,
                changes=tuple(changes or ()),
                rates=rates_of(rates),
                per_class=labels_of(labels),
                seeds=seeds,
                seed=seed,
                metric=metric,
                title=title,
                track=track,
                progress=progress,
                stop=stop,
            )
        for outcome in outcomes:
            tell(outcome)
        return

    with shown() as progress, stop_on_signal() as stop:
        outcomes = run(
            named,
            task=task[0],
            out=out,
            dev=dev,
            test=test,
            corpus=tuple(corpus or ()),
            text_column=text_column,
            label_column=label_column,
            budget=budget,
            per_class=labels_of(labels),
            shape=shape_of(size=size, length=length, batch=batch, lr=lr, vocab=vocab),
            seeds=seeds,
            seed=seed,
            metric=metric,
            title=title,
            track=track,
            progress=progress,
            stop=stop,
        )
    for outcome in outcomes:
        tell(outcome)


def _check(context: typer.Context, named: list[str], *, strategies: bool, sharing: bool, several: bool) -> None:
    """BadInput for what is given and has no meaning where arms, strategies or ways to share are compared."""
    refuse(context, ("domain",), why="needs --further")
    if several and not sharing:
        raise BadInput("--task: several tasks share a network; say how, for instance --sharing single,joint")
    if strategies:
        refuse(context, ("arms", "sharing", "budget", *PRETRAINING), why="means nothing with --strategies")
    else:
        refuse(context, TUNING, why="needs --strategies")
        if not named:
            raise BadInput("compare: say what with --arms mlm,rtd or --strategies full,lora")
    if sharing:
        refuse(context, (*ONE_TASK, *PRETRAINING), why="means nothing with --sharing: see --task and --set")
    elif not strategies:
        refuse(context, ("changes",), why="needs --sharing or --strategies")


def _one(labels: str) -> int | None:
    """One number of labels a class, or None for all."""
    from quire.compare import labels_of

    found, *more = labels_of(labels)
    if more:
        raise BadInput(f"--labels {labels}: with --further give one number of labels a class, or all")
    return found
