"""The text of the benchmarks: real sentences of varied length, each with a label.

The default needs no download: the language reference that comes with every Python, as `help("topics")` shows it. A
sentence's label is the topic it stands under.
"""

from collections.abc import Iterable

from quire import data
from quire.core.errors import BadInput, nearest
from quire.text.corpus import sentences

MANUAL = "python-manual"
SPLITS = ("train", "test", "valid")

Labelled = tuple[str, str]


def labelled(name: str) -> list[Labelled]:
    """(sentence, label) of the manual or of a catalogue's data set, each sentence once, in the order they stand in."""
    found = _manual() if name == MANUAL else _catalogued(name)
    return list({sentence: (sentence, label) for sentence, label in found}.values())


def _manual() -> Iterable[Labelled]:
    """Prose only: code and grammar are left out by how they begin and end."""
    from pydoc_data.topics import topics

    for topic, page in topics.items():
        for paragraph in page.split("\n\n"):
            for sentence in sentences(" ".join(paragraph.split())):
                if sentence[0].isupper() and sentence[-1] in ".?!" and len(sentence.split()) > 2:
                    yield sentence, topic


def _catalogued(name: str) -> Iterable[Labelled]:
    if name not in data.names():
        raise BadInput(f"no data set {name!r}{nearest(name, [MANUAL, *data.names()])}")
    there = data.entry(name).splits
    split = next((split for split in SPLITS if split in there), next(iter(there)))
    for record in data.load(name, split):
        for sentence in sentences(record.text):
            yield sentence, record.label or ""
