"""What can go wrong, as a tree; the command line turns each into one line and an exit code.

QuireError                 1
├── BadInput               2   the person's files or settings: what, where, what to do
├── Diverged               3   the loss became NaN or infinite
└── Stopped               75   Ctrl-C or SIGTERM: state is saved, the same command goes on
"""

import warnings
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar


class QuireError(Exception):
    """Base of all errors that Quire raises on purpose."""

    exit_code: ClassVar[int] = 1


class BadInput(QuireError):
    """The input cannot be used: the message says what is wrong, where, and what to do."""

    exit_code = 2


class Diverged(QuireError):
    """Training produced a loss that is not a finite number."""

    exit_code = 3


class Stopped(QuireError):
    """A signal asked the run to stop; its state is on disk and the same command goes on."""

    exit_code = 75


class Ignored(UserWarning):
    """Something in a person's files is left alone: what and where. The command line shows it in one line."""


_ASKED = {
    "Quire runs no code of a folder": ("auto_map", "custom_pipelines", "custom_generate", "trust_remote_code"),
    "Quire computes attention in its own way": ("_attn_implementation", "attn_implementation", "use_flash_attn"),
}


def ignore(config: Mapping[str, Any], where: Path) -> None:
    """Warn of what the configuration of a model folder asks for and does not get: code, and how to compute."""
    for why, fields in _ASKED.items():
        if asked := [field for field in fields if config.get(field)]:
            warnings.warn(f"{where}: {', '.join(asked)} ignored: {why}", Ignored, stacklevel=3)


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint `; did you mean 'x'?`, or the list of what is known, or nothing when nothing is."""
    names = sorted(set(known))
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""
