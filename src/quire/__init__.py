"""Quire: pre-trained language models as parts, and an honest comparison of them on your own text.

In Python:

    model = quire.load("run/")
    model("it broke after two days").label
    model(quire.Pair("a lamp broke", "it is whole")).label  # of a model that labels pairs

    vectors = quire.load_vectors("run/")
    vectors["broke"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quire.core.errors import BadInput, Diverged, QuireError, Stopped
from quire.text.joined import Pair

if TYPE_CHECKING:
    from pathlib import Path

    from quire.explain import Space
    from quire.predict import Predictor
    from quire.predict.pointer import Pointer
    from quire.predict.rater import Rater
    from quire.predict.solver import Solver
    from quire.predict.writer import Writer

__all__ = [
    "BadInput",
    "Diverged",
    "Pair",
    "QuireError",
    "Stopped",
    "load",
    "load_pointer",
    "load_rater",
    "load_solver",
    "load_vectors",
    "load_writer",
]


def load(path: str | Path) -> Predictor:
    """The predictor in a run folder or a model folder; see `quire.predict`."""
    from quire.predict import load as load_predictor  # torch takes seconds to import

    return load_predictor(path)


def load_solver(path: str | Path) -> Solver:
    """What answers with spans, numbers or trees: `load_solver("run/")("a text").told`."""
    from quire.predict import load_solver as load

    return load(path)


def load_pointer(path: str | Path) -> Pointer:
    """What tells aspects, opinions and polarities: `load_pointer("run/")("a review").opinions`.

    One that was taught `alsc` or `aoe` is asked about aspects: `load_pointer("run/")("Good food", aspects=["food"])`.
    """
    from quire.predict import load_pointer as load

    return load(path)


def load_rater(path: str | Path) -> Rater:
    """What tells of which categories a review speaks, and how: `load_rater("run/")("a review").opinions`."""
    from quire.predict import load_rater as load

    return load(path)


def load_writer(path: str | Path) -> Writer:
    """What writes texts in a run folder or a model folder: translations, summaries, continuations."""
    from quire.predict import load_writer as load

    return load(path)


def load_vectors(path: str | Path) -> Space:
    """The vectors of words in a run folder, a model folder, or a file as word2vec writes it: `vectors["word"]`."""
    from quire.explain import load_vectors as load

    return load(path)
