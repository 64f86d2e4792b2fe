"""`quire predict`: labels, or what a generator writes."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quire.cli.options import refuse, tell_cut
from quire.core.errors import BadInput
from quire.text.joined import joined, parts

if TYPE_CHECKING:
    from quire.core.opinions import Review
    from quire.predict import Predictor
    from quire.predict.solver import Answered, Solver
    from quire.predict.teller import Teller
    from quire.predict.writer import Writer

app = typer.Typer()
WRITING = ("limit", "beam", "temperature", "top_k", "top_p", "stop", "seed", "stream")
"""Options that mean nothing where nothing is written."""
REVIEWING = ("summary", "html", "aspects")
"""Those that mean nothing where no reviews are read."""
RELEASED = (".xml", ".json", ".gz")
"""How the files of releases end that annotate reviews and are neither tables nor plain text."""


@app.command()
def predict(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="A run folder or a model folder.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts; of a pair or a question both, one behind the other; without any, --file or stdin."),
    ] = None,
    file: Annotated[
        str | None, typer.Option(help="Texts, one a line, a table, or annotated reviews; - is stdin.")
    ] = None,
    text_column: Annotated[str, typer.Option(help="The column of --file that holds the text.")] = "text",
    pair_column: Annotated[str | None, typer.Option(help="The column of --file that holds a second text.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line; of labels, with all probabilities.")
    ] = False,
    best: Annotated[
        int | None, typer.Option(min=1, help="Of a question: so many answers, the best first, with probabilities.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Of a generator: tokens written at most.")] = None,
    beam: Annotated[int | None, typer.Option(help="Of a generator: texts that grow side by side.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of a generator: draw, the higher the wilder.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw from the likeliest tokens alone.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the fewest tokens of this probability.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Of a generator: a text ends before this.")] = None,
    seed: Annotated[int, typer.Option(help="The seed of what is drawn.")] = 0,
    stream: Annotated[bool, typer.Option(help="Of a generator: show a text while it is written.")] = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="Of reviews: which aspects, how often, how liked, with quotations.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Of reviews: a page with the summary and all of them.")] = None,
    aspects: Annotated[
        list[str] | None,
        typer.Option("--aspect", help="Of a model of alsc or aoe: ask about this where a review holds it; repeatable."),
    ] = None,
) -> None:
    """Label texts; or, with a model that writes, translate, summarise or continue them."""
    from quire.predict import Predictor, opened
    from quire.predict.solver import Solver
    from quire.predict.teller import Teller
    from quire.predict.writer import Writer
    from quire.text.records import read_records

    if texts and (file or pair_column):
        raise BadInput(f"predict: give texts or {'--file' if file else '--pair-column'}, not both")
    if html:
        refuse(context, ("summary", "as_json"), why="means nothing with --html, whose page has all of it")
        _check_page(html)
    found = opened(model)
    if not isinstance(found, Writer):
        refuse(context, WRITING, why=f"is of a generator, and {model} writes nothing")
    if isinstance(found, Teller):
        refuse(context, ("pair_column",), why=f"means nothing here; {model} reads single reviews")
        asked = _reviews(found, texts, file, text_column, aspects or ())
        _review(found, asked, as_json=as_json, summed=summary, html=html)
        return
    refuse(context, REVIEWING, why=f"is of reviews; {model} reads other texts")
    if texts:
        texts = _paired(texts) if _reads_two(found) else texts
    elif _reads_two(found) and not pair_column:
        raise BadInput(_unpaired(file or "-"))
    else:
        records = read_records(file or "-", text_column=text_column, pair_column=pair_column, label_column=None)
        texts = [record.text for record in records]
    if isinstance(found, Solver):
        _solve(found, texts, as_json=as_json, best=best)
        return
    refuse(context, ("best",), why=f"is of questions about a passage; {model} reads other texts")
    if isinstance(found, Predictor):
        _label(found, texts, as_json=as_json)
        return
    drawn = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    search = {"limit": limit, "beam": beam, "stop": stop}
    searched: dict[str, Any] = {name: value for name, value in search.items() if value is not None}
    if given := {name: value for name, value in drawn.items() if value is not None}:
        searched["sample"] = {**given, "seed": seed}
    _write(found.searching(searched), texts, as_json=as_json, stream=stream)


def _reads_two(found: "Predictor | Writer | Solver") -> bool:
    """Whether it is asked about two texts at a time."""
    from quire.predict import Predictor
    from quire.predict.solver import Solver

    if isinstance(found, Solver):
        return bool(found.plan.pairs)
    return isinstance(found, Predictor) and bool(found.pairs)


def _paired(texts: Sequence[str]) -> list[str]:
    """Each two as a pair."""
    if len(texts) % 2:
        raise BadInput(f"predict: the model reads pairs of texts, and {len(texts)} were given; give both of each")
    return [joined(texts[i : i + 2]) for i in range(0, len(texts), 2)]


def _unpaired(file: str) -> str:
    """What is missing where the rows of a file are single texts: which two are a pair, their order does not tell."""
    from quire.text.rows import STDIN, read_table

    said = "stdin" if file == STDIN else file
    bare = file == STDIN or file.lower().endswith(".txt")
    known = "" if bare else f"; known columns: {', '.join(name[:40] for name in read_table(file).columns)}"
    return f"{said}: this model reads pairs of texts; give --pair-column, the column of the second{known}"


def _label(predictor: "Predictor", texts: Sequence[str], *, as_json: bool) -> None:
    for text, answer in zip(texts, predictor(list(texts)), strict=True):
        if as_json:
            facts = {"text": text, "label": answer.label, "probability": answer.probability}
            typer.echo(json.dumps({**facts, "probabilities": dict(answer.probabilities)}, ensure_ascii=False))
        else:
            typer.echo(f"{answer.label}\t{answer.probability:.3f}\t{' '.join(text.split())[:80]}")


def _solve(solver: "Solver", texts: Sequence[str], *, as_json: bool, best: int | None) -> None:
    for row in map(parts, texts):
        if best is not None:
            _ranked(row, solver.best(*row, count=best), as_json=as_json)
            continue
        answered = solver(*row)
        if as_json:
            typer.echo(json.dumps({"texts": row, "answer": answered.told}, ensure_ascii=False))
        else:
            typer.echo("\n".join(_lines(answered)))


def _ranked(row: Sequence[str], listed: Sequence[tuple[Any, float]], *, as_json: bool) -> None:
    if as_json:
        answers = [{"answer": told, "probability": round(share, 4)} for told, share in listed]
        typer.echo(json.dumps({"texts": row, "answers": answers}, ensure_ascii=False))
        return
    for told, share in listed:
        typer.echo(f"{share:.3f}\t{told[0]['text'] if told else '-'}")


def _lines(answered: "Answered") -> Iterator[str]:
    """A line for each span, a word a line of a tree, or the number alone."""
    told = answered.told
    if isinstance(told, float):
        yield f"{told:.3f}\t{' '.join(answered.problem.texts[0].split())[:80]}"
    elif not told:
        yield "-"
    else:
        for row in told:
            yield f"{row['label']}\t{row['text']}" if "label" in row else "\t".join(map(str, row.values()))


def _check_page(html: Path) -> None:
    """BadInput where no such file can be written, before anything is read for it."""
    if html.is_dir():
        raise BadInput(f"--html {html}: is a folder; name a file in it, like {html / 'reviews.html'}")
    if not html.parent.is_dir():
        raise BadInput(f"--html {html}: there is no folder {html.parent}; make it first")
    if not os.access(html.parent, os.W_OK):
        raise BadInput(f"--html {html}: {html.parent} cannot be written to; name a file in another folder")


def _reviews(
    teller: "Teller", texts: Sequence[str] | None, file: str | None, text_column: str, aspects: Sequence[str]
) -> "list[Review]":
    """What is asked: texts or a file's, about aspects where it is asked about these: given, or else annotated ones."""
    from quire.predict.pointer import asking
    from quire.predict.teller import blank
    from quire.text.absa import read_reviews
    from quire.text.records import read_records

    if aspects and not teller.of_aspects:
        raise BadInput("--aspect: the model is asked about whole reviews, and tells aspects itself; leave it out")
    own = teller.of_aspects and not aspects and text_column == "text"
    if texts:
        found = blank(texts)
    elif file and _annotated(file, own=own):
        found = read_reviews(file, answered=False)
    else:
        records = read_records(file or "-", text_column=text_column, label_column=None)
        found = blank([record.text for record in records])
    if aspects:
        return asking(found, aspects)
    if teller.of_aspects and not any(said.aspect for review in found for said in review.opinions):
        raise BadInput("predict: the model is asked about aspects of a review: give some, like --aspect food")
    return found


