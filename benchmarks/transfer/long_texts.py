"""Study 3: long reviews of IMDb: which part of a text is read, or all of it in windows."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.studies import table
from benchmarks.transfer.files import component, imdb
from benchmarks.transfer.scale import Work
from quire.shift import compare_paradigms

WAYS: Mapping[str, Mapping[str, Any]] = {
    "head": {"class": {}},
    "tail": {"class": {}, "how": {"cut": "tail"}},
    "head-and-tail": {"class": {}, "how": {"cut": "head+tail"}},
    "windows-mean": {"class": {"windows": "mean"}, "how": {"cut": "windows"}},
    "windows-max": {"class": {"windows": "max"}, "how": {"cut": "windows"}},
    "windows-attention": {"class": {"windows": "attention"}, "how": {"cut": "windows"}},
}
PUBLISHED: Mapping[str, str] = {
    "head": "94.4",
    "tail": "94.6",
    "head-and-tail": "94.6",
    "windows-mean": "94.1 (hierarchical)",
    "windows-max": "94.3 (hierarchical)",
    "windows-attention": "94.4 (hierarchical)",
}
"""IMDb at 512 tokens, BERT, all labels (Sun et al. 2019, table 2)."""


def run(work: Work) -> Iterator[str]:
    """One table."""
    scale = work.scale
    paths = imdb(work.files, train=scale.reviews, dev=scale.dev, test=scale.tested)
    [outcome] = compare_paradigms(
        [component(work.files / f"{name}.yaml", way) for name, way in WAYS.items()],
        train=paths["train"],
        dev=paths["dev"],
        test=paths["test"],
        out=work.home / "imdb",
        base=scale.base,
        epochs=scale.passes,
        batch=scale.batch,
        lr=scale.rates[0],
        length=scale.length,
        seeds=scale.seeds,
        progress=work.progress,
        stop=work.stop,
    )
    yield "\n".join(table(outcome.study, against="head", published=PUBLISHED)) + "\n"
