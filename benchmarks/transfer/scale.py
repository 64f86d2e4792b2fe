"""How much of each study is done, and where."""

from typing import TypeAlias

from benchmarks import studies
from quire.core.config import Settings


class Scale(Settings):
    """Numbers of texts are those that are drawn; everything else is the same for all arms of a study."""

    base: str = "minilm"
    seeds: int = 3
    batch: int = 8
    strategies_per_class: tuple[tuple[int | None, ...], ...] = ((16, 64, 256), (None,))
    """Labels a class of study 1, of which there are two; a run each, so that the long one can wait."""
    tuned_on: int = 64
    """Labels a class with which study 1 chooses rates."""
    rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    further: int = 300
    """Updates on the training texts, of 32 each."""
    dev: int = 300
    paradigms_per_class: tuple[int | None, ...] = (8, 32, 128, None)
    paradigm_rates: tuple[float, ...] = (1e-4, 3e-4)
    short_tested: int | None = None
    """Short texts to judge on: all."""
    reviews: int = 600
    """Long reviews to learn from."""
    tested: int = 1_000
    """Long reviews, and sentences of structures, to judge on."""
    sentences: int = 1_000
    """Sentences with chunks or names to learn from, and twice as many with trees."""
    budget: str = "100ktokens"
    """Of every run that learns names or chunks: a question for each kind reads a sentence several times."""
    structure_rates: tuple[float, ...] = (3e-4, 1e-3)
    passes: int = 2
    """Over the labels of studies 3 and 5, and over trees."""
    mixed: float = 0.15
    """The share of each task's labels that the mix has, so that tasks keep their proportions."""
    length: int = 128


Work: TypeAlias = studies.Work[Scale]
