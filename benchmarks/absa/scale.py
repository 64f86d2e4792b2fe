"""How much of each study is done, and where."""

from typing import TypeAlias

from benchmarks import studies
from quire.core.config import Settings
from quire.core.search import Search
from quire.core.spec import Size


class Scale(Settings):
    """Numbers of reviews are those that are drawn; everything else is the same for all arms of a study."""

    base: str = "minilm"
    seeds: Size = 3
    updates: Size = 600
    """Of every form of auxiliary sentence, and of every pointer; `single` shares them among its models."""
    batch: Size = 16
    """Texts, pairs or reviews of an update: a form that asks about each label by itself has no more of them."""
    moments: Size = 4
    """At which dev is measured; the best one is kept."""
    learnt: Size | None = None
    """Reviews to learn from: all."""
    tested: Size | None = None
    """Reviews to judge on: all."""
    pair_rate: float = 1e-4
    pair_length: Size = 96
    pair_dev: Size = 150
    """Reviews on which moments are chosen where pairs are learnt: each is read 5 to 25 times."""
    layers: Size = 2
    """Of the fresh decoder of a pointer."""
    rate: float = 3e-4
    length: Size = 128
    dev: Size = 300
    search: Search = Search(limit=96, beam=4, length_penalty=1.0)


Work: TypeAlias = studies.Work[Scale]
