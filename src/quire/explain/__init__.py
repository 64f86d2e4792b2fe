"""What a model has learnt, shown: so far, its vectors of words and of texts as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from quire.core.errors import BadInput
from quire.core.random import rng
from quire.explain.encoder import Encoder
from quire.explain.page import page
from quire.explain.projection import Picture, Projection, projected, similar
from quire.explain.space import Space, read_vectors, write_vectors
from quire.text.records import read_records
from quire.text.rows import STDIN, Source, ending, read_table
from quire.train.embedded import EMBEDDED
from quire.train.safe import write_whole

__all__ = ["Picture", "Projection", "Space", "load_vectors", "project", "read_vectors", "write_vectors"]

MOST = 5000
"""Points of a picture: with more nobody sees one."""
LISTED, SIMILAR = 24, 8
"""Words whose nearest are listed, and how many of these."""


def project(
    model: str | Path,
    *,
    out: str | Path,
    words: Sequence[str] = (),
    most: int = 500,
    file: Source | None = None,
    text_column: str = "text",
    label_column: str | None = None,
    perplexity: float | None = None,
    seed: int = 0,
) -> Projection:
    """Draw the vectors of words, or with `file` of texts, by PCA and t-SNE into the HTML file `out`.

    `model` is a run folder, a model folder, an embedded base ("minilm"), or a file of word vectors as word2vec writes
    them. Words are these, or the first `most` of the vocabulary. Texts are those of a table or a plain text, `most` of
    them drawn by `seed`; they have the colours of `label_column`, which is "label" where the table has one.
    BadInput where there is nothing to draw, or a word has no vector; then nothing is written.
    """
    target = _writable(Path(out))
    if not 3 <= most <= MOST:
        raise BadInput(f"most {most}: draw from 3 to {MOST:,} points")
    if file is not None:
        if words:
            raise BadInput("project: give words or a file of texts, not both")
        whole = _texts(_encoder(model), file, text_column=text_column, label_column=label_column, most=most, seed=seed)
        chosen = np.arange(len(whole.names))
    else:
        whole = load_vectors(model)
        chosen = whole.places(words) if words else whole.first(most)
    found = projected(whole.at(chosen), perplexity=perplexity, seed=seed)
    listed = chosen[:: -(-len(chosen) // LISTED)]  # from frequent to rare
    html = page(found, similar(whole, listed, SIMILAR) if file is None else [])
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, html)
    return found


def load_vectors(model: str | Path) -> Space:
    """The vectors of words that a run folder, a model folder or an embedded base holds, or a file of word vectors."""
    return read_vectors(Path(model)) if Path(model).is_file() else _encoder(model).words()


def _writable(out: Path) -> Path:
    if out.is_dir():
        raise BadInput(f"{out}: a directory; name the HTML file to write")
    if wrong := next((parent for parent in out.parents if parent.exists() and not parent.is_dir()), None):
        raise BadInput(f"{out}: {wrong} is no directory; name another place")
    return out


def _encoder(model: str | Path) -> Encoder:
    if Path(model).is_file():
        raise BadInput(f"{model}: a file of word vectors makes none of texts; give the folder of a model")
    if str(model) not in EMBEDDED and not Path(model).exists():
        known = ", ".join(EMBEDDED)
        raise BadInput(f"{model}: no such file or folder; give a run or model folder, word vectors, or {known}")
    return Encoder.load(model)


def _texts(
    encoder: Encoder, file: Source, *, text_column: str, label_column: str | None, most: int, seed: int
) -> Space:
    """The vectors of the texts of a file, or of as many as may be drawn."""
    if label_column is None and str(file) != STDIN and (not isinstance(file, str | Path) or ending(file) != ".txt"):
        label_column = "label" if "label" in read_table(file).columns else None
    records = read_records(file, text_column=text_column, label_column=label_column)
    held, name = len(records), file if isinstance(file, str | Path) else type(file).__name__
    if held > most:
        kept = np.sort(rng(seed, "project").choice(held, most, replace=False))
        records = [records[i] for i in kept]
    labels = [record.label for record in records if record.label is not None]
    space = encoder.texts([record.text for record in records], labels)
    drawn = f"{len(records):,} of {held:,} texts" if held > most else "All texts"
    return replace(space, how=f"{drawn} of {name}. {space.how}")