def _annotated(file: str, *, own: bool) -> bool:
    """Whether a file holds annotated reviews, by its ending, of a plain text by its first line; or a person's `own`."""
    from quire.text.absa.bracketed import PARTED
    from quire.text.rows import peek, read_lines

    ending = Path(file).suffix.lower()
    if ending == ".txt":
        first, _ = peek(read_lines(file))
        return f"{PARTED}[" in first
    return ending in RELEASED or (own and ending == ".jsonl")


def _review(teller: "Teller", asked: "Sequence[Review]", *, as_json: bool, summed: bool, html: Path | None) -> None:
    """What each review says, or all of them; or a page of both."""
    from quire.report.reviews import lines, page, spelled
    from quire.report.words import counted
    from quire.train.safe import write_whole

    reviews = teller.answered(asked)
    tell_cut(teller.cut_share([review.text for review in reviews]), teller.length)
    if html:
        write_whole(html, page(reviews, title="What reviews say", source="quire predict"))
        typer.echo(f"{html}: {counted(len(reviews), 'review')}")
    elif summed:
        _sum_up(reviews, as_json=as_json)
    else:
        for review in reviews:
            if as_json:
                typer.echo(json.dumps({"text": review.text, "opinions": spelled(review)}, ensure_ascii=False))
            else:
                typer.echo("\n".join(lines(review)) or "-")


