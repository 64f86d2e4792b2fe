"""`quire compare`: ways of pre-training, of fine-tuning, of posing a task, of sharing a network, of going on first."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from quire.cli.options import Out, Seeds, Track, refuse
from quire.cli.outcome import tell
from quire.core.errors import BadInput

if TYPE_CHECKING:
    from quire.train.progress import Progress
    from quire.train.signals import StopRequest

app = typer.Typer()
SHARED = ("task", "out", "text_column", "label_column", "seeds", "seed", "metric", "title", "track")
"""Options of every comparison."""
TAKES: Mapping[str, tuple[str, ...]] = {
    "arms": ("dev", "test", "labels", "corpus", "budget", "size", "length", "batch", "lr", "vocab"),
    "strategies": ("dev", "test", "labels", "base", "rates", "changes", "pair_column"),
    "paradigms": (
        *("dev", "test", "labels", "base", "rates", "budget", "length", "batch", "lr"),
        *("epochs", "layout", "pair_column", "changes", "cut"),
    ),
    "sharing": ("arms", "budget", "changes", "pair_column"),
    "further": ("labels", "base", "budget", "changes", "corpus", "domain"),
}
"""What is compared, and the options that mean something there."""


@app.command()
def compare(
    context: typer.Context,
    task: Annotated[
        list[str],
        typer.Option(help="What is learnt in the end; with --sharing or --further NAME=TRAIN,DEV,TEST, repeatable."),
    ],
    out: Out,
    arms: Annotated[
        str, typer.Option(help="Recipes, by name, short name or file, with commas: mlm,rtd,plm,span.")
    ] = "",
    strategies: Annotated[
        str | None, typer.Option(help="Compare ways to fine-tune a base instead: full,head,lora,sda,vote,average.")
    ] = None,
    paradigms: Annotated[
        str | None,
        typer.Option(help="Cast the task into several paradigms instead: class,matching,mrc,mlm,seqlab,seq2aseq,..."),
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
    base: Annotated[
        str | None, typer.Option(help="Of strategies, paradigms and --further: a model folder, or minilm.")
    ] = None,
    rates: Annotated[
        str | None,
        typer.Option(
            help="Of strategies and paradigms: rates to choose from on dev, 1e-4,3e-4, or full=1e-4,lora=5e-4/1e-3."
        ),
    ] = None,
    epochs: Annotated[
        int, typer.Option(help="Of paradigms, without a budget: passes over the problems, and 100 updates at least.")
    ] = 3,
    layout: Annotated[
        str | None, typer.Option(help="Of paradigms: table, conll, spans, reviews, squad, conllu, or a GLUE task.")
    ] = None,
    pair_column: Annotated[
        str | None, typer.Option(help="The column of a second text; tasks without it are of single texts.")
    ] = None,
    domain: Annotated[
        list[str] | None, typer.Option(help="With --further, NAME=DOMAIN of a task or corpus, repeatable.")
    ] = None,
    corpus: Annotated[
        list[str] | None, typer.Option(help="Text without labels, repeatable; with --further NAME=FILE.")
    ] = None,
    dev: Annotated[str | None, typer.Option(help="What is selected on; else a share of --task.")] = None,
    test: Annotated[str | None, typer.Option(help="Read once at the end; else a share of --task.")] = None,
    text_column: Annotated[str, typer.Option(help="The column that holds the text.")] = "text",
    label_column: Annotated[str, typer.Option(help="The column that holds the label.")] = "label",
    budget: Annotated[
        str | None,
        typer.Option(
            help="Of each arm and seed: to pre-train 2mtokens (else 1mtokens), 50tflops (forward and backward) or 10m; "
            "of paradigms 200ktokens or 500steps (else --epochs), and what a lacking head over the vocabulary takes."
        ),
    ] = None,
    labels: Annotated[str, typer.Option(help="Labels a class to learn from, a study each: 50,all.")] = "all",
    seeds: Seeds = 3,
    seed: Annotated[int, typer.Option(help="The seed of splits, corruption and the first run of each arm.")] = 0,
    size: Annotated[Literal["tiny", "mini", "small", "medium"], typer.Option(help="Of every arm's network.")] = "tiny",
    length: Annotated[int, typer.Option(help="Tokens of a sequence.")] = 128,
    cut: Annotated[
        Literal["head", "tail", "head+tail", "windows"],
        typer.Option(help="Of paradigms: what is kept of a longer text."),
    ] = "head",
    batch: Annotated[int, typer.Option(help="Sequences of an update, or problems.")] = 32,
    lr: Annotated[
        float | None, typer.Option(help="The learning rate: to pre-train (else 1e-3), or of paradigms (else 3e-4).")
    ] = None,
    vocab: Annotated[int, typer.Option(help="Tokens of the tokenizer, trained on the texts.")] = 8000,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change the recipes, or with --paradigms how they learn: path=value, as in strategy={lora: {}}.",
        ),
    ] = None,
    metric: Annotated[
        Literal["accuracy", "macro_f1", "f1", "exact", "las", "uas"] | None,
        typer.Option(help="What is maximised: accuracy or macro_f1 of labels, f1 or exact of spans, las or uas."),
    ] = None,
    title: Annotated[str, typer.Option(help="The report's title.")] = "",
    track: Track = False,
) -> None:
    """Pre-train recipes under one budget, fine-tune each on the same labels, and judge which is better.

    With --strategies, fine-tune one base in several ways, and judge which is better.
    With --paradigms, pose one task to one base in several ways, and judge which is answered best.
    With --sharing, learn several tasks alone and together, and judge what sharing a network gains.
    With --further, go on from one base with text of each task, of each domain and of all, fine-tune on each task, and
    judge whether its own text, that of its domain or that of others helps.
    """
    given = context.params
    mode = _mode(given)
    _check(context, mode)
    from quire.train.progress import shown
    from quire.train.signals import stop_on_signal

    with shown() as progress, stop_on_signal() as stop:
        lines = _RUN[mode](given, progress, stop)
    for line in lines:
        typer.echo(line)


def _mode(given: Mapping[str, Any]) -> str:
    """What is compared; BadInput where nothing is, or two kinds at once."""
    asked = [mode for mode in TAKES if mode != "arms" and given[mode] is not None]
    if len(asked) > 1:
        raise BadInput(f"--{asked[0]}: means nothing with --{asked[-1]}")
    return asked[0] if asked else "arms"


def _check(context: typer.Context, mode: str) -> None:
    """BadInput for an option that is given and has no meaning in this comparison."""
    known = {*SHARED, *TAKES[mode], mode}
    for name in context.params:
        if name not in known:
            others = [f"--{other}" for other in TAKES if name in TAKES[other] and other != "arms"]
            needs = f"needs {' or '.join(others)}" if others and mode == "arms" else f"means nothing with --{mode}"
            refuse(context, (name,), why=needs)
    if len(context.params["task"]) > 1 and mode not in ("sharing", "further"):
        raise BadInput("--task: several tasks share a network; say how, for instance --sharing single,joint")
    for change in context.params["changes"] or ():
        if mode != "paradigms" and change.partition("=")[0] in ("train.steps", "finetune.train.steps"):
            raise BadInput(f"--set {change}: changes nothing with --{mode}; {_LENGTH[mode]}")
    if mode in ("arms", "sharing") and not _names(context.params["arms"]):
        raise BadInput("compare: say what with --arms mlm,rtd, --strategies full,lora or --paradigms class,matching")


_LENGTH = {
    "strategies": "finetune.epochs says how long labels are learnt",
    "sharing": "finetune.epochs says how long labels are learnt, and --budget how long text is, in the way lm",
    "further": "--budget says how long text is learnt, and finetune.epochs how long labels are",
}
"""Where no number of updates stands."""


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _taken(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """These options, and those of every comparison but the task and its folder, as the functions behind name them."""
    shared = [name for name in SHARED if name not in ("task", "metric")]
    lists = {name: tuple(given[name] or ()) for name in ("changes", "corpus", "domain") if name in names}
    return {name: given[name] for name in (*shared, *names)} | lists


def _arms(given: Mapping[str, Any], progress: "Progress", stop: "StopRequest") -> list[str]:
    from quire.compare import compare as run
    from quire.compare import labels_of
    from quire.compare.settings import shape_of

    shape = {name: given[name] for name in ("size", "length", "batch", "vocab")}
    outcomes = run(
        _names(given["arms"]),
        task=given["task"][0],
        **_taken(given, "dev", "test", "corpus"),
        budget=given["budget"] or "1mtokens",
        per_class=labels_of(given["labels"]),
        shape=shape_of(**shape, lr=1e-3 if given["lr"] is None else given["lr"]),
        metric=_of_labels(given["metric"]),
        progress=progress,
        stop=stop,
    )
    return [line for outcome in outcomes for line in tell(outcome)]


def _strategies(given: Mapping[str, Any], progress: "Progress", stop: "StopRequest") -> list[str]:
    from quire.adapt.rates import rates_of
    from quire.compare import labels_of
    from quire.strategies import compare_strategies

    outcomes = compare_strategies(
        _names(given["strategies"]),
        task=given["task"][0],
        **_taken(given, "dev", "test", "base", "changes", "pair_column"),
        rates=rates_of(given["rates"]),
        per_class=labels_of(given["labels"]),
        metric=_of_labels(given["metric"]),
        progress=progress,
        stop=stop,
    )
    return [line for outcome in outcomes for line in tell(outcome)]


def _paradigms(given: Mapping[str, Any], progress: "Progress", stop: "StopRequest") -> list[str]:
    from quire.adapt.rates import rates_of
    from quire.compare import labels_of
    from quire.shift import compare_paradigms

    outcomes = compare_paradigms(
        _names(given["paradigms"]),
        train=given["task"][0],
        **_taken(given, "dev", "test", "layout", "pair_column", "changes"),
        **{name: given[name] for name in ("epochs", "batch", "length", "cut", "budget", "metric")},
        base=given["base"] or "minilm",
        lr=3e-4 if given["lr"] is None else given["lr"],
        rates=rates_of(given["rates"]),
        few=labels_of(given["labels"]),
        progress=progress,
        stop=stop,
    )
    return [line for outcome in outcomes for line in tell(outcome)]


def _sharing(given: Mapping[str, Any], progress: "Progress", stop: "StopRequest") -> list[str]:
    from quire.multitask import plain, share

    found = share(
        _names(given["arms"]),
        tasks=given["task"],
        **_taken(given, "sharing", "changes", "pair_column"),
        budget=given["budget"] or "1mtokens",
        metric=_of_labels(given["metric"]),
        progress=progress,
        stop=stop,
    )
    return ["", *plain(found.table), "", f"Report  {found.report}", f"Models  {found.folder / 'models'}"]


def _further(given: Mapping[str, Any], progress: "Progress", stop: "StopRequest") -> list[str]:
    from quire.compare import labels_of
    from quire.stages import compare_sources, plain

    taken = _taken(given, "base", "changes", "corpus", "domain")
    per_class, *more = labels_of(given["labels"])
    if more:
        raise BadInput(f"--labels {given['labels']}: with --further give one number of labels a class, or all")
    found = compare_sources(
        given["further"],
        tasks=given["task"],
        corpora=taken.pop("corpus"),
        domains=taken.pop("domain"),
        **taken,
        budget=given["budget"] or "1mtokens",
        per_class=per_class,
        metric=_of_labels(given["metric"]),
        progress=progress,
        stop=stop,
    )
    return ["", *plain(found.table), "", f"Report  {found.report}", f"Models  {found.folder / 'tasks'}"]


def _of_labels(metric: str | None) -> Literal["accuracy", "macro_f1"]:
    """The metric of tasks whose answers are labels."""
    if metric in (None, "accuracy"):
        return "accuracy"
    if metric == "macro_f1":
        return "macro_f1"
    raise BadInput(f"--metric {metric}: labels are compared by accuracy or macro_f1")


_RUN = {
    "arms": _arms,
    "strategies": _strategies,
    "paradigms": _paradigms,
    "sharing": _sharing,
    "further": _further,
}