def _sum_up(reviews: "Sequence[Review]", *, as_json: bool) -> None:
    """A line for each aspect; one beside them where there is none."""
    from quire.report.reviews import quote, summary
    from quire.report.words import counted

    if not (aspects := summary(reviews)):
        typer.echo(f"Nothing was found in {counted(len(reviews), 'review')}.", err=as_json)
    for aspect in aspects:
        if as_json:
            told = {"aspect": aspect.name, "times": aspect.times, "polarities": dict(aspect.polarities)}
            typer.echo(json.dumps({**told, "quotes": [review.text for review, _ in aspect.quotes]}, ensure_ascii=False))
        else:
            liked = ", ".join(f"{count} {polarity}" for polarity, count in aspect.polarities.items())
            quoted = quote(*aspect.quotes[0], length=60)
            typer.echo(f"{aspect.times:5}  {aspect.name:24} {liked:32} {quoted}")


def _write(writer: "Writer", texts: Sequence[str], *, as_json: bool, stream: bool) -> None:
    tell_cut(writer.cut_share(texts), writer.plan.length)
    if stream:
        for number, text in enumerate(texts):
            for piece in writer.stream(text, number=number):
                typer.echo(piece, nl=False)
            typer.echo()
        return
    for text, written in zip(texts, writer(list(texts)), strict=True):
        facts: dict[str, Any] = {"text": text, "written": written.text, "score": written.score}
        line = json.dumps({**facts, "finished": written.finished}, ensure_ascii=False)
        typer.echo(line if as_json else written.text)
